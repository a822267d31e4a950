//! What follows a value: members, indices, slices, methods.

use std::sync::Arc;

use super::super::lexer::Token;
use super::super::node::{Child, Kind, Node};
use super::super::{method, syntax};
use super::Parser;
use crate::LangError;
use crate::sprig;
use crate::value::Value;

impl Parser {
    pub(super) fn postfix(&mut self, node: Node) -> Result<Node, LangError> {
        let start = node.offset;
        let mut node = node;
        let mut chain = false;
        loop {
            let offset = self.offset();
            let optional = self.is("?.");
            if self.accept("?.") || self.accept(".") {
                chain |= optional;
                node = if self.is("[") {
                    self.index(node, optional)?
                } else {
                    self.member(node, optional, offset)?
                };
            } else if self.is("[") {
                node = self.index(node, false)?;
            } else {
                break;
            }
        }
        if chain {
            node = self.node(Kind::Chain(Arc::new(node)), start)?;
        }
        Ok(node)
    }

    fn member(&mut self, object: Node, optional: bool, offset: usize) -> Result<Node, LangError> {
        let Token::Word(name) = self.peek().clone() else {
            return Err(self.unexpected());
        };
        let name_offset = self.offset();
        self.at += 1;
        if self.accept("(") {
            let arguments = self.items(")")?;
            if matches!(&object.kind, Kind::Name(name) if name == "sprig") {
                let function = sprig::find(&name)
                    .ok_or_else(|| syntax(sprig::unknown(&format!("sprig.{name}"), &name), name_offset))?;
                return self.node(Kind::Sprig(function, arguments), offset);
            }
            if !method::is_known(&name) {
                return Err(syntax(format!("there is no method {name}"), name_offset));
            }
            let kind = Kind::Method { object: Arc::new(object), name, arguments, optional };
            return self.node(kind, offset);
        }
        let key = self.node(Kind::Literal(Value::text(name)), name_offset)?;
        let kind = Kind::Member { object: Arc::new(object), key: Arc::new(key), optional };
        self.node(kind, offset)
    }

    /// `[key]`, `[from:to]`, and both ends left out.
    fn index(&mut self, object: Node, optional: bool) -> Result<Node, LangError> {
        let offset = self.offset();
        self.expect("[")?;
        let from = self.slice_end(":")?;
        if self.accept(":") {
            let to = self.slice_end("]")?;
            self.expect("]")?;
            let object = Arc::new(object);
            return self.node(Kind::Slice { object, from, to }, offset);
        }
        let Some(key) = from else {
            return Err(self.unexpected());
        };
        self.expect("]")?;
        let kind = Kind::Member { object: Arc::new(object), key, optional };
        self.node(kind, offset)
    }

    fn slice_end(&mut self, end: &str) -> Result<Option<Child>, LangError> {
        if self.is(end) {
            return Ok(None);
        }
        Ok(Some(Arc::new(self.expression(0)?)))
    }
}
