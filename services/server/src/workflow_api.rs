//! Argo's API of workflows: list, get, create, submit, lint, verbs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tiphys_core::trace::ANNOTATION;
use tiphys_core::workflow::{Command, Submission, Verb};
use tiphys_executor::{Error, submit};
use tiphys_manifest::Kind;
use tokio::sync::broadcast::error::RecvError;

use crate::body::{Body, Params};
use crate::check::checked;
use crate::error::ApiError;
use crate::labels;
use crate::parameters;
use crate::selection::{ListOptions, Selection};
use crate::state::{Caller, Shared};

type Answer = Result<Json<Value>, ApiError>;

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `GET /workflows/`.
pub(crate) async fn list_all(State(shared): State<Shared>, Params(options): Params<ListOptions>) -> Answer {
    Ok(listed(&shared, None, &options.read()?))
}

/// `GET /workflows/{namespace}`.
pub(crate) async fn list(
    State(shared): State<Shared>,
    Path(namespace): Path<String>,
    Params(options): Params<ListOptions>,
) -> Answer {
    Ok(listed(&shared, Some(&namespace), &options.read()?))
}

fn listed(shared: &Shared, namespace: Option<&str>, wanted: &Selection) -> Json<Value> {
    let mut items = shared.workflows.list(namespace);
    items.retain(|workflow| wanted.takes(workflow));
    let kind = "WorkflowList";
    Json(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {}, "items": items}))
}

/// `GET /workflows/{namespace}/{name}`.
pub(crate) async fn get(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer {
    find(&shared, &namespace, &name).map(Json)
}

fn find(shared: &Shared, namespace: &str, name: &str) -> Result<Value, ApiError> {
    let name = shared.workflows.resolve(namespace, name.to_owned());
    let found = shared.workflows.get(namespace, &name);
    found.ok_or_else(|| ApiError::missing(format!("workflow `{namespace}/{name}`")))
}

/// Argo's submit options.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SubmitOptions {
    parameters: Vec<String>,
    name: Option<String>,
    generate_name: Option<String>,
    #[serde(alias = "entrypoint")]
    entry_point: Option<String>,
    service_account: Option<String>,
    labels: Option<String>,
    annotations: Option<String>,
    dry_run: bool,
    server_dry_run: bool,
    /// Ours: parameters that the workflow neither declares nor uses are refused.
    only_known_parameters: bool,
}

impl SubmitOptions {
    fn read(self, by: &str) -> Result<submit::Options, ApiError> {
        Ok(submit::Options {
            parameters: pairs(self.parameters.iter().map(String::as_str), "parameter")?,
            name: self.name,
            generate_name: self.generate_name,
            entrypoint: self.entry_point,
            service_account: self.service_account,
            labels: table(self.labels.as_deref(), "label")?,
            annotations: table(self.annotations.as_deref(), "annotation")?,
            by: by.to_owned(),
            ..submit::Options::default()
        })
    }
}

fn table(list: Option<&str>, what: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let list = list.unwrap_or_default().split(',').filter(|pair| !pair.is_empty());
    Ok(pairs(list, what)?.into_iter().collect())
}

fn pairs<'a>(list: impl Iterator<Item = &'a str>, what: &str) -> Result<Vec<(String, String)>, ApiError> {
    list.map(|pair| match pair.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(ApiError::invalid(format!("{what} `{pair}` is not of the form name=value"))),
    })
    .collect()
}

/// What is to be created.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Creation {
    workflow: Value,
    #[serde(default)]
    server_dry_run: bool,
    #[serde(default)]
    submit_options: SubmitOptions,
}

/// `POST /workflows/{namespace}`.
pub(crate) async fn create(
    State(shared): State<Shared>,
    Path(namespace): Path<String>,
    caller: Caller,
    Body(creation): Body<Creation>,
) -> Answer {
    let mut options = creation.submit_options;
    options.dry_run |= creation.server_dry_run;
    start(&shared, &namespace, creation.workflow, options, &caller).await
}

/// What is to be checked.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Draft {
    workflow: Value,
}

/// `POST /workflows/{namespace}/lint`.
pub(crate) async fn lint(
    State(shared): State<Shared>,
    Path(namespace): Path<String>,
    Body(draft): Body<Draft>,
) -> Answer {
    Ok(Json(checked(&shared, Kind::Workflow, draft.workflow, &namespace)?.document))
}

