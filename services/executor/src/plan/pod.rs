//! From a template and its inputs to the pod of one attempt, every tag replaced.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tiphys_core::Trace;
use tiphys_core::trace::VARIABLE;

pub(crate) use super::options::claim_name;
use super::{Context, options, place, resource, retry};
use crate::artifact::kept;
use crate::definition::TemplateDef;
use crate::journal::State;
use crate::launcher::{InputArtifact, OutputArtifact, OutputParameter, PodOptions, PodSpec};
use crate::names::item_text;
use crate::node::Node;
use crate::paths;
use crate::scope::{Attempt, Scope};
use crate::substitute;

/// The annotation by which a manifest lets its steps run on the host.
pub const LAUNCHER: &str = "tiphys.dev/launcher";

/// The pod of a node that stands in the journal; for a shell that starts again.
///
/// # Errors
/// Says why the node has none.
pub fn of_node(state: &State, node: &Node, context: &Context<'_>) -> Result<PodSpec, String> {
    let (scope, name) = node.target.place();
    let def =
        state.template(&scope, &name).ok_or_else(|| format!("template '{name}' is gone from the journal"))?;
    spec(state, node, &def, context)
}

/// Whether the node's work may be begun anew wherever it was interrupted: it finds what it did before.
pub(crate) fn is_repeatable(state: &State, node: &Node) -> bool {
    let (scope, name) = node.target.place();
    state.template(&scope, &name).is_some_and(|def| def.typed.resource.is_some())
}

/// The pod of a node.
pub(super) fn spec(
    state: &State,
    node: &Node,
    def: &TemplateDef,
    context: &Context<'_>,
) -> Result<PodSpec, String> {
    let (Some(key), Some(name)) = (&node.pod, &node.pod_name) else {
        return Err("the node has no pod".into());
    };
    let last = last_attempt(state, node);
    let mut attempt = Attempt {
        node: &node.name,
        pod: name,
        key,
        def,
        number: node.attempt,
        last,
        on_host: false,
        path_of: context.path_of,
    };
    let within = |attempt| Scope {
        inputs: Some(&node.inputs),
        attempt: Some(attempt),
        ..Scope::of(state, context.now, &node.name)
    };
    // Where files are depends on the launcher, and that on an annotation, which so may name no file.
    let annotations = metadata(&within(attempt), state, def, "annotations")?;
    attempt.on_host = is_host_allowed(state, &annotations);
    let scope = within(attempt);
    let (mut container, script) = container(&scope, def, attempt, context)?;
    let labels = metadata(&scope, state, def, "labels")?;
    let options = PodOptions {
        node_name: node.name.clone(),
        avoid: retry::hosts_to_avoid(state, node, def),
        ..options::of(&scope, def, &container, &labels)?
    };
    if let Some(place) = context.trace {
        pass_on(&mut container, place.step(key));
    }
    let resource = resource::spec(&scope, state, def)?;
    let archive_logs = archives_logs(state, def, context);
    Ok(PodSpec {
        key: key.clone(),
        name: name.clone(),
        namespace: state.submission.namespace.clone(),
        workflow: state.submission.name.clone(),
        workflow_uid: state.submission.uid.clone(),
        node_id: node.id.clone(),
        template: def.name.clone(),
        process_allowed: attempt.on_host,
        labels,
        annotations,
        container,
        pod: options,
        script,
        inputs: inputs(node, def),
        output_parameters: if resource.is_some() { Vec::new() } else { output_parameters(&scope, def)? },
        output_artifacts: output_artifacts(&scope, def, name)?,
        capture_result: node.wants_result,
        log_key: archive_logs.then(|| place::of_log(&scope, def, name)).transpose()?,
        keeps: kept::of_pod(state, key).filter(|_| !says_no(state, def)),
        archive_logs,
        deadline: deadline(&scope, def, context)?,
        grace: context.grace,
        resource,
    })
}

fn last_attempt<'s>(state: &'s State, node: &Node) -> Option<&'s Node> {
    let number = node.attempt?;
    let retry = node.name.strip_suffix(&format!("({number})"))?;
    let last = format!("{retry}({})", number.checked_sub(1)?);
    state.named(&last).map(|node| &**node)
}

/// The container as JSON and, of a script, its source. The author's own mentions of declared files are turned
/// into where the step finds them.
fn container(
    scope: &Scope<'_>,
    def: &TemplateDef,
    attempt: Attempt<'_>,
    context: &Context<'_>,
) -> Result<(Value, Option<String>), String> {
    let is_script = def.typed.script.is_some();
    let written = &def.json[if is_script { "script" } else { "container" }];
    let declared = paths::declared(&def.typed);
    let mapped =
        paths::mapped(written, &declared, &|path| (context.path_of)(attempt.key, attempt.on_host, path));
    let mut replaced = replaced(scope, &mapped)?;
    let source = replaced.as_object_mut().filter(|_| is_script).map(|members| members.remove("source"));
    let source = source.map(|source| source.as_ref().map(item_text).unwrap_or_default());
    if let Some(members) = replaced.as_object_mut() {
        members.insert("name".into(), json!("main"));
    }
    Ok((replaced, source))
}

/// Gives the step its place in the trace, unless its author names another. First of all, so that other variables may
/// refer to it.
fn pass_on(container: &mut Value, trace: Trace) {
    let Some(members) = container.as_object_mut() else { return };
    let list = members.entry("env").or_insert(Value::Null);
    if list.is_null() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut()
        && list.iter().all(|variable| variable["name"] != VARIABLE)
    {
        list.insert(0, json!({"name": VARIABLE, "value": trace.to_string()}));
    }
}

