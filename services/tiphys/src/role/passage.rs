//! Webhooks that come to the API's port go on to the event source.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::{HeaderMap, StatusCode, header};

/// The way to the event source.
struct Way {
    client: reqwest::Client,
    /// Where the event source is now.
    base: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// Passes on what comes to `/events/`, to where the event source is by then. Its answer is waited for so long.
///
/// # Errors
/// Fails when no client can be made.
pub(super) fn router(
    base: impl Fn() -> Option<String> + Send + Sync + 'static,
    patience: Duration,
) -> anyhow::Result<Router> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(patience)
        .build()?;
    let way = Way { client, base: Box::new(base) };
    Ok(Router::new().route("/events/{*path}", any(pass_on)).with_state(Arc::new(way)))
}

/// Passes a webhook on as it came. The sender is answered by the event source, or told 503.
async fn pass_on(State(way): State<Arc<Way>>, request: Request) -> Response {
    let away = || {
        let mut answer = StatusCode::SERVICE_UNAVAILABLE.into_response();
        answer.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
        answer
    };
    let Some(base) = (way.base)() else { return away() };
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let onward = way
        .client
        .request(parts.method, format!("{base}{path}"))
        .headers(end_to_end(parts.headers))
        .body(reqwest::Body::wrap_stream(body.into_data_stream()));
    let Ok(answer) = onward.send().await else { return away() };
    let (status, headers) = (answer.status(), end_to_end(answer.headers().clone()));
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Headers that concern more than one connection. The length stays: senders keep a connection only where an empty
/// answer says that it is empty.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::HOST] {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests;
