//! The values that expressions work on, and the text forms that Go gives them.

mod json;
pub(crate) mod layout;
pub(crate) mod number;
mod order;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Zoned;

/// A value of the expr-lang dialect. Integers and floats are apart, as in Go.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    List(Arc<List>),
    Map(Arc<Map>),
    Time(Arc<Zoned>),
    /// Nanoseconds.
    Duration(i64),
}

/// A list that knows how deep it nests, so that no program builds a value too deep to be dropped.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) items: Vec<Value>,
    depth: usize,
}

/// A map, sorted by its keys as Go writes it, that knows how deep it nests.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) entries: BTreeMap<Arc<str>, Value>,
    depth: usize,
}

impl Value {
    pub(crate) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        let depth = 1 + items.iter().map(Self::depth).max().unwrap_or(0);
        Self::List(Arc::new(List { items, depth }))
    }

    pub(crate) fn map(entries: BTreeMap<Arc<str>, Self>) -> Self {
        let depth = 1 + entries.values().map(Self::depth).max().unwrap_or(0);
        Self::Map(Arc::new(Map { entries, depth }))
    }

    /// How many lists and maps stand inside one another.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth,
            _ => 0,
        }
    }

    /// Go's word for its type, as in error messages.
    pub(crate) fn go_type(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
        }
    }

    /// The number as a float, for an integer or a float.
    pub(crate) fn as_float(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "as Go converts")]
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }
}
