//! Names, calls of functions, and the literals that hold expressions.

use std::sync::Arc;

use super::super::builtin;
use super::super::lexer::Token;
use super::super::node::{Child, Kind, Loop, Node};
use super::super::syntax;
use super::Parser;
use crate::LangError;
use crate::value::Value;

/// Functions that take a closure.
const LOOPS: [(&str, Loop); 15] = [
    ("all", Loop::All),
    ("none", Loop::None),
    ("any", Loop::Any),
    ("one", Loop::One),
    ("filter", Loop::Filter),
    ("map", Loop::Map),
    ("count", Loop::Count),
    ("sum", Loop::Sum),
    ("find", Loop::Find),
    ("findIndex", Loop::FindIndex),
    ("findLast", Loop::FindLast),
    ("findLastIndex", Loop::FindLastIndex),
    ("groupBy", Loop::GroupBy),
    ("sortBy", Loop::SortBy),
    ("reduce", Loop::Reduce),
];

impl Parser {
    /// Expressions between commas up to a closing bracket, which is taken as well.
    pub(super) fn items(&mut self, close: &str) -> Result<Vec<Node>, LangError> {
        let mut items = Vec::new();
        while !self.accept(close) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.accept(close) {
                    break;
                }
            }
            items.push(self.expression(0)?);
        }
        Ok(items)
    }

    pub(super) fn map_literal(&mut self) -> Result<Node, LangError> {
        let offset = self.offset();
        self.expect("{")?;
        let mut pairs = Vec::new();
        while !self.accept("}") {
            if !pairs.is_empty() {
                self.expect(",")?;
                if self.accept("}") {
                    break;
                }
            }
            let key = self.map_key()?;
            self.expect(":")?;
            pairs.push((key, self.expression(0)?));
        }
        self.node(Kind::Map(pairs), offset)
    }

    fn map_key(&mut self) -> Result<Node, LangError> {
        let offset = self.offset();
        let text = match self.peek().clone() {
            Token::Word(text) | Token::Text(text) => text,
            Token::Int(int) => int.to_string(),
            Token::Float(float) => float.to_string(),
            Token::Symbol("(") => return self.expression(0),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        self.node(Kind::Literal(Value::text(text)), offset)
    }

    /// A name, or the call of a function.
    pub(super) fn word(&mut self, name: String) -> Result<Node, LangError> {
        let offset = self.offset();
        self.at += 1;
        if self.is("(") {
            return self.call(&name, None, offset);
        }
        if self.locals.contains(&name) {
            return self.node(Kind::Local(name), offset);
        }
        self.node(Kind::Name(name), offset)
    }

    /// `left | function(arguments)`.
    pub(super) fn piped(&mut self, left: Node) -> Result<Node, LangError> {
        let offset = self.offset();
        let Token::Word(name) = self.next() else {
            return Err(syntax("a function must follow '|'", offset));
        };
        let call = self.call(&name, Some(left), offset)?;
        self.postfix(call)
    }

    fn call(&mut self, name: &str, first: Option<Node>, offset: usize) -> Result<Node, LangError> {
        self.expect("(")?;
        if let Some((_, function)) = LOOPS.iter().find(|(known, _)| *known == name) {
            return self.loop_call(*function, first, offset);
        }
        let function =
            builtin::find(name).ok_or_else(|| syntax(format!("there is no function {name}"), offset))?;
        let mut arguments: Vec<Node> = first.into_iter().collect();
        arguments.extend(self.items(")")?);
        if arguments.len() < function.least || arguments.len() > function.most {
            let count = arguments.len();
            return Err(syntax(format!("{name} does not take {count} arguments"), offset));
        }
        self.node(Kind::Builtin(function, arguments), offset)
    }

    fn loop_call(&mut self, function: Loop, first: Option<Node>, offset: usize) -> Result<Node, LangError> {
        // After a pipe the closure comes first, without a comma.
        let mut separated = first.is_some();
        let list = match first {
            Some(list) => list,
            None => self.expression(0)?,
        };
        let body = match self.another(&mut separated) {
            true => Some(self.closure()?),
            false => None,
        };
        let takes_extra = matches!(function, Loop::Reduce | Loop::SortBy) && body.is_some();
        let extra = match takes_extra && self.another(&mut separated) {
            true => Some(Arc::new(self.expression(0)?)),
            false => None,
        };
        self.accept(",");
        self.expect(")")?;
        if body.is_none() && !matches!(function, Loop::Count | Loop::Sum) {
            return Err(syntax("a closure is missing", offset));
        }
        let kind = Kind::Loop { function, list: Arc::new(list), body, extra };
        self.node(kind, offset)
    }

    fn another(&mut self, separated: &mut bool) -> bool {
        (std::mem::take(separated) || self.accept(",")) && !self.is(")")
    }

    /// `{.x > 1}`, or the same without braces.
    fn closure(&mut self) -> Result<Child, LangError> {
        self.closures += 1;
        let body = if self.accept("{") {
            let body = self.nested(Self::sequence);
            body.and_then(|body| self.expect("}").map(|()| body))
        } else {
            self.expression(0)
        };
        self.closures -= 1;
        Ok(Arc::new(body?))
    }
}
