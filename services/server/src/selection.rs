//! Which objects of a list are meant: label and field selectors, as Kubernetes writes them.

use serde::Deserialize;
use serde_json::Value;

use crate::error::ApiError;

/// Argo's list options, as far as they say which objects are meant.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ListOptions {
    #[serde(default, rename = "listOptions.labelSelector")]
    labels: String,
    #[serde(default, rename = "listOptions.fieldSelector")]
    fields: String,
}

/// Both selectors, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    labels: Vec<Requirement>,
    /// The one object that is meant by its name.
    pub(crate) name: Option<String>,
}

/// What a label has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    /// The values it may have, or may not have where `negated`; none = it only has to be there.
    values: Option<Vec<String>>,
    negated: bool,
}

impl ListOptions {
    /// Reads the selectors.
    ///
    /// # Errors
    /// Names the term that is none: a list without it would be another list.
    pub(crate) fn read(&self) -> Result<Selection, ApiError> {
        let mut name = None;
        for term in terms(&self.fields) {
            match term.split_once('=').map(|(key, value)| (key, value.trim_start_matches('='))) {
                Some(("metadata.name", value)) => name = Some(value.to_owned()),
                // The namespace stands in the path.
                Some(("metadata.namespace", _)) => {}
                _ => {
                    return Err(ApiError::invalid(format!(
                        "field selector `{term}` is not understood; `metadata.name=NAME` is"
                    )));
                }
            }
        }
        let labels: Result<_, _> = terms(&self.labels).into_iter().map(Requirement::read).collect();
        Ok(Selection { labels: labels?, name })
    }
}

impl Selection {
    /// Whether this object is meant.
    pub(crate) fn takes(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let named = object.pointer("/metadata/name").and_then(Value::as_str);
        self.labels.iter().all(|wanted| wanted.holds(label(&wanted.key)))
            && self.name.as_deref().is_none_or(|name| named == Some(name))
    }
}

impl Requirement {
    fn read(term: &str) -> Result<Self, ApiError> {
        let made = |key: &str, values: Option<Vec<String>>, negated| Self {
            key: key.trim().to_owned(),
            values,
            negated,
        };
        let one = |value: &str| Some(vec![value.trim_start_matches('=').trim().to_owned()]);
        if let Some((head, list)) = term.strip_suffix(')').and_then(|term| term.split_once('(')) {
            let values = Some(list.split(',').map(|value| value.trim().to_owned()).collect());
            return match head.split_whitespace().collect::<Vec<_>>().as_slice() {
                [key, "in"] => Ok(made(key, values, false)),
                [key, "notin"] => Ok(made(key, values, true)),
                _ => Err(wrong(term)),
            };
        }
        let read = match (term.split_once("!="), term.split_once('=')) {
            (Some((key, value)), _) => made(key, one(value), true),
            (None, Some((key, value))) => made(key, one(value), false),
            (None, None) => match term.strip_prefix('!') {
                Some(key) => made(key, None, true),
                None => made(term, None, false),
            },
        };
        let blank = read.key.is_empty() || read.key.contains(char::is_whitespace);
        if blank { Err(wrong(term)) } else { Ok(read) }
    }

    /// An absent label is none of any values.
    fn holds(&self, label: Option<&str>) -> bool {
        let has = match &self.values {
            None => label.is_some(),
            Some(values) => label.is_some_and(|label| values.iter().any(|value| value == label)),
        };
        has != self.negated
    }
}

fn wrong(term: &str) -> ApiError {
    ApiError::invalid(format!(
        "label selector `{term}` is not understood; forms are `k=v`, `k!=v`, `k`, `!k`, `k in (a,b)`, `k notin (a,b)`"
    ))
}

/// The terms between commas; those in brackets belong to their term.
fn terms(selector: &str) -> Vec<&str> {
    let mut open = false;
    let terms = selector.split(|c: char| {
        match c {
            '(' => open = true,
            ')' => open = false,
            _ => {}
        }
        c == ',' && !open
    });
    terms.map(str::trim).filter(|term| !term.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selection(labels: &str, fields: &str) -> Result<Selection, ApiError> {
        ListOptions { labels: labels.into(), fields: fields.into() }.read()
    }

    #[test]
    fn selectors_as_argo_and_kubectl_write_them() {
        let object = json!({"metadata": {"name": "x", "labels": {"phase": "Failed", "a": "1"}}});
        for (labels, fields, taken) in [
            ("", "", true),
            ("phase=Failed", "", true),
            ("phase==Failed,a", "", true),
            ("phase in (Running, Failed),a=1", "", true),
            ("phase in (Running)", "", false),
            ("phase notin (Running)", "", true),
            ("b notin (1)", "", true),
            ("!b", "", true),
            ("!a", "", false),
            ("a!=1", "", false),
            ("b!=1", "", true),
            ("b", "", false),
            ("", "metadata.name=x", true),
            ("", "metadata.name==y", false),
            ("", "metadata.namespace=default,metadata.name=x", true),
        ] {
            assert_eq!(selection(labels, fields).unwrap().takes(&object), taken, "{labels:?} {fields:?}");
        }
        for (labels, fields) in [("a of (b)", ""), ("a b", ""), ("=x", ""), ("", "status.phase=Failed")] {
            assert!(selection(labels, fields).is_err(), "{labels:?} {fields:?}");
        }
    }
}
