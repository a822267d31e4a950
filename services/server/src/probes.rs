//! `/livez`, `/readyz`, `/metrics`: for machines, without a token.

use axum::extract::{Path, State};
use axum::response::Response;
use tiphys_kit::probe;

use crate::state::Shared;

/// Alive: it answers.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Ready, or each part that is not with its reason.
pub(crate) async fn readyz(State(shared): State<Shared>) -> Response {
    probe::ready(&shared.health)
}

/// One part.
pub(crate) async fn readyz_part(State(shared): State<Shared>, Path(part): Path<String>) -> Response {
    probe::ready_part(&shared.health, &part)
}

/// The recorder's metrics and the sums of each trigger, all at one position of the stream.
pub(crate) async fn metrics(State(shared): State<Shared>) -> Response {
    probe::exposition((shared.metrics)() + &shared.sums.metrics().await)
}
