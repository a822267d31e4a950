//! Builds the tree of an expression.

mod call;
mod postfix;
mod primary;

use std::sync::Arc;

use regex::Regex;

use super::lexer::{Placed, Token};
use super::node::{Binary, Kind, Node, Unary};
use super::syntax;
use crate::LangError;
use crate::value::Value;

/// How many levels an expression may have.
const MAX_LEVELS: usize = 100;

const AND: u8 = 15;
const COMPARISON: u8 = 20;
const COALESCE: u8 = 255;

/// Operators by how they are written, and how they bind.
const OPERATORS: [(&str, Binary, u8); 24] = [
    ("or", Binary::Or, 10),
    ("||", Binary::Or, 10),
    ("and", Binary::And, AND),
    ("&&", Binary::And, AND),
    ("==", Binary::Equal, COMPARISON),
    ("!=", Binary::NotEqual, COMPARISON),
    ("<", Binary::Less, COMPARISON),
    ("<=", Binary::LessOrEqual, COMPARISON),
    (">", Binary::Greater, COMPARISON),
    (">=", Binary::GreaterOrEqual, COMPARISON),
    ("in", Binary::In, COMPARISON),
    ("matches", Binary::Matches, COMPARISON),
    ("contains", Binary::Contains, COMPARISON),
    ("startsWith", Binary::StartsWith, COMPARISON),
    ("endsWith", Binary::EndsWith, COMPARISON),
    ("..", Binary::Range, 25),
    ("+", Binary::Add, 30),
    ("-", Binary::Subtract, 30),
    ("*", Binary::Multiply, 60),
    ("/", Binary::Divide, 60),
    ("%", Binary::Modulo, 60),
    ("**", Binary::Power, 100),
    ("^", Binary::Power, 100),
    ("??", Binary::Coalesce, COALESCE),
];

pub(super) struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    nesting: usize,
    /// How many closures stand around.
    closures: usize,
    locals: Vec<String>,
}

