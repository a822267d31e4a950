//! Changes a parsed template so that it prints as Go prints, changes maps as Go changes them, and pays for
//! what it does. Unknown functions are found here, before anything renders.

use gotmpl::parse::{ActionNode, BranchNode, CommandNode, Expr, ListNode, Node, PipeNode, Pos, SmolStr};

use super::LANGUAGE;
use super::functions::{PRINT, TICK, VALUE, WEIGH, is_known, is_weighed};
use crate::LangError;
use crate::sprig;

/// Rewrites the tree of a template, or of one that it defines.
pub(super) fn tree(text: &str, tree: ListNode) -> Result<ListNode, LangError> {
    Rewriter { text }.body(tree, true)
}

struct Rewriter<'a> {
    text: &'a str,
}

fn call(pos: Pos, name: &'static str) -> CommandNode {
    CommandNode { pos, args: vec![Expr::Identifier(pos, SmolStr::new_static(name))] }
}

impl Rewriter<'_> {
    fn body(&self, list: ListNode, paid: bool) -> Result<ListNode, LangError> {
        let mut nodes = Vec::with_capacity(list.nodes.len() + 1);
        if paid {
            nodes.push(Node::Action(ActionNode {
                pos: list.pos,
                pipe: PipeNode {
                    pos: list.pos,
                    decl: Vec::new(),
                    commands: vec![call(list.pos, TICK)],
                    is_assign: false,
                },
            }));
        }
        for node in list.nodes {
            self.node(node, &mut nodes)?;
        }
        Ok(ListNode { pos: list.pos, nodes })
    }

    fn node(&self, node: Node, into: &mut Vec<Node>) -> Result<(), LangError> {
        let node = match node {
            Node::Action(action) => return self.action(action, into),
            Node::If(branch) => Node::If(self.branch(branch, false)?),
            Node::With(branch) => Node::With(self.branch(branch, false)?),
            Node::Range(branch) => Node::Range(self.branch(branch, true)?),
            Node::List(list) => Node::List(self.body(list, false)?),
            Node::Template(mut template) => {
                template.pipe = template.pipe.map(|pipe| self.pipe(pipe)).transpose()?;
                Node::Template(template)
            }
            other => other,
        };
        into.push(node);
        Ok(())
    }

    fn branch(&self, branch: BranchNode, paid: bool) -> Result<BranchNode, LangError> {
        Ok(BranchNode {
            pos: branch.pos,
            pipe: self.pipe(branch.pipe)?,
            body: self.body(branch.body, paid)?,
            else_body: branch.else_body.map(|list| self.body(list, false)).transpose()?,
        })
    }

    fn action(&self, action: ActionNode, into: &mut Vec<Node>) -> Result<(), LangError> {
        let pos = action.pos;
        let mut pipe = self.pipe(action.pipe)?;
        if let Some(name) = changed_variable(&pipe) {
            // Values are never changed in place, so the variable takes the changed one.
            let changed = PipeNode {
                pos: pipe.pos,
                decl: vec![name.clone()],
                commands: pipe.commands,
                is_assign: true,
            };
            into.push(Node::Action(ActionNode { pos, pipe: changed }));
            pipe.commands = vec![CommandNode { pos, args: vec![Expr::Variable(pos, name, Vec::new())] }];
        }
        if pipe.decl.is_empty() {
            pipe.commands.push(call(pos, PRINT));
        }
        into.push(Node::Action(ActionNode { pos, pipe }));
        Ok(())
    }

    fn pipe(&self, pipe: PipeNode) -> Result<PipeNode, LangError> {
        let mut commands = Vec::with_capacity(pipe.commands.len());
        for (index, command) in pipe.commands.into_iter().enumerate() {
            let weighed = called(&command).is_some_and(is_weighed);
            let verbs = printed(&command);
            let payer = |place: usize| match place.checked_sub(2).and_then(|verb| verbs.get(verb)) {
                Some('v') => VALUE,
                _ => WEIGH,
            };
            let pos = command.pos;
            if weighed && index > 0 {
                commands.push(call(pos, payer(command.args.len())));
            }
            let mut args = Vec::with_capacity(command.args.len());
            for (place, arg) in command.args.into_iter().enumerate() {
                let arg = self.expr(arg)?;
                args.push(if weighed && place > 0 { weigh(arg, payer(place)) } else { arg });
            }
            commands.push(CommandNode { pos, args });
        }
        Ok(PipeNode { pos: pipe.pos, decl: pipe.decl, commands, is_assign: pipe.is_assign })
    }

    fn expr(&self, expr: Expr) -> Result<Expr, LangError> {
        Ok(match expr {
            Expr::Identifier(pos, name) if !is_known(&name) => {
                return Err(self.unknown(pos, &name));
            }
            Expr::Pipe(pos, pipe) => Expr::Pipe(pos, self.pipe(pipe)?),
            Expr::Chain(pos, inner, fields) => Expr::Chain(pos, Box::new(self.expr(*inner)?), fields),
            other => other,
        })
    }

    fn unknown(&self, pos: Pos, name: &str) -> LangError {
        let before = self.text.get(..pos.offset).unwrap_or(self.text);
        LangError::Syntax {
            language: LANGUAGE,
            message: sprig::unknown(name, name),
            offset: before.chars().count(),
        }
    }
}

/// The function that a command calls.
fn called(command: &CommandNode) -> Option<&str> {
    match command.args.first()? {
        Expr::Identifier(_, name) => Some(name),
        Expr::Chain(_, inner, _) => match inner.as_ref() {
            Expr::Identifier(_, name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// The verbs of a `printf` whose format is written out, as far as each takes the next argument.
fn printed(command: &CommandNode) -> Vec<char> {
    let [Expr::Identifier(_, name), Expr::String(_, format), ..] = command.args.as_slice() else {
        return Vec::new();
    };
    if name != "printf" || format.contains(['*', '[']) {
        return Vec::new();
    }
    let mut verbs = Vec::new();
    let mut characters = format.chars();
    while characters.by_ref().any(|character| character == '%') {
        let flags = |c: &char| "+-# 0123456789.".contains(*c);
        verbs.extend(characters.by_ref().find(|c| !flags(c)).filter(|verb| *verb != '%'));
    }
    verbs
}

fn weigh(arg: Expr, by: &'static str) -> Expr {
    // What is written out is small.
    let small = matches!(arg, Expr::Bool(..) | Expr::Nil(_) | Expr::String(..));
    if small || (by == WEIGH && matches!(arg, Expr::Number(..))) {
        return arg;
    }
    let pos = arg.pos();
    let mut command = call(pos, by);
    command.args.push(arg);
    Expr::Pipe(pos, PipeNode { pos, decl: Vec::new(), commands: vec![command], is_assign: false })
}

/// The variable of `set $variable …` or `unset $variable …`.
fn changed_variable(pipe: &PipeNode) -> Option<SmolStr> {
    let [command] = pipe.commands.as_slice() else {
        return None;
    };
    match command.args.as_slice() {
        [Expr::Identifier(_, function), Expr::Variable(_, name, fields), ..]
            if matches!(function.as_str(), "set" | "unset") && fields.is_empty() =>
        {
            Some(name.clone())
        }
        _ => None,
    }
}
