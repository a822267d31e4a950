//! The HTTP API and its projections.
//!
//! Argo's paths below `/api/v1` for workflows and what they are made from, our own below `/api/tiphys/v1` for the rest. Every route but the
//! probes stands behind the [`Guard`]; a route that is added stands behind it too, because the guard is laid
//! around the whole router.

mod body;
mod check;
mod cron;
mod dead;
mod definitions;
mod error;
mod events;
mod follow;
mod guard;
mod info;
mod labels;
mod logs;
mod objects;
mod parameters;
mod probes;
mod selection;
mod state;
mod status;
mod story;
mod sums;
mod watch;
mod workflow_api;
mod workflows;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use tiphys_manifest::Kind;

pub use error::ApiError;
pub use guard::Guard;
pub use state::{Caller, Followers, Parts, Shared};

/// Manifests and submissions are at most so large.
const BODY_LIMIT: usize = 4 << 20;

/// All routes.
pub fn router(shared: Shared, guard: Guard) -> Router {
    let argo = Router::new()
        .route("/info", get(info::info))
        .route("/version", get(info::version))
        .route("/userinfo", get(info::userinfo))
        .route("/workflows/", get(workflow_api::list_all))
        .route("/workflows/{namespace}", get(workflow_api::list).post(workflow_api::create))
        .route("/workflows/{namespace}/submit", post(workflow_api::submit))
        .route("/workflows/{namespace}/lint", post(workflow_api::lint))
        .route("/workflows/{namespace}/{name}", get(workflow_api::get).delete(workflow_api::delete))
        .route("/workflows/{namespace}/{name}/log", get(logs::workflow))
        .route("/workflows/{namespace}/{name}/{verb}", put(workflow_api::verb))
        .route("/workflows/{namespace}/{name}/{verb}/log", get(logs::pod))
        .route("/workflow-events/", get(watch::watch_all))
        .route("/workflow-events/{namespace}", get(watch::watch))
        .merge(definitions::routes(Kind::WorkflowTemplate, "workflow-templates"))
        .merge(definitions::routes(Kind::ClusterWorkflowTemplate, "cluster-workflow-templates"))
        .merge(definitions::routes(Kind::CronWorkflow, "cron-workflows"));
    let own = Router::new()
        .route("/objects", post(objects::apply))
        .route("/objects/{kind}", get(objects::list))
        .route("/objects/{kind}/{namespace}/{name}", get(objects::get).delete(objects::delete))
        .route("/events", get(events::list))
        .route("/events/stream", get(events::tail))
        .route("/events/{id}", get(events::get))
        .route("/events/{id}/trace", get(events::trace))
        .route("/events/{id}/replay", post(events::replay))
        .route("/dead-letters", get(dead::list))
        .route("/dead-letters/{sequence}", get(dead::show))
        .route("/dead-letters/{sequence}/retry", post(dead::retry))
        .route("/triggers/{namespace}/{sensor}/{trigger}/{verb}", post(dead::switch))
        .route("/cron", get(cron::list))
        .route("/cron/{namespace}/{name}/next", get(cron::next))
        .route("/cron/{namespace}/{name}/run", post(cron::run))
        .route("/status", get(status::status));
    let guarded = Router::new()
        .nest("/api/v1", argo)
        .nest("/api/tiphys/v1", own)
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(guard, guard::guard));
    Router::new()
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/readyz/{*part}", get(probes::readyz_part))
        .route("/metrics", get(probes::metrics))
        .merge(guarded)
        .with_state(shared)
}

async fn unknown(request: axum::extract::Request) -> ApiError {
    ApiError::missing(format!("route `{}`", request.uri().path()))
}
