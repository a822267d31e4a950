//! Trigger conditions: dependency names with `&&`, `||` and brackets.
//!
//! Argo treats `-` and `_` in names as the same; so do we where no name fits as it is written. Unlike there,
//! any name can stand in a condition, also one that begins with a digit or holds a dot.

use std::collections::BTreeSet;

use crate::LangError;

#[cfg(test)]
mod tests;

const LANGUAGE: &str = "condition";
const DEEPEST: usize = 64;

/// A compiled condition.
#[derive(Debug, Clone)]
pub struct Condition {
    root: Node,
    dependencies: Vec<String>,
    needs_state: bool,
}

#[derive(Debug, Clone)]
enum Node {
    /// Index into the condition's dependencies.
    Name(usize),
    All(Vec<Node>),
    Any(Vec<Node>),
}

impl Condition {
    /// Compiles against the Sensor's dependency names; an empty text means all of them.
    ///
    /// # Errors
    /// Fails when the text is no condition, or names an unknown dependency (the message names a near one).
    pub fn compile(text: &str, dependencies: &[&str]) -> Result<Self, LangError> {
        if text.trim().is_empty() {
            return all(dependencies);
        }
        let mut parser = Parser {
            tokens: tokens(text)?,
            at: 0,
            end: text.chars().count(),
            known: dependencies,
            named: Vec::new(),
            needs_state: false,
        };
        let root = parser.any(0)?;
        if let Some((token, offset)) = parser.tokens.get(parser.at) {
            let message = match token {
                Token::Name(name) if name.eq_ignore_ascii_case("and") => "write `&&` for `and`".to_owned(),
                Token::Name(name) if name.eq_ignore_ascii_case("or") => "write `||` for `or`".to_owned(),
                Token::Name(name) => format!("there is no `&&` or `||` before `{name}`"),
                _ => "this bracket has no partner".to_owned(),
            };
            return Err(syntax(message, *offset));
        }
        Ok(Self { root, dependencies: parser.named, needs_state: parser.needs_state })
    }

    /// The dependencies it names, by their names in the Sensor, in order of first mention.
    #[must_use]
    pub fn dependencies(&self) -> &[String] {
        &self.dependencies
    }

    /// Whether it needs more than one event at a time (an `&&` stands in it).
    #[must_use]
    pub fn needs_state(&self) -> bool {
        self.needs_state
    }

    /// Whether it holds when these dependencies have an event.
    #[must_use]
    pub fn holds(&self, present: &BTreeSet<&str>) -> bool {
        self.node_holds(&self.root, present)
    }

    fn node_holds(&self, node: &Node, present: &BTreeSet<&str>) -> bool {
        match node {
            Node::Name(index) => {
                self.dependencies.get(*index).is_some_and(|name| present.contains(name.as_str()))
            }
            Node::All(nodes) => nodes.iter().all(|node| self.node_holds(node, present)),
            Node::Any(nodes) => nodes.iter().any(|node| self.node_holds(node, present)),
        }
    }
}

fn all(dependencies: &[&str]) -> Result<Condition, LangError> {
    if dependencies.is_empty() {
        return Err(syntax("there is no dependency to wait for", 0));
    }
    Ok(Condition {
        root: Node::All((0..dependencies.len()).map(Node::Name).collect()),
        dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
        needs_state: dependencies.len() > 1,
    })
}

fn syntax(message: impl Into<String>, offset: usize) -> LangError {
    LangError::Syntax { language: LANGUAGE, message: message.into(), offset }
}

#[derive(Debug, PartialEq)]
enum Token {
    Name(String),
    And,
    Or,
    Open,
    Close,
}

/// The tokens and where each begins, in characters.
fn tokens(text: &str) -> Result<Vec<(Token, usize)>, LangError> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().enumerate().peekable();
    while let Some((offset, character)) = characters.next() {
        let token = match character {
            space if space.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '!' => {
                let message =
                    "a condition cannot be negated; only names, `&&`, `||` and brackets stand in it";
                return Err(syntax(message, offset));
            }
            '&' | '|' => {
                if characters.next_if(|(_, next)| *next == character).is_none() {
                    return Err(syntax(format!("write `{character}{character}`"), offset));
                }
                if character == '&' { Token::And } else { Token::Or }
            }
            first => {
                let mut name = String::from(first);
                while let Some((_, next)) =
                    characters.next_if(|(_, next)| !(next.is_whitespace() || "()!&|".contains(*next)))
                {
                    name.push(next);
                }
                Token::Name(name)
            }
        };
        tokens.push((token, offset));
    }
    Ok(tokens)
}

struct Parser<'d> {
    tokens: Vec<(Token, usize)>,
    at: usize,
    end: usize,
    known: &'d [&'d str],
    named: Vec<String>,
    needs_state: bool,
}

impl Parser<'_> {
    fn take(&mut self, wanted: &Token) -> bool {
        let fits = self.tokens.get(self.at).is_some_and(|(token, _)| token == wanted);
        self.at += usize::from(fits);
        fits
    }

    fn any(&mut self, depth: usize) -> Result<Node, LangError> {
        let mut nodes = vec![self.all(depth)?];
        while self.take(&Token::Or) {
            nodes.push(self.all(depth)?);
        }
        Ok(only_or(nodes, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Node, LangError> {
        let mut nodes = vec![self.operand(depth)?];
        while self.take(&Token::And) {
            self.needs_state = true;
            nodes.push(self.operand(depth)?);
        }
        Ok(only_or(nodes, Node::All))
    }

    fn operand(&mut self, depth: usize) -> Result<Node, LangError> {
        let Some((token, offset)) = self.tokens.get(self.at) else {
            return Err(syntax("a dependency name is missing", self.end));
        };
        let offset = *offset;
        self.at += 1;
        match token {
            Token::Name(name) => {
                let known = resolve(name, self.known).map_err(|message| syntax(message, offset))?;
                Ok(Node::Name(self.mention(known)))
            }
            Token::Open if depth >= DEEPEST => {
                Err(LangError::Limit { language: LANGUAGE, limit: "nested brackets" })
            }
            Token::Open => {
                let node = self.any(depth + 1)?;
                if self.take(&Token::Close) {
                    Ok(node)
                } else {
                    Err(syntax("this bracket is not closed, or an operator is missing in it", offset))
                }
            }
            Token::And | Token::Or | Token::Close => Err(syntax("a dependency name is missing", offset)),
        }
    }

    fn mention(&mut self, name: &str) -> usize {
        let known = self.named.iter().position(|named| named == name);
        known.unwrap_or_else(|| {
            self.named.push(name.to_owned());
            self.named.len() - 1
        })
    }
}

fn only_or(mut nodes: Vec<Node>, group: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        last => {
            nodes.extend(last);
            group(nodes)
        }
    }
}

fn resolve<'d>(name: &str, known: &[&'d str]) -> Result<&'d str, String> {
    if let Some(exact) = known.iter().find(|&&other| other == name) {
        return Ok(exact);
    }
    let folded = name.replace('-', "_");
    if let Some(alike) = known.iter().find(|other| other.replace('-', "_") == folded) {
        return Ok(alike);
    }
    let near = known
        .iter()
        .map(|&other| (strsim::jaro_winkler(name, other), other))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    Err(match near {
        Some((_, near)) => format!("there is no dependency `{name}`; did you mean `{near}`?"),
        None => format!("there is no dependency `{name}`; there is {}", listed(known)),
    })
}

fn listed(known: &[&str]) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<_> = known.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if known.len() > SHOWN {
        names.push("…".to_owned());
    }
    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
}
