//! Objects: list, one, apply, delete.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tiphys_catalog::{CatalogError, Snapshot, bus_feeder};
use tiphys_manifest::load::path::Path as Steps;
use tiphys_manifest::{Diagnostic, Kind, LoadOptions, Object, codes};

use crate::body::Params;
use crate::error::ApiError;
use crate::state::{Caller, Shared};

/// What the catalog calls the file of objects that were given by the API.
pub(crate) const API: &str = "api";

/// An applied object is in the catalog within milliseconds; a reader waits at most so long for it.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// Which namespace, and the name of the file for findings.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Place {
    namespace: Option<String>,
    file: Option<String>,
}

pub(crate) fn kind(word: &str) -> Result<Kind, ApiError> {
    Kind::named(word).ok_or_else(|| ApiError::invalid(format!("`{word}` is no kind")))
}

/// The object as its author wrote it, with where it stands. A Secret comes without its content.
pub(crate) fn shown(object: &Object) -> Value {
    let mut document = object.document.clone();
    if let Some(map) = document.as_object_mut() {
        map.insert("apiVersion".into(), object.kind.api_version().into());
        map.insert("kind".into(), object.kind.as_str().into());
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("name".into(), object.name.clone().into());
            if !object.kind.is_cluster_wide() {
                metadata.insert("namespace".into(), object.namespace.clone().into());
            }
            metadata.insert("uid".into(), object.uid.clone().into());
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            if let Some(annotations) = annotations.as_object_mut() {
                let source = format!("{}:{}", object.file, object.line);
                annotations.insert("tiphys.dev/source".into(), source.into());
                // A Secret's revision is a hash of what it holds, by which guesses could be tried.
                if object.kind != Kind::Secret {
                    annotations.insert("tiphys.dev/revision".into(), object.revision.clone().into());
                }
            }
        }
    }
    document
}

/// `GET /objects/{kind}`.
///
/// # Errors
/// Fails on an unknown kind.
pub(crate) async fn list(
    State(shared): State<Shared>,
    Path(word): Path<String>,
    Params(place): Params<Place>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind(&word)?;
    let snapshot = shared.catalog.snapshot();
    let wanted = |object: &&std::sync::Arc<Object>| {
        kind.is_cluster_wide() || place.namespace.as_ref().is_none_or(|ns| *ns == object.namespace)
    };
    let items: Vec<Value> = snapshot.of_kind(kind).filter(wanted).map(|object| shown(object)).collect();
    Ok(Json(json!({"items": items})))
}

