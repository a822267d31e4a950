//! `/livez`, `/readyz`, `/metrics`: for machines, without a token.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::state::Shared;

/// Alive: it answers.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Ready, or each part that is not with its reason.
pub(crate) async fn readyz(State(shared): State<Shared>) -> Response {
    let mut body = String::new();
    for (part, why) in shared.health.parts() {
        let _ = match why {
            None => writeln!(body, "[+] {part}"),
            Some(why) => writeln!(body, "[-] {part}: {why}"),
        };
    }
    let status =
        if shared.health.problems().is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, body).into_response()
}

/// The recorder's metrics and the sums of each trigger, all at one position of the stream.
pub(crate) async fn metrics(State(shared): State<Shared>) -> Response {
    let body = (shared.metrics)() + &shared.sums.metrics().await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
}