/// What is to be submitted from what exists.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubmitFrom {
    resource_kind: String,
    resource_name: String,
    #[serde(default)]
    submit_options: SubmitOptions,
}

/// `POST /workflows/{namespace}/submit`.
pub(crate) async fn submit(
    State(shared): State<Shared>,
    Path(namespace): Path<String>,
    caller: Caller,
    Body(from): Body<SubmitFrom>,
) -> Answer {
    let kind = crate::objects::kind(&from.resource_kind)?;
    let name = &from.resource_name;
    let object = shared.catalog.snapshot().get(kind, &namespace, name).cloned();
    let object = object.ok_or_else(|| ApiError::missing(format!("{kind} `{namespace}/{name}`")))?;
    let workflow =
        submit::from_object(&object).map_err(|error| ApiError::invalid(tiphys_core::chain(&error)))?;
    start(&shared, &namespace, workflow, from.submit_options, &caller).await
}

async fn start(
    shared: &Shared,
    namespace: &str,
    workflow: Value,
    options: SubmitOptions,
    caller: &Caller,
) -> Answer {
    let (seed, dry_run) = (seed()?, options.dry_run || options.server_dry_run);
    let only_known = options.only_known_parameters;
    let mut options = options.read(&caller.by)?;
    // What the author writes comes first.
    let traced = workflow.pointer("/metadata/annotations").is_some_and(|all| all.get(ANNOTATION).is_some());
    if let Some(trace) = caller.trace.filter(|_| !traced) {
        options.annotations.entry(ANNOTATION.into()).or_insert_with(|| trace.to_string());
    }
    let submission = submit::prepare(&workflow, namespace, &options, shared.now(), &seed)
        .map_err(|error| ApiError::invalid(tiphys_core::chain(&error)))?;
    labels::check(&submission.workflow["metadata"]["labels"])?;
    if only_known {
        let snapshot = shared.catalog.snapshot();
        let find = |kind, name: &str| snapshot.get(kind, &submission.namespace, name).cloned();
        parameters::check(&workflow, options.entrypoint.as_deref(), &options.parameters, &find)?;
    }
    // As Argo's server does: what `lint` refuses would only fail later.
    checked(shared, Kind::Workflow, submission.workflow.clone(), &submission.namespace)?;
    if dry_run {
        return Ok(Json(submission.workflow));
    }
    hand_over(shared, submission, caller).await
}

pub(crate) fn seed() -> Result<String, ApiError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        ApiError::new(http::StatusCode::INTERNAL_SERVER_ERROR, format!("no randomness: {error}"))
    })?;
    Ok(hex::encode(bytes))
}

/// Opens the journal; of two who want one name, one gets it.
pub(crate) async fn hand_over(shared: &Shared, submission: Submission, caller: &Caller) -> Answer {
    let (namespace, name) = (submission.namespace.clone(), submission.name.clone());
    shared.audit(caller, &namespace, "submit", &format!("workflow/{name}")).await?;
    let mut changed = shared.workflows.changed();
    submit::submit(shared.bus.as_ref(), &submission).await.map_err(refused)?;
    // The answer is the object, which the projection has in a moment.
    loop {
        if let Some(workflow) = shared.workflows.get(&namespace, &name) {
            return Ok(Json(workflow));
        }
        if matches!(changed.recv().await, Err(RecvError::Closed)) {
            return find(shared, &namespace, &name).map(Json);
        }
    }
}

pub(crate) fn refused(error: Error) -> ApiError {
    let text = tiphys_core::chain(&error);
    match error {
        Error::Exists { .. } => ApiError::conflict(text),
        Error::Missing(_) => ApiError::new(http::StatusCode::NOT_FOUND, text),
        Error::Bus(error) => error.into(),
        _ => ApiError::invalid(text),
    }
}

/// The body of a verb.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VerbBody {
    node_field_selector: String,
    message: String,
    phase: String,
    output_parameters: Value,
    restart_successful: bool,
    memoized: bool,
    parameters: Vec<String>,
    only_known_parameters: bool,
}

