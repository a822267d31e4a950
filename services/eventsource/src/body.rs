//! The `body` of a message's payload, in Argo's shape: JSON as it came where the manifest says that it is JSON,
//! else base64.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::error::Error;
use crate::json;

/// Appends the body to a payload under construction.
///
/// # Errors
/// Fails where `is_json` and it is none.
pub(crate) fn append(out: &mut Vec<u8>, body: &[u8], is_json: bool) -> Result<(), Error> {
    if is_json {
        let wrong = |error: json::NotJson| Error::Message { what: format!("`jsonBody` is set, but {error}") };
        return json::compact(body, out).map(drop).map_err(wrong);
    }
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(body).as_bytes());
    out.push(b'"');
    Ok(())
}

/// Appends `,"metadata":{…}`, or nothing where there is none, and closes the payload.
///
/// # Errors
/// Never with such a map.
pub(crate) fn finish(out: &mut Vec<u8>, metadata: &BTreeMap<String, String>) -> Result<(), Error> {
    if !metadata.is_empty() {
        member(out, b",\"metadata\":", metadata)?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends a key, punctuation included, and a value.
///
/// # Errors
/// Fails where the value is no JSON.
pub(crate) fn member(out: &mut Vec<u8>, key: &[u8], value: &impl Serialize) -> Result<(), Error> {
    out.extend_from_slice(key);
    serde_json::to_writer(out, value).map_err(Error::Payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_digits_and_the_rest_is_base64() {
        let shaped = |body: &[u8], is_json| {
            let mut out = Vec::new();
            append(&mut out, body, is_json).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(shaped(b"{ \"n\": 1795348800123456789 }", true).unwrap(), r#"{"n":1795348800123456789}"#);
        assert_eq!(shaped(b"{}", false).unwrap(), r#""e30=""#);
        assert_eq!(shaped(b"", false).unwrap(), r#""""#);
        assert!(shaped(b"", true).is_err() && shaped(b"nul", true).is_err());
    }
}
