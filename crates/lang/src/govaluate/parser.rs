//! Builds the tree of an expression.

use regex::Regex;

use super::Value;
use super::lexer::{Placed, Token, syntax};
use crate::LangError;

/// How many levels an expression may have.
const MAX_DEPTH: usize = 100;

/// What unquoted words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Variables,
    Strings,
}

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Comma,
    Then,
    Else,
    Coalesce,
    Or,
    And,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Matches,
    MatchesNot,
    In,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

/// An operator before its operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Negate,
    Not,
    BitNot,
}

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    Pattern(Regex),
    Variable(String),
    Prefix(Prefix, Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
}

const OPERATORS: [(&str, Binary, u8); 23] = [
    ("?", Binary::Then, 2),
    (":", Binary::Else, 2),
    ("??", Binary::Coalesce, 2),
    ("||", Binary::Or, 3),
    ("&&", Binary::And, 4),
    ("==", Binary::Equal, 5),
    ("!=", Binary::NotEqual, 5),
    (">", Binary::Greater, 5),
    (">=", Binary::GreaterOrEqual, 5),
    ("<", Binary::Less, 5),
    ("<=", Binary::LessOrEqual, 5),
    ("=~", Binary::Matches, 5),
    ("!~", Binary::MatchesNot, 5),
    ("&", Binary::BitAnd, 6),
    ("|", Binary::BitOr, 6),
    ("^", Binary::BitXor, 6),
    ("<<", Binary::ShiftLeft, 7),
    (">>", Binary::ShiftRight, 7),
    ("+", Binary::Add, 8),
    ("-", Binary::Subtract, 8),
    ("*", Binary::Multiply, 9),
    ("/", Binary::Divide, 9),
    ("%", Binary::Modulo, 9),
];

impl Binary {
    /// How it is written.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Comma => ",",
            Self::In => "in",
            Self::Power => "**",
            _ => {
                OPERATORS.iter().find(|(_, operator, _)| *operator == self).map_or("", |(symbol, ..)| symbol)
            }
        }
    }
}

pub(super) struct Parsed {
    pub(super) root: Option<Node>,
    pub(super) variables: Vec<String>,
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Placed>>,
    end: usize,
    words: Words,
    variables: Vec<String>,
    depth: usize,
}

pub(super) fn parse(tokens: Vec<Placed>, end: usize, words: Words) -> Result<Parsed, LangError> {
    let mut parser =
        Parser { tokens: tokens.into_iter().peekable(), end, words, variables: Vec::new(), depth: 0 };
    let root = match parser.tokens.peek() {
        Some(_) => Some(parser.expression(0)?.0),
        None => None,
    };
    if let Some((token, offset)) = parser.tokens.next() {
        return Err(unexpected(&token, offset));
    }
    Ok(Parsed { root, variables: parser.variables })
}

fn unexpected(token: &Token, offset: usize) -> LangError {
    let shown = match token {
        Token::Number(number) => number.to_string(),
        Token::Text(text) | Token::Variable(text) | Token::Symbol(text) => text.clone(),
        Token::Moment(_) => "a date".to_owned(),
        Token::Bool(bool) => bool.to_string(),
        Token::In => "in".to_owned(),
        Token::Comma => ",".to_owned(),
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
    };
    syntax(format!("'{shown}' does not fit here"), offset)
}

impl Parser {
    /// An expression of operators that bind at least as `least`; with the number of its levels.
    fn expression(&mut self, least: u8) -> Result<(Node, usize), LangError> {
        let (mut left, mut levels) = self.prefixed()?;
        while let Some((operator, power)) = self.operator()? {
            if power < least {
                break;
            }
            let offset = self.tokens.next().map_or(self.end, |(_, offset)| offset);
            // All operators group to the left, `**` and `?` too.
            let (right, right_levels) = self.nested(offset, |parser| parser.expression(power + 1))?;
            levels = 1 + levels.max(right_levels);
            if levels > MAX_DEPTH {
                return Err(syntax("the expression has too many levels", offset));
            }
            left = binary(operator, left, right, offset)?;
        }
        Ok((left, levels))
    }

    fn nested<T>(
        &mut self,
        offset: usize,
        body: impl FnOnce(&mut Self) -> Result<T, LangError>,
    ) -> Result<T, LangError> {
        if self.depth >= MAX_DEPTH {
            return Err(syntax("the expression has too many levels", offset));
        }
        self.depth += 1;
        let result = body(self);
        self.depth -= 1;
        result
    }

    /// The operator that comes next, if it is one.
    fn operator(&mut self) -> Result<Option<(Binary, u8)>, LangError> {
        let Some((token, offset)) = self.tokens.peek() else {
            return Ok(None);
        };
        match token {
            Token::Comma => Ok(Some((Binary::Comma, 1))),
            Token::In => Ok(Some((Binary::In, 5))),
            Token::Close => Ok(None),
            Token::Symbol(symbol) if symbol == "**" => Ok(Some((Binary::Power, 10))),
            Token::Symbol(symbol) => OPERATORS
                .iter()
                .find(|(text, ..)| text == symbol)
                .map(|(_, operator, power)| Some((*operator, *power)))
                .ok_or_else(|| {
                    syntax(format!("'{symbol}' is no operator; put spaces between operators"), *offset)
                }),
            other => Err(unexpected(other, *offset)),
        }
    }

    fn prefixed(&mut self) -> Result<(Node, usize), LangError> {
        let Some((token, offset)) = self.tokens.next() else {
            return Err(syntax("the expression ends too early", self.end));
        };
        let literal = |value| Ok((Node::Literal(value), 1));
        match token {
            Token::Number(number) | Token::Moment(number) => literal(Value::Number(number)),
            Token::Text(text) => literal(Value::Text(text)),
            Token::Bool(bool) => literal(Value::Bool(bool)),
            Token::Variable(name) if self.words == Words::Strings => literal(Value::Text(name)),
            Token::Variable(name) => {
                if !self.variables.contains(&name) {
                    self.variables.push(name.clone());
                }
                Ok((Node::Variable(name), 1))
            }
            Token::Open => {
                let inner = self.nested(offset, |parser| parser.expression(0))?;
                match self.tokens.next() {
                    Some((Token::Close, _)) => Ok(inner),
                    Some((other, offset)) => Err(unexpected(&other, offset)),
                    None => Err(syntax("a bracket is not closed", offset)),
                }
            }
            Token::Symbol(symbol) => {
                let prefix = match symbol.as_str() {
                    "-" => Prefix::Negate,
                    "!" => Prefix::Not,
                    "~" => Prefix::BitNot,
                    _ => return Err(unexpected(&Token::Symbol(symbol), offset)),
                };
                let (operand, levels) = self.nested(offset, Self::prefixed)?;
                Ok((Node::Prefix(prefix, Box::new(operand)), levels + 1))
            }
            other => Err(unexpected(&other, offset)),
        }
    }
}

/// Patterns that are written out are compiled once.
fn binary(operator: Binary, left: Node, right: Node, offset: usize) -> Result<Node, LangError> {
    let right = match right {
        Node::Literal(Value::Text(text)) if matches!(operator, Binary::Matches | Binary::MatchesNot) => {
            let pattern = Regex::new(&text)
                .map_err(|error| syntax(format!("'{text}' is no pattern: {error}"), offset))?;
            Node::Pattern(pattern)
        }
        other => other,
    };
    Ok(Node::Binary(operator, Box::new(left), Box::new(right)))
}