/// `GET /objects/{kind}/{namespace}/{name}`.
///
/// # Errors
/// Fails when there is none.
pub(crate) async fn get(
    State(shared): State<Shared>,
    Path((word, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind(&word)?;
    match shared.catalog.snapshot().get(kind, &namespace, &name) {
        Some(object) => Ok(Json(shown(object))),
        None => Err(ApiError::missing(format!("{kind} `{namespace}/{name}`"))),
    }
}

/// `POST /objects`: manifests as text. All or none: one error refuses the whole text. When it answers, the
/// objects are in the catalog.
///
/// # Errors
/// Fails with all findings when one is an error.
pub(crate) async fn apply(
    State(shared): State<Shared>,
    Params(place): Params<Place>,
    caller: Caller,
    body: String,
) -> Result<Json<Value>, ApiError> {
    let namespace = place.namespace.unwrap_or_else(|| shared.namespace.clone());
    let outcome = store(&shared, &body, &namespace, place.file.as_deref(), &caller).await?;
    let items: Vec<Value> = outcome
        .applied
        .iter()
        .map(|one| json!({"kind": one.kind, "namespace": one.namespace, "name": one.name, "change": one.action.as_str()}))
        .collect();
    let mut findings = outcome.diagnostics;
    if let Some(file) = place.file {
        findings.iter_mut().for_each(|found| found.file.clone_from(&file));
    }
    Ok(Json(json!({"items": items, "diagnostics": findings})))
}

/// Stores the objects of a text, and waits until readers find them. `file` is what findings call the text.
pub(crate) async fn store(
    shared: &Shared,
    text: &str,
    namespace: &str,
    file: Option<&str>,
    caller: &Caller,
) -> Result<bus_feeder::Outcome, ApiError> {
    let who = bus_feeder::Caller { by: &caller.by, reason: &caller.reason, at: shared.now() };
    let loaded = tiphys_manifest::load(API, text, &LoadOptions::new(namespace));
    let given: Vec<_> = loaded.objects.into_iter().map(Arc::new).collect();
    let mut findings = loaded.diagnostics;
    findings.extend(tiphys_executor::lint::check(&given));
    if findings.iter().any(Diagnostic::is_error) {
        return Err(refused(CatalogError::Invalid(findings), file));
    }
    let mut changed = shared.catalog.changed();
    let outcome = bus_feeder::apply(shared.bus.as_ref(), text, namespace, false, &who).await;
    let mut outcome = outcome.map_err(|error| refused(error, file))?;
    let there = |snapshot: &Snapshot| outcome.applied.iter().all(|one| is_in(snapshot, one));
    let shown = async { while !there(&shared.catalog.snapshot()) && changed.changed().await.is_ok() {} };
    // Stored they are; a reader who comes at once should find them too, and is not made to wait long for it.
    let _ = tokio::time::timeout(SEEN_WITHIN, shown).await;
    outcome.diagnostics.extend(hidden(&shared.catalog.snapshot(), &given));
    Ok(outcome)
}

/// What was applied without effect, since a file holds the same object.
fn hidden(snapshot: &Snapshot, given: &[Arc<Object>]) -> Vec<Diagnostic> {
    let hidden = |object: &Arc<Object>| {
        let there = snapshot.get(object.kind, &object.namespace, &object.name)?;
        let told = format!("{}:{} holds it too, and that is used", there.file, there.line);
        let help = "change that file, or remove it there; what was applied is kept and used from then on";
        let path = Steps::root().key("metadata").key("name");
        (there.file != API)
            .then(|| object.places.at_value(codes::DECLARED_TWICE, &path, told, help.to_owned()))
    };
    given.iter().filter_map(hidden).collect()
}

/// Whether readers find what was applied. A file that holds the same object goes on to win over it; a Secret is
/// stored in another form than it is given in, which is another revision.
fn is_in(snapshot: &Snapshot, one: &bus_feeder::Applied) -> bool {
    snapshot
        .get(one.kind, &one.namespace, &one.name)
        .is_some_and(|there| there.file != API || one.kind == Kind::Secret || there.revision == one.revision)
}

/// `DELETE /objects/{kind}/{namespace}/{name}`: of objects that were given by `apply`.
///
/// # Errors
/// Fails when there is none, and on an object that stands in a file.
pub(crate) async fn delete(
    State(shared): State<Shared>,
    Path((word, namespace, name)): Path<(String, String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    remove(&shared, kind(&word)?, &namespace, &name, &caller).await
}

/// Deletes an object that was given by the API.
pub(crate) async fn remove(
    shared: &Shared,
    kind: Kind,
    namespace: &str,
    name: &str,
    caller: &Caller,
) -> Result<Json<Value>, ApiError> {
    let who = bus_feeder::Caller { by: &caller.by, reason: &caller.reason, at: shared.now() };
    let gone = bus_feeder::delete(shared.bus.as_ref(), kind, namespace, name, &who).await;
    if gone.map_err(|error| refused(error, None))? {
        return Ok(Json(json!({})));
    }
    match shared.catalog.snapshot().get(kind, namespace, name) {
        Some(object) => Err(ApiError::conflict(format!(
            "{kind} `{namespace}/{name}` stands in the file {}; remove it there",
            object.file
        ))),
        None => Err(ApiError::missing(format!("{kind} `{namespace}/{name}`"))),
    }
}

fn refused(error: CatalogError, file: Option<&str>) -> ApiError {
    match error {
        CatalogError::Invalid(mut diagnostics) => {
            let file = file.unwrap_or(API);
            diagnostics.iter_mut().for_each(|found| found.file = file.to_owned());
            diagnostics.retain(tiphys_manifest::Diagnostic::is_error);
            ApiError { diagnostics, ..ApiError::invalid(format!("{file} was refused")) }
        }
        CatalogError::Bus(error) => error.into(),
        other => ApiError::invalid(tiphys_core::chain(&other)),
    }
}
