//! Argo's API of workflows: list, get, create, submit, verbs, watch.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event as Sse, KeepAlive, Sse as SseResponse};
use futures::{Stream, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tiphys_core::workflow::{Command, Submission, Verb};
use tiphys_executor::{Error, submit};
use tiphys_manifest::Kind;
use tokio::sync::broadcast::error::RecvError;

use crate::error::ApiError;
use crate::state::{Caller, Shared};

type Answer = Result<Json<Value>, ApiError>;

/// Argo's list options.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ListOptions {
    #[serde(default, rename = "listOptions.labelSelector")]
    labels: String,
    #[serde(default, rename = "listOptions.fieldSelector")]
    fields: String,
}

impl ListOptions {
    /// Whether a workflow is meant: labels `k=v`, `k!=v`, `k`; fields `metadata.name=…`.
    fn takes(&self, workflow: &Value) -> bool {
        let labels = workflow.pointer("/metadata/labels");
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let labels_fit = self.labels.split(',').map(str::trim).filter(|term| !term.is_empty()).all(|term| {
            if let Some((key, value)) = term.split_once("!=") {
                label(key) != Some(value)
            } else if let Some((key, value)) = term.split_once('=') {
                label(key) == Some(value.trim_start_matches('='))
            } else {
                label(term).is_some()
            }
        });
        labels_fit && self.name().is_none_or(|name| text(workflow, "/metadata/name") == name)
    }

