//! `/livez`, `/readyz` and `/metrics`: for machines, without a token.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};

use crate::health::Health;

/// What `/metrics` shows.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The probes of a process.
pub fn router(health: Health, metrics: Metrics) -> Router {
    let (all, one) = (health.clone(), health);
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(async move || ready(&all)))
        .route("/readyz/{*part}", get(async move |Path(part): Path<String>| ready_part(&one, &part)))
        .route("/metrics", get(async move || exposition(metrics())))
}

/// Ready, or each part that is not with its reason.
#[must_use]
pub fn ready(health: &Health) -> Response {
    let mut body = String::new();
    for (part, why) in health.parts() {
        let _ = match why {
            None => writeln!(body, "[+] {part}"),
            Some(why) => writeln!(body, "[-] {part}: {why}"),
        };
    }
    (status(health.is_ready()), body).into_response()
}

/// One part by its name, such as `eventsource/pubSub/default/tickets/created`.
#[must_use]
pub fn ready_part(health: &Health, part: &str) -> Response {
    match health.parts().get(part) {
        None => (StatusCode::NOT_FOUND, format!("there is no part {part}\n")).into_response(),
        Some(None) => (status(true), format!("[+] {part}\n")).into_response(),
        Some(Some(why)) => (status(false), format!("[-] {part}: {why}\n")).into_response(),
    }
}

/// Metrics in the text form of Prometheus.
#[must_use]
pub fn exposition(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

const fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_down_makes_only_itself_unready() {
        let health = Health::default();
        health.ready("eventsource");
        health.failing("eventsource/pubSub/default/a/b", "no such subscription");
        assert_eq!(ready(&health).status(), 200);
        assert_eq!(ready_part(&health, "eventsource/pubSub/default/a/b").status(), 503);
        assert_eq!(ready_part(&health, "eventsource").status(), 200);
        assert_eq!(ready_part(&health, "nothing").status(), 404);
        health.failing("bus", "away");
        assert_eq!(ready(&health).status(), 503);
        health.only_tell("bus");
        assert_eq!(ready(&health).status(), 200);
        assert_eq!(ready_part(&health, "bus").status(), 503);
    }
}
