//! What may happen to a request.

use std::time::Duration;

use axum::body::Body;
use http::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};

/// What happens to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with a status, and the API server does not hear of it.
    Status(u16),
    /// It is answered with 429, and how many seconds the client is to wait.
    TooMany(u32),
    /// It is passed on after a time.
    Late(Duration),
    /// It is passed on once the test says [`let_requests_go`](super::Flaky::let_requests_go).
    Held,
    /// The connection breaks, and the API server does not hear of it.
    Unheard,
    /// The API server does what is asked, and the connection breaks before the client knows.
    Unanswered,
    /// A watch begins, and tells that what it was to begin with is gone.
    Gone,
}

/// An answer as the API server's own.
pub(super) fn answer(status: u16, retry_after: Option<u32>) -> Response<Body> {
    let mut builder = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        builder = builder.header(RETRY_AFTER, seconds);
    }
    builder.body(Body::from(told(status).to_string())).expect("an answer")
}

/// What the API server says beside a status.
pub(super) fn told(status: u16) -> Value {
    let reason = match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the test wants status {status}"), "reason": reason, "code": status,
    })
}
