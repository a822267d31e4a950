//! JSONPath, for the function `jsonpath`.

use jsonpath_rust::JsonPath as _;
use serde_json::Value as Json;

use crate::LangError;
use crate::sprig::run::Run;
use crate::value::Value;

/// The crate parses by recursion, so what is handed to it is kept short.
const MAX_LENGTH: usize = 1024;
const MAX_BRACKETS: usize = 32;

/// Reads a path in JSON text or in a value. A path that can lead to one value only gives that value.
pub(super) fn read(run: &mut Run, document: &Value, path: &str) -> Result<Value, LangError> {
    let brackets = path.matches(['[', '(']).count();
    if path.len() > MAX_LENGTH || brackets > MAX_BRACKETS {
        return Err(run.limit("the length of a path"));
    }
    run.pay_for(document)?;
    let json: Json = match document {
        Value::Text(text) => serde_json::from_str(text)
            .map_err(|error| run.fail(format!("jsonpath: this is no JSON: {error}")))?,
        other => other.to_json(),
    };
    let found =
        json.query(path).map_err(|error| run.fail(format!("jsonpath: '{path}' is no path: {error}")))?;
    if !is_single(path) {
        return Ok(Value::list(found.into_iter().map(Value::from).collect()));
    }
    match found.first() {
        Some(value) => Ok(Value::from(*value)),
        None => Err(run.fail(format!("jsonpath: nothing is at '{path}'"))),
    }
}

/// Whether a path has no wildcard, query, slice or list of names outside its quotes.
fn is_single(path: &str) -> bool {
    let mut quote = None;
    let mut last = ' ';
    for character in path.chars() {
        match quote {
            Some(open) if character == open && last != '\\' => quote = None,
            Some(_) => {}
            None => match character {
                '\'' | '"' => quote = Some(character),
                '*' | '?' | ':' | ',' => return false,
                '.' if last == '.' => return false,
                _ => {}
            },
        }
        last = character;
    }
    true
}