impl VerbBody {
    /// The verb that a word of the path means.
    fn read(self, word: &str) -> Result<Verb, ApiError> {
        Ok(match word {
            "suspend" => Verb::Suspend,
            "resume" => Verb::Resume { node_field_selector: self.node_field_selector },
            "stop" if !self.node_field_selector.is_empty() => {
                return Err(ApiError::not_yet(
                    "single nodes are not stopped by this version; stop the whole workflow",
                ));
            }
            "stop" => Verb::Stop { message: self.message },
            "terminate" => Verb::Terminate,
            "retry" if !self.parameters.is_empty() => {
                return Err(ApiError::not_yet(
                    "a retry keeps its parameters in this version; resubmit with others instead",
                ));
            }
            "retry" => Verb::Retry {
                restart_successful: self.restart_successful,
                node_field_selector: self.node_field_selector,
            },
            "set" if !self.phase.is_empty() || !self.message.is_empty() => {
                return Err(ApiError::not_yet(
                    "of a node only output parameters are set by this version, no phase and no message",
                ));
            }
            "set" => Verb::Set {
                node_field_selector: self.node_field_selector,
                output_parameters: output_parameters(self.output_parameters)?,
            },
            other => return Err(ApiError::missing(format!("verb `{other}` of a workflow"))),
        })
    }
}

/// Argo's client sends the values as JSON within a text.
fn output_parameters(given: Value) -> Result<BTreeMap<String, String>, ApiError> {
    let read = match given {
        Value::String(text) => serde_json::from_str(&text),
        other => serde_json::from_value(other),
    };
    read.map_err(|error| {
        ApiError::invalid(format!(
            "`outputParameters` is no object of texts such as {{\"name\": \"value\"}}: {error}"
        ))
    })
}

/// `PUT /workflows/{namespace}/{name}/{verb}`.
pub(crate) async fn verb(
    State(shared): State<Shared>,
    Path((namespace, name, verb)): Path<(String, String, String)>,
    caller: Caller,
    Body(body): Body<VerbBody>,
) -> Answer {
    let workflow = find(&shared, &namespace, &name)?;
    let name = text(&workflow, "/metadata/name");
    if verb == "resubmit" {
        return resubmit(&shared, &namespace, &workflow, body, &caller).await;
    }
    let asked = body.read(&verb)?;
    let phase = text(&workflow, "/status/phase");
    let retry = matches!(asked, Verb::Retry { .. });
    if retry && !matches!(phase, "Failed" | "Error") {
        return Err(ApiError::conflict(format!(
            "workflow `{name}` is {phase}; only a failed one is retried"
        )));
    }
    if !retry && matches!(phase, "Succeeded" | "Failed" | "Error") {
        return Err(ApiError::conflict(format!("workflow `{name}` has ended: {phase}")));
    }
    if let Verb::Resume { node_field_selector } | Verb::Set { node_field_selector, .. } = &asked
        && !node_field_selector.is_empty()
        && !shared.workflows.waits(&namespace, name, node_field_selector)
    {
        return Err(ApiError::conflict(format!(
            "no step of workflow `{name}` waits that `{node_field_selector}` picks; `tiphys get {name}` shows its steps"
        )));
    }
    shared.audit(&caller, &namespace, &verb, &format!("workflow/{name}")).await?;
    command(&shared, &namespace, name, asked, &caller).await?;
    find(&shared, &namespace, name).map(Json)
}

async fn command(
    shared: &Shared,
    namespace: &str,
    name: &str,
    verb: Verb,
    caller: &Caller,
) -> Result<(), ApiError> {
    let command = Command { verb, at: shared.now(), by: caller.by.clone(), reason: caller.reason.clone() };
    submit::command(shared.bus.as_ref(), namespace, name, command).await.map_err(refused)?;
    Ok(())
}

async fn resubmit(
    shared: &Shared,
    namespace: &str,
    workflow: &Value,
    body: VerbBody,
    caller: &Caller,
) -> Answer {
    if body.memoized {
        return Err(ApiError::not_yet("steps are not memoized by this version; resubmit without `memoized`"));
    }
    let again = submit::resubmission(workflow);
    let options = SubmitOptions {
        parameters: body.parameters,
        only_known_parameters: body.only_known_parameters,
        ..SubmitOptions::default()
    };
    start(shared, namespace, again, options, caller).await
}

/// `DELETE /workflows/{namespace}/{name}`.
pub(crate) async fn delete(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    caller: Caller,
) -> Answer {
    let workflow = find(&shared, &namespace, &name)?;
    let name = text(&workflow, "/metadata/name");
    shared.audit(&caller, &namespace, "delete", &format!("workflow/{name}")).await?;
    command(&shared, &namespace, name, Verb::Delete, &caller).await?;
    Ok(Json(json!({})))
}
