//! Equality and order of values, as expr-lang has them.

use std::cmp::Ordering;

use super::Value;

impl Value {
    /// Whether two values are equal; numbers compare across integer and float. `step` is called for each
    /// pair that is looked at, and may refuse to go on: values that share parts can be large.
    pub(crate) fn equal<E>(&self, other: &Self, step: &mut dyn FnMut() -> Result<(), E>) -> Result<bool, E> {
        step()?;
        Ok(match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                if a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equal(b, step)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(a), Self::Map(b)) => {
                if a.entries.len() != b.entries.len() {
                    return Ok(false);
                }
                for ((a_key, a), (b_key, b)) in a.entries.iter().zip(&b.entries) {
                    if a_key != b_key || !a.equal(b, step)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => match (self.as_float(), other.as_float()) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
        })
    }

    /// The order of two values; `None` where there is none.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) | (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            _ => self.as_float()?.partial_cmp(&other.as_float()?),
        }
    }
}
