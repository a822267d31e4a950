//! Where an expression begins: operators before a value, brackets, pointers and literals.

use std::sync::Arc;

use super::super::lexer::Token;
use super::super::node::{Kind, Node, Pointer, Unary};
use super::{Parser, operator_of};
use crate::LangError;
use crate::value::Value;

impl Parser {
    pub(super) fn primary(&mut self) -> Result<Node, LangError> {
        let offset = self.offset();
        let unary = match self.peek() {
            Token::Symbol("-") => Some((Unary::Negate, 90)),
            Token::Symbol("+") => Some((Unary::Plus, 90)),
            Token::Symbol("!") => Some((Unary::Not, 50)),
            Token::Word(word) if word == "not" => Some((Unary::Not, 50)),
            _ => None,
        };
        if let Some((operator, power)) = unary {
            self.at += 1;
            let operand = self.expression(power)?;
            let node = self.node(Kind::Unary(operator, Arc::new(operand)), offset)?;
            return self.postfix(node);
        }
        if self.accept("(") {
            let inner = self.nested(Self::sequence)?;
            self.expect(")")?;
            return self.postfix(inner);
        }
        if self.closures > 0 && (self.is("#") || self.is(".")) {
            let pointer = self.pointer()?;
            let node = self.node(Kind::Pointer(pointer), offset)?;
            return self.postfix(node);
        }
        let node = self.atom()?;
        self.postfix(node)
    }

    fn pointer(&mut self) -> Result<Pointer, LangError> {
        if !self.accept("#") {
            return Ok(Pointer::Element);
        }
        let pointer = match self.peek() {
            Token::Word(word) => match word.as_str() {
                "acc" => Pointer::Accumulator,
                "index" => Pointer::Index,
                // `{# in list}`: the word is an operator.
                _ if operator_of(self.peek()).is_some() || word == "not" => {
                    return Ok(Pointer::Element);
                }
                _ => return Err(self.unexpected()),
            },
            _ => return Ok(Pointer::Element),
        };
        self.at += 1;
        Ok(pointer)
    }

    fn atom(&mut self) -> Result<Node, LangError> {
        let offset = self.offset();
        let value = match self.peek().clone() {
            Token::Int(int) => Value::Int(int),
            Token::Float(float) => Value::Float(float),
            Token::Text(text) => Value::text(text),
            Token::Word(word) => match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "nil" => Value::Nil,
                _ => return self.word(word),
            },
            Token::Symbol("[") => {
                self.at += 1;
                let items = self.items("]")?;
                return self.node(Kind::List(items), offset);
            }
            Token::Symbol("{") => return self.map_literal(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        self.node(Kind::Literal(value), offset)
    }
}
