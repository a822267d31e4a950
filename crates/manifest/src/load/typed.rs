//! From values to types: every wrong value and every unknown field is reported, not only the first.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Track;

use super::path::{Path, Segment};
use super::places::Places;
use super::siblings;
use crate::codes;
use crate::diagnostic::{Diagnostic, near};

/// So many wrong values of one object are reported; more would only be read by nobody.
const MAX_REPORTED: usize = 20;
/// So many nulls are taken out one by one, before all are.
const MAX_NULLS: usize = 50;

/// Reads `value`, which stands at `path`. `None`: an error was reported.
pub(super) fn read<T: DeserializeOwned>(
    value: &Value,
    path: &Path,
    places: &Places,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    let mut value = value.clone();
    let (mut nulls, mut wrong) = (0, 0);
    loop {
        let mut unknown = Vec::new();
        let (failed, error) = match attempt::<T>(&value, &mut unknown) {
            Ok(read) => {
                for below in unknown {
                    diagnostics.push(unknown_field::<T>(path, &below, places));
                }
                return (wrong == 0).then_some(read);
            }
            Err(failure) => failure,
        };
        // To Argo, null is a field that was not given.
        let is_null = pointed(&value, &failed).is_some_and(Value::is_null);
        if is_null && nulls < MAX_NULLS && remove(&mut value, &failed) {
            nulls += 1;
            continue;
        }
        if error.contains("null") && nulls <= MAX_NULLS && strip_nulls(&mut value) {
            nulls = MAX_NULLS + 1;
            continue;
        }
        wrong += 1;
        let at = path.join(&failed);
        diagnostics.push(wrong_type(&error, &at, places));
        if wrong == MAX_REPORTED || !remove(&mut value, &failed) {
            return None;
        }
    }
}

fn attempt<T: DeserializeOwned>(value: &Value, unknown: &mut Vec<Path>) -> Result<T, (Path, String)> {
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let read: Result<T, serde_json::Error> =
        serde_ignored::deserialize(tracked, |ignored| unknown.push(from_ignored(&ignored)));
    read.map_err(|error| (from_tracked(&track.path()), error.to_string()))
}

fn unknown_field<T: DeserializeOwned>(base: &Path, below: &Path, places: &Places) -> Diagnostic {
    let path = base.join(below);
    let name = below.last_key().unwrap_or_default();
    let holder = below.parent();
    let legacy = matches!(name, "group" | "version" | "resource")
        && matches!(holder.last_key(), Some("argoWorkflow" | "k8s"));
    if legacy {
        return places.at_key(
            codes::LEGACY_FIELD,
            &path,
            format!("`{name}` is a field of older Argo versions and has no effect"),
            "it may be removed".into(),
        );
    }
    let known = siblings::known::<T>(&holder);
    let help = match (near(name, known.iter().copied()), home::<T>(name, &holder)) {
        (None, Some(home)) => format!("`{name}` belongs to {}", shown(&base.join(&home))),
        _ => suggest(name, known),
    };
    places.at_key(
        codes::UNKNOWN_FIELD,
        &path,
        format!("there is no field `{name}` here, so it has no effect"),
        help,
    )
}

/// The nearest of the mappings around `holder` that has the field: a wrong indentation is the usual reason.
fn home<T: DeserializeOwned>(name: &str, holder: &Path) -> Option<Path> {
    let mut around = holder.clone();
    while !around.0.is_empty() {
        around = around.parent();
        if siblings::known::<T>(&around).contains(&name) {
            return Some(around);
        }
    }
    None
}

fn shown(path: &Path) -> String {
    match path.to_string().as_str() {
        "" => "the object itself".into(),
        text => format!("`{text}`"),
    }
}

/// What to write instead of a name that is not known.
pub(crate) fn suggest(name: &str, known: &[&str]) -> String {
    match near(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "remove it, or check its indentation".into(),
        None if known.len() <= 12 => format!("known here: {}", known.join(", ")),
        None => "remove it, or check its spelling and indentation".into(),
    }
}

fn wrong_type(error: &str, path: &Path, places: &Places) -> Diagnostic {
    let field = match path.0.last() {
        Some(Segment::Key(key)) => format!("`{key}`"),
        Some(Segment::Index(index)) => format!("item {index}"),
        None => "the document".into(),
    };
    let (message, help) = explain(&field, error);
    places.at_value(codes::WRONG_TYPE, path, message, help)
}

