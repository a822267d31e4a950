//! One request, from its headers to its answer.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tiphys_core::EventId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::debug;

use super::{Ingress, Refusal, Route, body};
use crate::emit::{Draft, Emitted, Emitter};
use crate::hook::Hook;
use crate::meter;

/// At most so many headers, and so many bytes of them.
pub(super) const MAX_HEADERS: usize = 100;
pub(super) const MAX_HEADER_BYTES: usize = 32 * 1024;

/// The header that names the event to its sender.
const EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");

impl Ingress {
    /// Receives a request that came to `route`.
    pub(super) async fn receive(&self, route: &Arc<Route>, request: Request) -> Response {
        let (parts, whole) = request.into_parts();
        let mut stream = body::stream(whole);
        match self.accept(route, &parts, &mut stream).await {
            Ok(Some(id)) => stored(&id),
            // As in Argo, a sender does not learn that its event was filtered.
            Ok(None) => Response::new(Body::empty()),
            Err(refusal) => {
                debug!(origin = ?route.origin, reason = refusal.reason(), "request refused");
                refused(refusal, stream).await
            }
        }
    }

    /// Refuses a request of which only the headers are known.
    pub(super) async fn refuse(&self, refusal: Refusal, whole: Body) -> Response {
        refused(refusal, body::stream(whole)).await
    }

    async fn accept(
        &self,
        route: &Route,
        parts: &Parts,
        stream: &mut BodyDataStream,
    ) -> Result<Option<EventId>, Refusal> {
        let permit = self.0.in_flight.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::Busy)?;
        let hook = route.hook.as_ref().ok_or(Refusal::Misconfigured)?;
        check_head(hook, parts)?;
        let body = body::read(stream, hook.max_body, self.0.config.body_timeout).await?;
        hook.auth.check_body(&parts.headers, &body)?;
        let draft = hook.draft(parts, &body)?;
        self.publish(hook.emitter.clone(), draft, permit).await
    }

    /// Publishes in a task of its own, so that a sender that hangs up leaves nothing half done.
    async fn publish(
        &self,
        emitter: Emitter,
        draft: Draft,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<EventId>, Refusal> {
        let (answer, result) = oneshot::channel();
        self.0.tasks.spawn("receipt", async move {
            let outcome = emitter.emit(draft).await;
            drop(permit);
            // Nobody listens where the sender hung up.
            let _ = answer.send(outcome);
        });
        match result.await {
            Ok(Ok(Emitted::Stored(id) | Emitted::Duplicate(id))) => Ok(Some(id)),
            Ok(Ok(Emitted::Filtered)) => Ok(None),
            Ok(Err(error)) => Err(Refusal::from(&error)),
            Err(_) => Err(Refusal::Bus),
        }
    }
}

/// All that can be said before the body is read.
fn check_head(hook: &Hook, parts: &Parts) -> Result<(), Refusal> {
    let sizes = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    if parts.headers.len() > MAX_HEADERS || sizes.sum::<usize>() > MAX_HEADER_BYTES {
        return Err(Refusal::Headers);
    }
    if parts.method != hook.method {
        return Err(Refusal::Method(hook.method.clone()));
    }
    hook.auth.check_head(&parts.headers, hook.emitter.now())?;
    if announced(&parts.headers).is_some_and(|length| length > hook.max_body as u64) {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// 200 and no body: some senders keep their connection only then.
fn stored(id: &EventId) -> Response {
    let mut response = Response::new(Body::empty());
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(id.0.clone().into_bytes())) {
        response.headers_mut().insert(EVENT_ID, value);
    }
    response
}

async fn refused(refusal: Refusal, rest: BodyDataStream) -> Response {
    meter::rejected(refusal.reason());
    body::discard(rest).await;
    refusal.into_response()
}
