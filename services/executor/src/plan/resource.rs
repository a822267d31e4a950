//! From a resource template to what is to be done, every tag replaced. Pure.
//!
//! A manifest is text, and Argo splices values into it as text. Here it is read first and the values put into the
//! tree, so that a value stays within the place where its tag stands, whatever it holds: an event cannot add members to
//! an object. A tag that is a whole value without quotes may stand for a number, a list or a mapping, as in Argo. Only where
//! the text is no YAML until its tags are replaced is it spliced.

use serde::Deserialize;
use serde_json::{Number, Value};
use tiphys_manifest::load;

use crate::definition::TemplateDef;
use crate::journal::State;
use crate::launcher::resource::{
    Action, Condition, Flags, Manifest, Merge, Reading, ResourceOutput, ResourceSpec,
};
use crate::scope::Scope;
use crate::substitute;

/// `resource` of a template.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    action: Option<String>,
    manifest: Option<String>,
    manifest_from: Option<From>,
    flags: Option<Vec<String>>,
    merge_strategy: Option<String>,
    set_owner_reference: Option<bool>,
    success_condition: Option<String>,
    failure_condition: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct From {
    artifact: Option<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

/// What a resource template asks for; `None` where the template is none.
pub(super) fn spec(
    scope: &Scope<'_>,
    state: &State,
    def: &TemplateDef,
) -> Result<Option<ResourceSpec>, String> {
    let Some(json) = &def.typed.resource else { return Ok(None) };
    let written = Written::deserialize(json).map_err(|error| format!("resource: {error}"))?;
    let replaced = |text: &Option<String>| substitute::required(scope, text.as_deref().unwrap_or_default());
    let word = replaced(&written.action)?;
    let action = Action::named(word.trim()).ok_or_else(|| {
        format!("resource.action '{word}' must be one of: get, create, apply, delete, replace, patch")
    })?;
    let merge = match replaced(&written.merge_strategy)?.as_str() {
        "" | "strategic" => Merge::Strategic,
        "merge" => Merge::Merge,
        "json" => Merge::Json,
        other => {
            return Err(format!("resource.mergeStrategy '{other}' must be one of: strategic, merge, json"));
        }
    };
    let flags = written.flags.unwrap_or_default();
    let flags = flags.iter().map(|flag| substitute::required(scope, flag)).collect::<Result<Vec<_>, _>>()?;
    Flags::parse(&flags).map_err(|why| format!("resource.flags: {why}"))?;
    let condition = |text: &Option<String>, which: &str| {
        let text = replaced(text)?;
        let parsed = Condition::parse(&text);
        parsed.map_err(|why| format!("{which} condition '{text}' failed to parse: {why}")).map(|_| text)
    };
    let spec = ResourceSpec {
        action,
        manifest: manifest(scope, def, written.manifest.as_deref(), written.manifest_from)?,
        flags,
        merge,
        set_owner_reference: written.set_owner_reference.unwrap_or_default(),
        success_condition: condition(&written.success_condition, "success")?,
        failure_condition: condition(&written.failure_condition, "fail")?,
        service_account: account(scope, state, def)?,
        outputs: outputs(scope, def)?,
    };
    fits(&spec)?;
    Ok(Some(spec))
}

/// What can be told before anything is done.
fn fits(spec: &ResourceSpec) -> Result<(), String> {
    let waits = !spec.success_condition.is_empty() || !spec.failure_condition.is_empty();
    if spec.action == Action::Delete && (waits || !spec.outputs.is_empty()) {
        return Err(
            "successCondition, failureCondition and outputs are not supported for delete action".into()
        );
    }
    let Manifest::Documents(documents) = &spec.manifest else { return Ok(()) };
    if documents.is_empty() {
        if !matches!(spec.action, Action::Get | Action::Delete) {
            return Err("either resource.manifest or resource.manifestFrom must be specified".into());
        }
        if spec.flags.is_empty() {
            return Err("resource must provide at least one of flags or manifest".into());
        }
    }
    if documents.len() > 1 && spec.action != Action::Delete {
        return Err(format!(
            "resource.manifest holds {} objects, and a template acts on one: give each a template of its own",
            documents.len()
        ));
    }
    Ok(())
}

fn manifest(
    scope: &Scope<'_>,
    def: &TemplateDef,
    text: Option<&str>,
    from: Option<From>,
) -> Result<Manifest, String> {
    let text = text.filter(|text| !text.trim().is_empty());
    match (text, from.and_then(|from| from.artifact)) {
        (Some(_), Some(_)) => Err("resource has both manifest and manifestFrom: keep one".into()),
        (Some(text), None) => {
            let documents = read(scope, text).map_err(|why| format!("resource.manifest: {why}"))?;
            Ok(Manifest::Documents(documents))
        }
        (None, Some(artifact)) => {
            if !def.typed.inputs.artifacts.iter().any(|input| input.name == artifact.name) {
                return Err(format!(
                    "artifact {} in `manifestFrom` refer to a non-exist artifact",
                    artifact.name
                ));
            }
            Ok(Manifest::Artifact(artifact.name))
        }
        (None, None) => Ok(Manifest::Documents(Vec::new())),
    }
}

/// Marks are whole numbers, so that the reader tells whether one stood in quotes.
const MARK: u64 = 731_948_205_660_000_000;
const MARK_END: u64 = MARK + 1_000_000;

fn read(scope: &Scope<'_>, text: &str) -> Result<Vec<Value>, String> {
    let mut values: Vec<String> = Vec::new();
    let marked = substitute::marked(scope, text, &mut |value| {
        let mark = MARK + u64::try_from(values.len()).unwrap_or_default();
        values.push(value);
        mark.to_string()
    });
    let marked = marked.unwrap_or_default();
    let within = !marked.is_empty() && u64::try_from(values.len()).is_ok_and(|count| MARK + count < MARK_END);
    if within
        && !text.contains(&MARK.to_string()[..12])
        && let Ok(documents) = load::values(&marked)
    {
        let mut used = 0;
        let filled: Result<Vec<Vec<Value>>, String> =
            documents.iter().map(|document| top(document, &values, &mut used)).collect();
        let filled: Vec<Value> = filled?.into_iter().flatten().collect();
        if used >= marks_of(&marked) {
            return Ok(filled);
        }
    }
    load::values(&substitute::required(scope, text)?)
}

/// How many marks stand outside of comments, at most.
fn marks_of(marked: &str) -> usize {
    let head = &MARK.to_string()[..12];
    let code = marked.lines().filter(|line| !line.trim_start().starts_with('#'));
    code.map(|line| line.matches(head).count()).sum()
}

/// A whole document that is one tag may be several.
fn top(document: &Value, values: &[String], used: &mut usize) -> Result<Vec<Value>, String> {
    match document {
        Value::Number(number) if is_mark(number) => {
            *used += 1;
            load::values(value_of(number, values).unwrap_or_default())
        }
        other => Ok(vec![filled(other, values, used)?]),
    }
}

fn is_mark(number: &Number) -> bool {
    number.as_u64().is_some_and(|number| (MARK..MARK_END).contains(&number))
}

fn value_of<'v>(number: &Number, values: &'v [String]) -> Option<&'v str> {
    let index = usize::try_from(number.as_u64()?.checked_sub(MARK)?).ok()?;
    values.get(index).map(String::as_str)
}

