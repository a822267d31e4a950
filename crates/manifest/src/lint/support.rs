//! Constructs that are valid and not run yet.

/// The explanation of a code of this table.
#[must_use]
pub fn explain(_code: &str) -> Option<&'static str> {
    None
}
