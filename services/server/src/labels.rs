//! Labels as Kubernetes has them: what is no label there is refused before anything stands in a journal.

use serde_json::Value;

use crate::error::ApiError;

/// The longest name or value.
const MAX: usize = 63;
/// The longest prefix of a key.
const PREFIX_MAX: usize = 253;

/// Checks `metadata.labels`.
///
/// # Errors
/// Names the first that is no label.
pub(crate) fn check(labels: &Value) -> Result<(), ApiError> {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let (prefix, name) = key.rsplit_once('/').map_or((None, key.as_str()), |(p, name)| (Some(p), name));
        if name.is_empty() || !word(name) || prefix.is_some_and(|prefix| !domain(prefix)) {
            return Err(wrong("key", key));
        }
        let Some(text) = value.as_str() else {
            return Err(ApiError::invalid(format!("label `{key}` is no text; write it in quotes")));
        };
        if !word(text) {
            return Err(wrong("value", text));
        }
    }
    Ok(())
}

fn wrong(part: &str, text: &str) -> ApiError {
    ApiError::invalid(format!(
        "{text:?} is no {part} of a label: at most {MAX} letters, digits, `-`, `_` and `.`, beginning and ending with \
         a letter or digit"
    ))
}

fn word(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= MAX && text.chars().all(inner) && end(text.chars().next()) && end(text.chars().next_back())
}

fn domain(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && word(part)
            && !part.bytes().any(|b| b.is_ascii_uppercase() || b == b'_' || b == b'.')
    };
    text.len() <= PREFIX_MAX && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_those_of_kubernetes() {
        for good in
            [json!(null), json!({}), json!({"a": "", "events.argoproj.io/sensor": "my_S.1", "a-b": "x"})]
        {
            assert!(check(&good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for (key, value) in [
            ("a", "b\nc"),
            ("a", "b=c"),
            ("a", "-b"),
            ("a", "b."),
            ("a b", "c"),
            ("", "c"),
            ("/a", "c"),
            ("UPPER.io/a", "c"),
            ("a/b/c", "d"),
            ("a", long.as_str()),
            (long.as_str(), "c"),
        ] {
            assert!(check(&json!({ key: value })).is_err(), "{key:?}={value:?}");
        }
        assert!(check(&json!({"a": 1})).is_err());
    }
}