pub(super) fn parse(tokens: Vec<Placed>) -> Result<Node, LangError> {
    let mut parser = Parser { tokens, at: 0, nesting: 0, closures: 0, locals: Vec::new() };
    let root = parser.sequence()?;
    match parser.peek() {
        Token::End => Ok(root),
        _ => Err(parser.unexpected()),
    }
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn peek_second(&self) -> &Token {
        self.tokens.get(self.at + 1).map_or(&Token::End, |(token, _)| token)
    }

    fn offset(&self) -> usize {
        let last = self.tokens.last();
        self.tokens.get(self.at).or(last).map_or(0, |(_, offset)| *offset)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found == word)
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), LangError> {
        if self.accept(symbol) {
            return Ok(());
        }
        let shown = self.shown();
        Err(syntax(format!("expected '{symbol}' but found {shown}"), self.offset()))
    }

    fn shown(&self) -> String {
        match self.peek() {
            Token::Int(int) => format!("{int}"),
            Token::Float(float) => format!("{float}"),
            Token::Text(_) => "a string".to_owned(),
            Token::Word(word) => format!("'{word}'"),
            Token::Symbol(symbol) => format!("'{symbol}'"),
            Token::End => "the end".to_owned(),
        }
    }

    fn unexpected(&self) -> LangError {
        syntax(format!("{} does not fit here", self.shown()), self.offset())
    }

    /// A node with its levels counted, so that no tree is too deep to be walked.
    fn node(&self, kind: Kind, offset: usize) -> Result<Node, LangError> {
        let mut node = Node { kind, offset, levels: 1 };
        let below = node.children().iter().map(|child| child.levels).max();
        node.levels += below.unwrap_or(0);
        if node.levels > MAX_LEVELS {
            return Err(syntax("the expression has too many levels", offset));
        }
        Ok(node)
    }

    fn nested<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T, LangError>) -> Result<T, LangError> {
        if self.nesting >= MAX_LEVELS {
            return Err(syntax("the expression has too many levels", self.offset()));
        }
        self.nesting += 1;
        let result = body(self);
        self.nesting -= 1;
        result
    }

    /// Expressions between semicolons; the last one counts.
    fn sequence(&mut self) -> Result<Node, LangError> {
        let offset = self.offset();
        let mut nodes = vec![self.expression(0)?];
        while self.accept(";") {
            if matches!(self.peek(), Token::End) || self.is(")") || self.is("}") {
                break;
            }
            nodes.push(self.expression(0)?);
        }
        match nodes.pop() {
            Some(only) if nodes.is_empty() => Ok(only),
            last => {
                nodes.extend(last);
                self.node(Kind::Sequence(nodes), offset)
            }
        }
    }

    fn expression(&mut self, least: u8) -> Result<Node, LangError> {
        self.nested(|parser| parser.operators(least))
    }

    fn operators(&mut self, least: u8) -> Result<Node, LangError> {
        if least == 0 && self.is_word("let") && matches!(self.peek_second(), Token::Word(_)) {
            return self.variable();
        }
        if least == 0 && self.is_word("if") {
            return self.if_else();
        }
        let mut left = self.primary()?;
        loop {
            let offset = self.offset();
            if least == 0 && self.accept("|") {
                left = self.piped(left)?;
                continue;
            }
            let negate = self.is_word("not");
            let token = if negate { self.peek_second() } else { self.peek() };
            let Some((operator, power)) = operator(token).filter(|(_, power)| *power >= least) else {
                break;
            };
            if negate && !matches!(token, Token::Word(_)) {
                break;
            }
            self.at += 1 + usize::from(negate);
            left = self.right_side(left, operator, power, offset)?;
            if negate {
                left = self.node(Kind::Unary(Unary::Not, Arc::new(left)), offset)?;
            }
        }
        if least == 0 { self.conditional(left) } else { Ok(left) }
    }

    fn right_side(
        &mut self,
        left: Node,
        operator: Binary,
        power: u8,
        offset: usize,
    ) -> Result<Node, LangError> {
        let above = match operator {
            Binary::Power | Binary::Coalesce => power,
            _ => power + 1,
        };
        let right = self.expression(above)?;
        if let (Binary::Matches, Kind::Literal(Value::Text(text))) = (operator, &right.kind) {
            let pattern = Regex::new(text)
                .map_err(|error| syntax(format!("this is no pattern: {error}"), right.offset))?;
            return self.node(Kind::Pattern(Arc::new(left), pattern), offset);
        }
        if !is_order(operator) || !operator_of(self.peek()).is_some_and(is_order) {
            return self.node(Kind::Binary(operator, Arc::new(left), Arc::new(right)), offset);
        }
        // `a < b < c` is `a < b && b < c`.
        let mut middle = Arc::new(right);
        let mut chain = self.node(Kind::Binary(operator, Arc::new(left), middle.clone()), offset)?;
        while let Some(operator) = operator_of(self.peek()).filter(|operator| is_order(*operator)) {
            self.at += 1;
            let right = Arc::new(self.expression(power + 1)?);
            let link = self.node(Kind::Binary(operator, middle, right.clone()), offset)?;
            chain = self.node(Kind::Binary(Binary::And, Arc::new(chain), Arc::new(link)), offset)?;
            middle = right;
        }
        Ok(chain)
    }

    fn variable(&mut self) -> Result<Node, LangError> {
        let offset = self.offset();
        self.at += 1;
        let Token::Word(name) = self.next() else {
            return Err(self.unexpected());
        };
        self.expect("=")?;
        let value = self.expression(0)?;
        self.expect(";")?;
        self.locals.push(name.clone());
        let body = self.sequence();
        self.locals.pop();
        self.node(Kind::Let(name, Arc::new(value), Arc::new(body?)), offset)
    }

    fn if_else(&mut self) -> Result<Node, LangError> {
        let offset = self.offset();
        self.at += 1;
        let condition = self.expression(0)?;
        let yes = self.block()?;
        if !self.is_word("else") {
            return Err(self.unexpected());
        }
        self.at += 1;
        let no = if self.is_word("if") { self.nested(Self::if_else)? } else { self.block()? };
        let (condition, yes, no) = (Arc::new(condition), Arc::new(yes), Arc::new(no));
        self.node(Kind::Conditional(condition, yes, no), offset)
    }

    fn block(&mut self) -> Result<Node, LangError> {
        self.expect("{")?;
        let body = self.sequence()?;
        self.expect("}")?;
        Ok(body)
    }

    fn conditional(&mut self, condition: Node) -> Result<Node, LangError> {
        let offset = self.offset();
        if !self.accept("?") {
            return Ok(condition);
        }
        let condition = Arc::new(condition);
        let yes = if self.is(":") { condition.clone() } else { Arc::new(self.expression(0)?) };
        self.expect(":")?;
        let no = Arc::new(self.expression(0)?);
        self.node(Kind::Conditional(condition, yes, no), offset)
    }
}

fn operator(token: &Token) -> Option<(Binary, u8)> {
    let text = match token {
        Token::Word(word) => word.as_str(),
        Token::Symbol(symbol) => symbol,
        _ => return None,
    };
    OPERATORS.iter().find(|(written, ..)| *written == text).map(|(_, operator, power)| (*operator, *power))
}

fn operator_of(token: &Token) -> Option<Binary> {
    operator(token).map(|(operator, _)| operator)
}

fn is_order(operator: Binary) -> bool {
    matches!(operator, Binary::Less | Binary::LessOrEqual | Binary::Greater | Binary::GreaterOrEqual)
}
