//! `{{…}}` tags: do they name something, and do they stand where their value becomes a command.

use serde_json::Value;

use super::sensor::meant;
use super::set::{list, text, texts};
use crate::codes;
use crate::diagnostic::{Diagnostic, near};
use crate::load::path::Path;
use crate::object::Object;

/// The first words that mean something in a workflow.
const SCOPES: [&str; 14] = [
    "inputs",
    "outputs",
    "steps",
    "tasks",
    "workflow",
    "item",
    "pod",
    "node",
    "retries",
    "lastRetry",
    "cronworkflow",
    "status",
    "duration",
    "exitCode",
];
/// In metrics also, with a resource after it.
const RESOURCES_DURATION: &str = "resourcesDuration";
const SHELLS: [&str; 7] = ["sh", "bash", "ash", "dash", "zsh", "ksh", "busybox"];

/// Checks the author's text of one template; `calls` are the names of its steps or tasks.
pub(super) fn check(
    object: &Object,
    template: &Value,
    path: &Path,
    defaults: Option<&Value>,
    calls: &[&str],
    findings: &mut Vec<Diagnostic>,
) {
    let inputs = [Some(template), defaults]
        .into_iter()
        .flatten()
        .filter_map(|holder| holder.get("inputs"))
        .collect::<Vec<_>>();
    let declared = |kind: &str| -> Vec<&str> {
        let lists = inputs.iter().flat_map(|inputs| list(inputs, kind));
        lists.map(|input| text(input, "name")).collect()
    };
    let (parameters, artifacts) = (declared("parameters"), declared("artifacts"));
    let mut show = |at: &Path, content: &str| {
        for tag in simple(content) {
            let known = match tag.split('.').collect::<Vec<_>>()[..] {
                ["inputs", "parameters", name, ..] => named(name, &parameters, "input parameter"),
                ["inputs", "artifacts", name, ..] => named(name, &artifacts, "input artifact"),
                ["steps", name, _, ..] => named(name, calls, "step"),
                ["tasks", name, _, ..] => named(name, calls, "task"),
                [scope, ..] => scope_named(scope),
                [] => Ok(()),
            };
            if let Err((message, help)) = known {
                let message = format!("`{{{{{tag}}}}}` names nothing: {message}");
                let finding = object.places.at_value(codes::UNKNOWN_TAG, at, message, help);
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
    };
    each_own_text(template, path, &mut show);
    spliced(object, template, path, findings);
}

/// The texts of a template, without those of templates that stand within it: these are checked by themselves.
fn each_own_text<'a>(template: &'a Value, path: &Path, show: &mut dyn FnMut(&Path, &'a str)) {
    match template {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(key, _)| *key != "inline") {
                each_own_text(value, &path.key(key.clone()), show);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_own_text(item, &path.index(index), show);
            }
        }
        other => texts(other, path, show),
    }
}

/// The tags of a text that are plain names; expressions and other languages' tags are left out.
fn simple(content: &str) -> impl Iterator<Item = &str> {
    let starts = content.split("{{").skip(1);
    starts.filter_map(|rest| {
        let (tag, _) = rest.split_once("}}")?;
        let tag = tag.trim();
        let plain = tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        (plain && tag.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(tag)
    })
}

type Known = Result<(), (String, String)>;

fn named(name: &str, known: &[&str], what: &str) -> Known {
    if known.contains(&name) {
        return Ok(());
    }
    Err((format!("there is no {what} `{name}` here"), meant(name, known, "declare it, or correct the name")))
}

fn scope_named(scope: &str) -> Known {
    if SCOPES.contains(&scope) || scope == RESOURCES_DURATION {
        return Ok(());
    }
    let help = near(scope, SCOPES).map_or_else(
        || "it stays as it is; if that is meant, nothing needs to be done".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Err((format!("there is no `{scope}` to take a value from"), help))
}

/// Parameters in the text of a script, or of a shell's command.
fn spliced(object: &Object, template: &Value, path: &Path, findings: &mut Vec<Diagnostic>) {
    let mut report = |at: &Path, content: &str| {
        let Some(tag) = tainted(content) else { return };
        findings.push(object.places.at_value(
            codes::SPLICED,
            at,
            format!("`{{{{{tag}}}}}` is put into the text of a command: whoever controls its value can run commands"),
            format!("pass it by `env`, with the value \"{{{{{tag}}}}}\", and write \"$NAME\" in the command"),
        ));
    };
    if let Some(script) = template.get("script") {
        report(&path.key("script").key("source"), text(script, "source"));
    }
    for holder in ["container", "script"] {
        let Some(container) = template.get(holder) else {
            continue;
        };
        let words: Vec<(&str, Path)> = ["command", "args"]
            .into_iter()
            .flat_map(|key| {
                let path = path.key(holder).key(key);
                let items = list(container, key).iter().enumerate();
                items.map(move |(index, item)| (item.as_str().unwrap_or_default(), path.index(index)))
            })
            .collect();
        for (word, at) in &words[after_shell(&words)..] {
            report(at, word);
        }
    }
}

/// Where the text that a shell runs begins: after `-c`; at the end where there is no such text.
fn after_shell(words: &[(&str, Path)]) -> usize {
    let shell = words.iter().take(2).any(|(word, _)| {
        let name = word.rsplit('/').next().unwrap_or_default();
        SHELLS.contains(&name)
    });
    let flag = words
        .iter()
        .position(|(word, _)| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'));
    match flag {
        Some(at) if shell => at + 1,
        _ => words.len(),
    }
}

/// The first tag whose value comes from outside.
fn tainted(content: &str) -> Option<&str> {
    content.split("{{").skip(1).find_map(|rest| {
        let (tag, _) = rest.split_once("}}")?;
        let outside = ["inputs.parameters.", "workflow.parameters.", "inputs.parameters["];
        outside.iter().any(|scope| tag.contains(scope)).then(|| tag.trim())
    })
}
