//! Printing: tables as kubectl prints them, objects as JSON or YAML, names. Data goes to standard output, talk
//! to standard error.

pub(crate) mod color;
pub(crate) mod table;
pub(crate) mod tree;

use serde_json::Value;

use crate::exit::{Code, Failure};

/// Prints one object as pretty JSON.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    println!("{text}");
    Ok(())
}

/// Prints one object as YAML.
pub(crate) fn yaml(value: &Value) -> Result<(), Failure> {
    let text =
        serde_saphyr::to_string(value).map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    print!("{text}");
    Ok(())
}