/// Members of a container in which `$(NAME)` is replaced when it starts.
const EXPANDED: [&str; 3] = ["command", "args", "env"];

pub(super) fn replaced(scope: &Scope<'_>, written: &Value) -> Result<Value, String> {
    let Value::Object(members) = written else { return substitute::tree(scope, written) };
    let replaced = members.iter().map(|(name, value)| {
        let value = if EXPANDED.contains(&name.as_str()) {
            substitute::expanded_tree(scope, value)?
        } else {
            substitute::tree(scope, value)?
        };
        Ok((name.clone(), value))
    });
    replaced.collect::<Result<_, String>>().map(Value::Object)
}

fn metadata(
    scope: &Scope<'_>,
    state: &State,
    def: &TemplateDef,
    table: &str,
) -> Result<BTreeMap<String, String>, String> {
    let whole = state.definition.as_ref();
    let whole = whole.and_then(|d| d.json.get("podMetadata")?.get(table));
    let own = def.json.get("metadata").and_then(|m| m.get(table));
    let mut all = BTreeMap::new();
    for (name, value) in [whole, own].into_iter().flatten().filter_map(Value::as_object).flat_map(Map::iter) {
        all.insert(name.clone(), substitute::required(scope, &item_text(value))?);
    }
    if table == "labels" {
        all.insert("workflows.argoproj.io/workflow".into(), state.submission.name.clone());
        all.insert("workflows.argoproj.io/completed".into(), "false".into());
    }
    Ok(all)
}

/// Whether the template or the workflow says that the step may run on the host.
fn is_host_allowed(state: &State, annotations: &BTreeMap<String, String>) -> bool {
    let own = annotations.get(LAUNCHER).cloned();
    own.or_else(|| state.annotation(LAUNCHER)).is_some_and(|launcher| launcher == "process")
}

fn inputs(node: &Node, def: &TemplateDef) -> Vec<InputArtifact> {
    let declared = |name: &str| def.typed.inputs.artifacts.iter().find(|one| one.name == name);
    let all = node.inputs.artifacts.iter();
    all.filter_map(|artifact| {
        Some(InputArtifact {
            name: artifact.name.clone(),
            path: artifact.path.clone()?,
            mode: artifact.mode,
            from: artifact.source.clone()?,
            optional: declared(&artifact.name).is_some_and(|one| one.optional == Some(true)),
        })
    })
    .collect()
}

fn output_parameters(scope: &Scope<'_>, def: &TemplateDef) -> Result<Vec<OutputParameter>, String> {
    let mut all = Vec::new();
    for parameter in &def.typed.outputs.parameters {
        let from = parameter.value_from.as_ref();
        let Some(path) = from.and_then(|from| from.path.as_deref()) else {
            return Err(format!(
                "output parameter '{}' of a container or script needs valueFrom.path",
                parameter.name
            ));
        };
        let default = from.and_then(|from| from.default.as_deref());
        let default = default.or(parameter.default.as_deref());
        all.push(OutputParameter {
            name: parameter.name.clone(),
            path: substitute::required(scope, path)?,
            default: default.map(|text| substitute::required(scope, text)).transpose()?,
        });
    }
    Ok(all)
}

fn output_artifacts(scope: &Scope<'_>, def: &TemplateDef, pod: &str) -> Result<Vec<OutputArtifact>, String> {
    let mut all = Vec::new();
    for artifact in &def.typed.outputs.artifacts {
        let told = |why: String| format!("output artifact '{}': {why}", artifact.name);
        let Some(path) = artifact.path.as_deref() else {
            return Err(told("has no path".into()));
        };
        all.push(OutputArtifact {
            name: artifact.name.clone(),
            path: substitute::required(scope, path).map_err(told)?,
            key: place::of_output(scope, def, artifact, pod).map_err(told)?,
            archive: place::archive_of(artifact).map_err(told)?,
            optional: artifact.optional.unwrap_or_default(),
        });
    }
    Ok(all)
}

fn archives_logs(state: &State, def: &TemplateDef, context: &Context<'_>) -> bool {
    let repository = state.repository.as_ref().and_then(|repository| repository.archive_logs);
    context.archive_logs || repository == Some(true) || asks_for_logs(state, def).unwrap_or_default()
}

/// What template or workflow says of `archiveLogs`.
fn asks_for_logs(state: &State, def: &TemplateDef) -> Option<bool> {
    let own = def.typed.archive_location.as_ref().and_then(|l| l.archive_logs);
    own.or_else(|| state.definition.as_ref().and_then(|d| d.spec.archive_logs))
}

/// Whether no log is to go to the store.
fn says_no(state: &State, def: &TemplateDef) -> bool {
    let repository = state.repository.as_ref().and_then(|repository| repository.archive_logs);
    repository != Some(true) && asks_for_logs(state, def).or(repository) == Some(false)
}

fn deadline(
    scope: &Scope<'_>,
    def: &TemplateDef,
    context: &Context<'_>,
) -> Result<Option<tiphys_core::Timestamp>, String> {
    let Some(seconds) = &def.typed.active_deadline_seconds else {
        return Ok(None);
    };
    let text = substitute::required(scope, &seconds.to_string())?;
    let wrong = || format!("activeDeadlineSeconds `{text}` is no whole number");
    let seconds: i64 = text.trim().parse().map_err(|_| wrong())?;
    let length = jiff::SignedDuration::from_secs(seconds);
    Ok(context.now.checked_add(length).ok())
}
