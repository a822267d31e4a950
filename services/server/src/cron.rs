//! CronWorkflows: list, next times, run now.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tiphys_core::Timestamp;
use tiphys_executor::cron;
use tiphys_manifest::{Kind, Object, Spec};

use crate::body::Params;
use crate::error::ApiError;
use crate::state::{Caller, Shared};
use crate::workflow_api::{hand_over, refused, seed};

/// Which ones.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Wanted {
    namespace: Option<String>,
}

/// `GET /cron`.
///
/// # Errors
/// Fails when the bus does.
pub(crate) async fn list(
    State(shared): State<Shared>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let snapshot = shared.catalog.snapshot();
    let mut items = Vec::new();
    for object in snapshot.of_kind(Kind::CronWorkflow) {
        if wanted.namespace.as_ref().is_some_and(|namespace| *namespace != object.namespace) {
            continue;
        }
        let Spec::CronWorkflow(spec) = &object.spec else { continue };
        let schedules: Vec<&str> = spec.all_schedules().collect();
        let next = cron::next_times(object, shared.now(), 1).ok().and_then(|times| times.first().copied());
        let last = cron::last_scheduled(shared.bus.as_ref(), &object.namespace, &object.name)
            .await
            .map_err(refused)?;
        items.push(json!({
            "namespace": object.namespace,
            "name": object.name,
            "schedule": schedules.join(", "),
            "timezone": spec.timezone.as_deref().unwrap_or("UTC"),
            "suspended": spec.suspend,
            "next": next,
            "last": last,
        }));
    }
    Ok(Json(json!({"items": items})))
}

/// How many.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Count {
    count: Option<usize>,
}

/// `GET /cron/{namespace}/{name}/next`.
///
/// # Errors
/// Fails when there is none of that name, and on a schedule that is none.
pub(crate) async fn next(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    Params(count): Params<Count>,
) -> Result<Json<Value>, ApiError> {
    let object = find(&shared, &namespace, &name)?;
    let count = count.count.unwrap_or(5).clamp(1, 1000);
    let times: Vec<Timestamp> = cron::next_times(&object, shared.now(), count).map_err(refused)?;
    Ok(Json(json!({"times": times})))
}

/// `POST /cron/{namespace}/{name}/run`: once, now, whatever the schedule says.
///
/// # Errors
/// Fails when there is none of that name.
pub(crate) async fn run(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let object = find(&shared, &namespace, &name)?;
    let submission = cron::run_now(&object, shared.now(), &seed()?, &caller.by).map_err(refused)?;
    hand_over(&shared, submission, &caller).await
}

fn find(shared: &Shared, namespace: &str, name: &str) -> Result<std::sync::Arc<Object>, ApiError> {
    let found = shared.catalog.snapshot().get(Kind::CronWorkflow, namespace, name).cloned();
    found.ok_or_else(|| ApiError::missing(format!("cron workflow `{namespace}/{name}`")))
}