    fn name(&self) -> Option<&str> {
        self.fields.split(',').find_map(|term| term.trim().strip_prefix("metadata.name="))
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `GET /workflows/`.
pub(crate) async fn list_all(State(shared): State<Shared>, Query(options): Query<ListOptions>) -> Answer {
    Ok(listed(&shared, None, &options))
}

/// `GET /workflows/{namespace}`.
pub(crate) async fn list(
    State(shared): State<Shared>,
    Path(namespace): Path<String>,
    Query(options): Query<ListOptions>,
) -> Answer {
    Ok(listed(&shared, Some(&namespace), &options))
}

fn listed(shared: &Shared, namespace: Option<&str>, options: &ListOptions) -> Json<Value> {
    let mut items = shared.workflows.list(namespace);
    items.retain(|workflow| options.takes(workflow));
    Json(json!({"metadata": {}, "items": items}))
}

/// `GET /workflows/{namespace}/{name}`.
pub(crate) async fn get(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer {
    find(&shared, &namespace, &name).map(Json)
}

fn find(shared: &Shared, namespace: &str, name: &str) -> Result<Value, ApiError> {
    let found = shared.workflows.get(namespace, name);
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
}

impl SubmitOptions {
    fn read(self, by: &str) -> Result<submit::Options, ApiError> {
        Ok(submit::Options {
            parameters: pairs(self.parameters.iter().map(String::as_str), "parameter")?,
            name: self.name,
            generate_name: self.generate_name,
            entrypoint: self.entry_point,
            service_account: self.service_account,
            labels: pairs(
                self.labels.as_deref().unwrap_or_default().split(',').filter(|label| !label.is_empty()),
                "label",
            )?
            .into_iter()
            .collect(),
            by: by.to_owned(),
            ..submit::Options::default()
        })
    }
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
    submit_options: SubmitOptions,
}

/// `POST /workflows/{namespace}`.
pub(crate) async fn create(
    State(shared): State<Shared>,
    Path(namespace): Path<String>,
    caller: Caller,
    Json(creation): Json<Creation>,
) -> Answer {
    start(&shared, &namespace, creation.workflow, creation.submit_options, &caller).await
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
    Json(from): Json<SubmitFrom>,
) -> Answer {
    let kind: Kind = from
        .resource_kind
        .parse()
        .map_err(|()| ApiError::invalid(format!("`{}` is no kind", from.resource_kind)))?;
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
    let seed = seed()?;
    let submission = submit::prepare(&workflow, namespace, &options.read(&caller.by)?, shared.now(), &seed)
        .map_err(|error| ApiError::invalid(tiphys_core::chain(&error)))?;
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
    restart_successful: bool,
    parameters: Vec<String>,
}

/// `PUT /workflows/{namespace}/{name}/{verb}`.
pub(crate) async fn verb(
    State(shared): State<Shared>,
    Path((namespace, name, verb)): Path<(String, String, String)>,
    caller: Caller,
    body: Option<Json<VerbBody>>,
) -> Answer {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let workflow = find(&shared, &namespace, &name)?;
    let phase = text(&workflow, "/status/phase");
    let ended = matches!(phase, "Succeeded" | "Failed" | "Error");
    let asked = match verb.as_str() {
        "resubmit" => return resubmit(&shared, &namespace, &workflow, &body, &caller).await,
        "suspend" => Verb::Suspend,
        "resume" => Verb::Resume { node_field_selector: body.node_field_selector },
        "stop" => Verb::Stop { message: body.message },
        "terminate" => Verb::Terminate,
        "retry" => Verb::Retry {
            restart_successful: body.restart_successful,
            node_field_selector: body.node_field_selector,
        },
        other => return Err(ApiError::missing(format!("verb `{other}` of a workflow"))),
    };
    let retry = matches!(asked, Verb::Retry { .. });
    if retry && !matches!(phase, "Failed" | "Error") {
        return Err(ApiError::conflict(format!(
            "workflow `{name}` is {phase}; only a failed one is retried"
        )));
    }
    if !retry && ended {
        return Err(ApiError::conflict(format!("workflow `{name}` has ended: {phase}")));
    }
    shared.audit(&caller, &namespace, &verb, &format!("workflow/{name}")).await?;
    command(&shared, &namespace, &name, asked, &caller).await?;
    find(&shared, &namespace, &name).map(Json)
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
    body: &VerbBody,
    caller: &Caller,
) -> Answer {
    let again = submit::resubmission(workflow);
    let options = SubmitOptions { parameters: body.parameters.clone(), ..SubmitOptions::default() };
    start(shared, namespace, again, options, caller).await
}

/// `DELETE /workflows/{namespace}/{name}`.
pub(crate) async fn delete(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    caller: Caller,
) -> Answer {
    find(&shared, &namespace, &name)?;
    shared.audit(&caller, &namespace, "delete", &format!("workflow/{name}")).await?;
    command(&shared, &namespace, &name, Verb::Delete, &caller).await?;
    Ok(Json(json!({})))
}

/// `GET /workflow-events/{namespace}`: each workflow as it changes, `{"result": {"type", "object"}}`.
pub(crate) async fn watch(
    State(shared): State<Shared>,
    Path(namespace): Path<String>,
    Query(options): Query<ListOptions>,
) -> SseResponse<impl Stream<Item = Result<Sse, Infallible>>> {
    let changed = shared.workflows.changed();
    let known: BTreeMap<String, ()> = shared
        .workflows
        .list(Some(&namespace))
        .iter()
        .map(|w| (text(w, "/metadata/name").to_owned(), ()))
        .collect();
    let state = (shared, namespace, options, changed, known);
    let stream = futures::stream::unfold(
        state,
        |(shared, namespace, options, mut changed, mut known)| async move {
            loop {
                let name = match changed.recv().await {
                    Ok((of, name)) if of == namespace => name,
                    Ok(_) => continue,
                    // Too slow: the newest state of the one that is watched makes up for what was missed.
                    Err(RecvError::Lagged(_)) => match options.name() {
                        Some(name) => name.to_owned(),
                        None => continue,
                    },
                    Err(RecvError::Closed) => return None,
                };
                if options.name().is_some_and(|wanted| wanted != name) {
                    continue;
                }
                let result = match shared.workflows.get(&namespace, &name) {
                    Some(workflow) if options.takes(&workflow) => {
                        let kind = if known.insert(name, ()).is_none() { "ADDED" } else { "MODIFIED" };
                        json!({"type": kind, "object": workflow})
                    }
                    Some(_) => continue,
                    None => {
                        known.remove(&name);
                        json!({"type": "DELETED", "object": {"metadata": {"namespace": namespace, "name": name}}})
                    }
                };
                let event = Sse::default().data(json!({"result": result}).to_string());
                return Some((Ok(event), (shared, namespace, options, changed, known)));
            }
        },
    );
    SseResponse::new(stream.boxed()).keep_alive(KeepAlive::default())
}
