//! The tree of an expression.

use std::sync::Arc;

use regex::Regex;

use super::builtin::Builtin;
use crate::sprig::Function;
use crate::value::Value;

/// A node, where it starts in the text, and how many levels it has.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) offset: usize,
    pub(super) levels: usize,
}

/// A child node; shared because a chained comparison uses its middle twice.
pub(super) type Child = Arc<Node>;

/// Functions that run a closure for each element of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loop {
    All,
    None,
    Any,
    One,
    Filter,
    Map,
    Count,
    Sum,
    Find,
    FindIndex,
    FindLast,
    FindLastIndex,
    GroupBy,
    SortBy,
    Reduce,
}

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Coalesce,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

/// An operator before its operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Negate,
    Plus,
}

/// What stands behind `#`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointer {
    Element,
    Index,
    Accumulator,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    Literal(Value),
    /// A member of the environment.
    Name(String),
    /// A `let` variable.
    Local(String),
    Pointer(Pointer),
    Member {
        object: Child,
        key: Child,
        optional: bool,
    },
    Slice {
        object: Child,
        from: Option<Child>,
        to: Option<Child>,
    },
    /// Where a `?.` that met nil lands.
    Chain(Child),
    Unary(Unary, Child),
    Binary(Binary, Child, Child),
    /// `matches` with a pattern that is written out.
    Pattern(Child, Regex),
    Conditional(Child, Child, Child),
    Let(String, Child, Child),
    Sequence(Vec<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Builtin(&'static Builtin, Vec<Node>),
    Sprig(&'static Function, Vec<Node>),
    Method {
        object: Child,
        name: String,
        arguments: Vec<Node>,
        optional: bool,
    },
    Loop {
        function: Loop,
        list: Child,
        body: Option<Child>,
        extra: Option<Child>,
    },
}

impl Node {
    /// The nodes directly below.
    pub(super) fn children(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Literal(_) | Kind::Name(_) | Kind::Local(_) | Kind::Pointer(_) => Vec::new(),
            Kind::Chain(child) | Kind::Unary(_, child) | Kind::Pattern(child, _) => vec![child],
            Kind::Member { object, key, .. } => vec![object, key],
            Kind::Binary(_, left, right) | Kind::Let(_, left, right) => vec![left, right],
            Kind::Slice { object, from, to } => {
                std::iter::once(object).chain(from).chain(to).map(AsRef::as_ref).collect()
            }
            Kind::Conditional(condition, yes, no) => vec![condition, yes, no],
            Kind::Sequence(nodes) | Kind::List(nodes) | Kind::Builtin(_, nodes) | Kind::Sprig(_, nodes) => {
                nodes.iter().collect()
            }
            Kind::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
            Kind::Method { object, arguments, .. } => {
                std::iter::once(object.as_ref()).chain(arguments).collect()
            }
            Kind::Loop { list, body, extra, .. } => {
                std::iter::once(list).chain(body).chain(extra).map(AsRef::as_ref).collect()
            }
        }
    }

    /// The dotted path, where this is a name and constant members of it.
    pub(super) fn path(&self) -> Option<String> {
        match &self.kind {
            Kind::Name(name) => Some(name.clone()),
            Kind::Chain(inner) => inner.path(),
            Kind::Member { object, key, .. } => match &key.kind {
                Kind::Literal(Value::Text(text)) => Some(format!("{}.{text}", object.path()?)),
                _ => None,
            },
            _ => None,
        }
    }
}