fn filled(value: &Value, values: &[String], used: &mut usize) -> Result<Value, String> {
    Ok(match value {
        Value::Number(number) if is_mark(number) => {
            *used += 1;
            let text = value_of(number, values).unwrap_or_default();
            match load::values(text) {
                Ok(mut read) if read.len() <= 1 => read.pop().unwrap_or(Value::Null),
                // No YAML by itself: it is the text that it is.
                _ => Value::String(text.to_owned()),
            }
        }
        Value::String(text) => Value::String(spliced(text, values, used)),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| filled(item, values, used)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, member)| {
                Ok::<_, String>((spliced(name, values, used), filled(member, values, used)?))
            });
            Value::Object(members.collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

/// A text with its marks replaced.
fn spliced(text: &str, values: &[String], used: &mut usize) -> String {
    let mark = MARK.to_string();
    let (head, length) = (&mark[..12], mark.len());
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(head) {
        let digits = rest.get(at..at + length).and_then(|digits| digits.parse::<u64>().ok());
        let value = digits.and_then(|digits| value_of(&Number::from(digits), values));
        out.push_str(&rest[..at]);
        match value {
            Some(value) => {
                *used += 1;
                out.push_str(value);
                rest = &rest[at + length..];
            }
            None => {
                out.push_str(head);
                rest = &rest[at + head.len()..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Whose rights are used. As in Argo, where the steps' own token is not mounted the executor's account takes its place.
fn account(scope: &Scope<'_>, state: &State, def: &TemplateDef) -> Result<String, String> {
    let whole = state.definition.as_ref();
    let mounted = def.typed.automount_service_account_token;
    let mounted = mounted.or_else(|| whole.and_then(|d| d.spec.automount_service_account_token));
    let named = |executor: Option<&Value>| {
        executor.and_then(|e| e["serviceAccountName"].as_str()).map(str::to_owned).filter(|n| !n.is_empty())
    };
    let executor = named(def.typed.executor.as_ref());
    let executor = executor.or_else(|| named(whole.and_then(|d| d.spec.executor.as_ref())));
    if let (Some(false), Some(account)) = (mounted, executor) {
        return substitute::required(scope, &account);
    }
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let account = given(&def.typed.service_account_name);
    let account = account.or_else(|| whole.and_then(|d| given(&d.spec.service_account_name)));
    match account {
        Some(account) => substitute::required(scope, &account),
        None => Ok("default".into()),
    }
}

fn outputs(scope: &Scope<'_>, def: &TemplateDef) -> Result<Vec<ResourceOutput>, String> {
    if let Some(artifact) = def.typed.outputs.artifacts.first() {
        return Err(format!("output artifact '{}': a resource template makes no files", artifact.name));
    }
    let mut all = Vec::new();
    for parameter in &def.typed.outputs.parameters {
        let from = parameter.value_from.as_ref();
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let path = from.and_then(|from| given(&from.json_path));
        let filter = from.and_then(|from| given(&from.jq_filter));
        let from_default = from.and_then(|from| from.default.as_deref()).or(parameter.default.as_deref());
        let reading = match (path, filter) {
            (Some(path), _) => Reading::JsonPath(substitute::required(scope, &path)?),
            (None, Some(filter)) => Reading::JqFilter(substitute::required(scope, &filter)?),
            (None, None) => {
                return Err(format!(
                    "output parameter '{}' of a resource template needs valueFrom.jsonPath or valueFrom.jqFilter",
                    parameter.name
                ));
            }
        };
        all.push(ResourceOutput {
            name: parameter.name.clone(),
            from: reading,
            default: from_default.map(|text| substitute::required(scope, text)).transpose()?,
        });
    }
    Ok(all)
}