/// The reader's words, in the words of a person who writes YAML.
fn explain(field: &str, error: &str) -> (String, String) {
    let found_expected = error
        .strip_prefix("invalid type: ")
        .or_else(|| error.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "));
    if let Some((found, expected)) = found_expected {
        let (found, expected) = (plain_found(found), plain_expected(expected));
        let help = match (expected.as_str(), found.split(' ').next()) {
            ("text", Some("number")) => "put the value in quotes".into(),
            ("text", Some("true" | "false")) => {
                "put the value in quotes: YAML takes `y`, `no`, `on` and the like for true or false".into()
            }
            ("a list", _) => "write each item on a line of its own that begins with `- `".into(),
            ("a mapping", _) => "write `key: value` lines below it, indented".into(),
            _ => format!("give it {expected}"),
        };
        return (format!("{field} takes {expected}, not {found}"), help);
    }
    if let Some(rest) = error.strip_prefix("unknown variant ") {
        let (found, known) = rest.split_once(", expected ").unwrap_or((rest, ""));
        let known = known.trim_start_matches("one of ");
        let names: Vec<&str> = known.split(", ").map(|n| n.trim_matches('`')).collect();
        let help = near(found.trim_matches('`'), names.iter().copied())
            .map_or_else(|| format!("known are {known}"), |near| format!("did you mean `{near}`?"));
        return (format!("{field} has no choice {found}"), help);
    }
    if let Some(missing) = error.strip_prefix("missing field ") {
        return (format!("{field} lacks {missing}"), format!("add {missing}"));
    }
    (format!("{field}: {error}"), "correct the value".into())
}

fn plain_found(found: &str) -> String {
    match found {
        "map" => "a mapping".into(),
        "sequence" => "a list".into(),
        "null" => "nothing".into(),
        _ => {
            let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
            match kind {
                "string" => format!("text {value}"),
                "integer" | "floating" => {
                    format!("number {}", value.trim_start_matches("point "))
                }
                "boolean" => value.trim_matches('`').to_owned(),
                _ => found.to_owned(),
            }
        }
    }
}

fn plain_expected(expected: &str) -> String {
    match expected {
        "a string" | "a borrowed string" | "string" | "str" => "text".into(),
        "a boolean" | "bool" => "true or false".into(),
        "a sequence" | "sequence" => "a list".into(),
        "a map" | "map" => "a mapping".into(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".into(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not below zero".into(),
        "f32" | "f64" => "a number".into(),
        _ if expected.starts_with("struct ") || expected.starts_with("internally tagged enum") => {
            "a mapping".into()
        }
        _ => expected.to_owned(),
    }
}

fn pointed<'a>(value: &'a Value, path: &Path) -> Option<&'a Value> {
    path.0.iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => value.get(key),
        Segment::Index(index) => value.get(index),
    })
}

/// Takes an entry out of its mapping. Items of lists stay: the others would move.
fn remove(value: &mut Value, path: &Path) -> bool {
    let Some((Segment::Key(last), holder)) = path.0.split_last() else {
        return false;
    };
    let holder = holder.iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => value.get_mut(key),
        Segment::Index(index) => value.get_mut(index),
    });
    holder.and_then(Value::as_object_mut).is_some_and(|map| map.shift_remove(last).is_some())
}

/// Takes every null out of its mapping; says whether there was one.
fn strip_nulls(value: &mut Value) -> bool {
    match value {
        Value::Object(map) => {
            let before = map.len();
            map.retain(|_, value| !value.is_null());
            let mut found = map.len() < before;
            for value in map.values_mut() {
                found |= strip_nulls(value);
            }
            found
        }
        Value::Array(items) => items.iter_mut().fold(false, |found, item| strip_nulls(item) | found),
        _ => false,
    }
}

fn from_ignored(path: &serde_ignored::Path<'_>) -> Path {
    use serde_ignored::Path as P;
    match path {
        P::Root => Path::root(),
        P::Seq { parent, index } => from_ignored(parent).index(*index),
        P::Map { parent, key } => from_ignored(parent).key(key.clone()),
        P::Some { parent } | P::NewtypeStruct { parent } | P::NewtypeVariant { parent } => {
            from_ignored(parent)
        }
    }
}

fn from_tracked(path: &serde_path_to_error::Path) -> Path {
    use serde_path_to_error::Segment as S;
    let segments = path.iter().filter_map(|segment| match segment {
        S::Seq { index } => Some(Segment::Index(*index)),
        S::Map { key } => Some(Segment::Key(key.clone())),
        S::Enum { .. } | S::Unknown => None,
    });
    Path(segments.collect())
}
