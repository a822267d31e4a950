//! Printing: tables as kubectl prints them, objects as JSON or YAML, names. Data goes to standard output, talk
//! to standard error.

pub(crate) mod color;
pub(crate) mod table;
pub(crate) mod tree;

use serde_json::Value;

use crate::cli::Format;
use crate::exit::{Code, Failure};

/// Prints one object as pretty JSON.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    println!("{text}");
    Ok(())
}

/// Prints a list as data or as names, where that is asked for; false where a table is.
pub(crate) fn data(
    list: &Value,
    format: Option<Format>,
    name: impl Fn(&Value) -> String,
) -> Result<bool, Failure> {
    match format {
        Some(Format::Json) => json(list)?,
        Some(Format::Yaml) => yaml(list)?,
        Some(Format::Name) => {
            let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
            items.for_each(|item| println!("{}", name(item)));
        }
        None | Some(Format::Table | Format::Wide) => return Ok(false),
    }
    Ok(true)
}

/// Prints one object as YAML.
pub(crate) fn yaml(value: &Value) -> Result<(), Failure> {
    let text =
        serde_saphyr::to_string(value).map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    print!("{text}");
    Ok(())
}
