//! Dead letters and the switches of triggers.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tiphys_manifest::Kind;
use tiphys_trigger::control::{self, Control};
use tiphys_trigger::dlq::{self, RetryError};

use crate::body::Params;
use crate::error::ApiError;
use crate::state::{Caller, Shared};

/// Which dead letters are wanted.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Wanted {
    from: Option<u64>,
    limit: Option<usize>,
}

/// `GET /dead-letters`.
///
/// # Errors
/// Fails when the bus does.
pub(crate) async fn list(
    State(shared): State<Shared>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let limit = wanted.limit.unwrap_or(500).clamp(1, 5000);
    let letters = dlq::list(&shared.bus, wanted.from.unwrap_or(1), limit).await?;
    Ok(Json(json!({"items": letters})))
}

/// `GET /dead-letters/{sequence}`.
///
/// # Errors
/// Fails when there is none of that number.
pub(crate) async fn show(
    State(shared): State<Shared>,
    Path(sequence): Path<u64>,
) -> Result<Json<Value>, ApiError> {
    let letter = dlq::show(&shared.bus, sequence).await?;
    let letter = letter.ok_or_else(|| ApiError::missing(format!("dead letter {sequence}")))?;
    Ok(Json(json!(letter)))
}

/// `POST /dead-letters/{sequence}/retry`.
///
/// # Errors
/// Fails when there is none, or when it is no longer dead.
pub(crate) async fn retry(
    State(shared): State<Shared>,
    Path(sequence): Path<u64>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let letter = dlq::show(&shared.bus, sequence).await?;
    let letter = letter.ok_or_else(|| ApiError::missing(format!("dead letter {sequence}")))?;
    shared.audit(&caller, &letter.letter.namespace, "retry", &format!("deadletter/{sequence}")).await?;
    let letter = dlq::retry(&shared.bus, sequence, shared.now()).await.map_err(|error| match error {
        RetryError::Missing(_) => ApiError::missing(format!("dead letter {sequence}")),
        RetryError::Bus(error) => error.into(),
        other => ApiError::conflict(other.to_string()),
    })?;
    Ok(Json(json!({"sequence": sequence, "firing": letter.letter.firing.map(|firing| firing.id)})))
}

/// `POST /triggers/{namespace}/{sensor}/{trigger}/{pause|resume}`.
///
/// # Errors
/// Fails when the bus does.
pub(crate) async fn switch(
    State(shared): State<Shared>,
    Path((namespace, sensor, trigger, verb)): Path<(String, String, String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let paused = match verb.as_str() {
        "pause" => true,
        "resume" => false,
        other => return Err(ApiError::missing(format!("verb `{other}` of a trigger"))),
    };
    if !exists(&shared, &namespace, &sensor, &trigger).await? {
        return Err(ApiError::missing(format!("trigger `{trigger}` of Sensor `{namespace}/{sensor}`")));
    }
    shared.audit(&caller, &namespace, &verb, &format!("trigger/{sensor}/{trigger}")).await?;
    let control = Control { paused, at: shared.now(), by: caller.by, reason: caller.reason };
    control::write(&shared.bus, (&namespace, &sensor, &trigger), &control).await?;
    Ok(Json(json!(control)))
}

/// Whether a manifest has the trigger, or it fired once and may have firings left.
async fn exists(shared: &Shared, namespace: &str, sensor: &str, trigger: &str) -> Result<bool, ApiError> {
    let snapshot = shared.catalog.snapshot();
    let written = snapshot.get(Kind::Sensor, namespace, sensor).is_some_and(|object| {
        let triggers = object.document.pointer("/spec/triggers").and_then(Value::as_array);
        let mut names = triggers.into_iter().flatten().map(|of| of.pointer("/template/name"));
        names.any(|name| name.and_then(Value::as_str) == Some(trigger))
    });
    Ok(written || control::read(&shared.bus, namespace, sensor, trigger).await?.is_some())
}
