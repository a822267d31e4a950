//! `explain CODE`.

use crate::exit::{Code, Failure};

/// Prints what a code means and what to do.
pub(super) fn run(code: &str) -> Result<(), Failure> {
    match tiphys_manifest::codes::explain(code) {
        Some(text) => {
            println!("{code}\n{text}");
            Ok(())
        }
        None => Err(Failure::new(
            Code::NotFound,
            format!("`{code}` is no code of a manifest; docs/errors.md lists all"),
        )),
    }
}
