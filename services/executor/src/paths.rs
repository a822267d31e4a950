//! Files that a template declares, and the author's own mentions of them.
//!
//! In a container a step finds `/tmp/result.txt` where the manifest says. On the host each step has a folder
//! of its own, so that a mention of a declared file in command, arguments, environment or source is turned
//! into the place below that folder. Only what the author wrote is looked at, before any value is inserted.

use serde_json::Value;
use tiphys_manifest::workflow::Template;

/// The paths that a template declares, the longest first.
#[must_use]
pub(crate) fn declared(template: &Template) -> Vec<String> {
    let inputs = template.inputs.artifacts.iter();
    let artifacts = inputs.chain(&template.outputs.artifacts);
    let artifacts = artifacts.filter_map(|artifact| artifact.path.clone());
    let parameters = template.outputs.parameters.iter();
    let parameters = parameters.filter_map(|p| p.value_from.as_ref()?.path.clone());
    let mut all: Vec<String> = artifacts.chain(parameters).collect();
    // A path with a tag in it is known only later, and `/` is everywhere.
    all.retain(|path| path.len() > 1 && !path.contains("{{"));
    all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    all.dedup();
    all
}

/// `written` with every mention of a declared path replaced.
#[must_use]
pub(crate) fn mapped(written: &Value, declared: &[String], path_of: &dyn Fn(&str) -> String) -> Value {
    let places: Vec<(&str, String)> = declared
        .iter()
        .map(|path| (path.as_str(), path_of(path)))
        .filter(|(path, place)| path != place)
        .collect();
    if places.is_empty() {
        return written.clone();
    }
    walk(written, &places)
}

fn walk(value: &Value, places: &[(&str, String)]) -> Value {
    match value {
        Value::String(text) => Value::String(replaced(text, places)),
        Value::Array(items) => items.iter().map(|item| walk(item, places)).collect(),
        Value::Object(members) => {
            members.iter().map(|(key, member)| (key.clone(), walk(member, places))).collect()
        }
        other => other.clone(),
    }
}

fn replaced(text: &str, places: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some(c) = rest.chars().next() {
        let hit = places.iter().find(|(path, _)| {
            let bounded = !before.is_some_and(is_path) && rest.starts_with(path);
            let after = rest.get(path.len()..).and_then(|tail| tail.chars().next());
            bounded && after.is_none_or(|c| c == '/' || !is_path(c) || is_sentence_end(rest, path))
        });
        let taken = match hit {
            Some((path, place)) => {
                out.push_str(place);
                path.len()
            }
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        before = rest.get(..taken).and_then(|taken| taken.chars().next_back());
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

fn is_path(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')
}

/// A full stop after a path, with nothing of a name behind it, ends a sentence and not the name.
fn is_sentence_end(rest: &str, path: &str) -> bool {
    let tail = rest.get(path.len()..).unwrap_or_default();
    let mut chars = tail.chars();
    chars.next() == Some('.') && chars.next().is_none_or(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_paths_only() {
        let declared = ["/tmp/out".to_owned(), "/tmp".to_owned()];
        let place = |path: &str| format!("/steps/k{path}");
        let text = |t: &str| mapped(&json!(t), &declared, &place);
        assert_eq!(text("cat >/tmp/out"), "cat >/steps/k/tmp/out");
        assert_eq!(text("cat '/tmp/out/a' /tmp/outer"), "cat '/steps/k/tmp/out/a' /steps/k/tmp/outer");
        assert_eq!(text("/var/tmp/out /tmp.d"), "/var/tmp/out /tmp.d");
        assert_eq!(text("See /tmp/out. Thanks"), "See /steps/k/tmp/out. Thanks");
    }
}
