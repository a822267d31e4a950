//! One request, from its headers to its answer.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tiphys_core::EventId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::debug;

use super::{Ingress, Refusal, Route, body};
use crate::emit::{Draft, Emitted, Emitter};
use crate::error::Error;
use crate::hook::Hook;
use crate::meter;

/// At most so many headers, and so many bytes of them.
pub(super) const MAX_HEADERS: usize = 100;
pub(super) const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Events of a batch that are on their way to the bus at once.
const AT_ONCE: usize = 64;
/// So many ids are named in an answer.
const SHOWN: usize = 50;

/// The header that names the event to its sender.
const EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");

impl Ingress {
    /// Receives a request that came to `route`.
    pub(super) async fn receive(&self, route: &Arc<Route>, request: Request) -> Response {
        let (parts, whole) = request.into_parts();
        let mut stream = body::stream(whole);
        match self.accept(route, &parts, &mut stream).await {
            Ok(ids) => stored(&ids),
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
    ) -> Result<Vec<EventId>, Refusal> {
        let permit = self.0.in_flight.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::Busy)?;
        let hook = route.hook.as_ref().ok_or(Refusal::Misconfigured)?;
        check_head(hook, parts)?;
        let body = body::read(stream, hook.max_body, self.0.config.body_timeout).await?;
        hook.auth.check_body(&parts.headers, &body)?;
        let drafts = hook.drafts(parts, &body)?;
        self.publish(hook.emitter.clone(), drafts, permit).await
    }

    /// Publishes in a task of its own, so that a sender that hangs up leaves nothing half done.
    async fn publish(
        &self,
        emitter: Emitter,
        drafts: Vec<Draft>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Vec<EventId>, Refusal> {
        let (answer, result) = oneshot::channel();
        self.0.tasks.spawn("receipt", async move {
            let outcome = emit(&emitter, drafts).await;
            drop(permit);
            // Nobody listens where the sender hung up.
            let _ = answer.send(outcome);
        });
        match result.await {
            Ok(Ok(ids)) => Ok(ids),
            Ok(Err(error)) => Err(Refusal::from(&error)),
            Err(_) => Err(Refusal::Bus),
        }
    }
}

/// Stores the events of one request, a batch in its order. As in Argo, a sender does not learn that an event was
/// filtered.
async fn emit(emitter: &Emitter, drafts: Vec<Draft>) -> Result<Vec<EventId>, Error> {
    let stored = futures::stream::iter(drafts).map(|draft| emitter.emit(draft)).buffered(AT_ONCE);
    stored
        .try_filter_map(async |emitted| {
            Ok(match emitted {
                Emitted::Stored(id) | Emitted::Duplicate(id) => Some(id),
                Emitted::Filtered => None,
            })
        })
        .try_collect()
        .await
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

/// 200 and no body: some senders keep their connection only then. A batch's ids are told as far as they fit.
fn stored(ids: &[EventId]) -> Response {
    let mut response = Response::new(Body::empty());
    let ids = ids.iter().take(SHOWN).map(|id| id.0.as_str()).collect::<Vec<_>>().join(", ");
    if ids.is_empty() {
        return response;
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(ids.into_bytes())) {
        response.headers_mut().insert(EVENT_ID, value);
    }
    response
}

async fn refused(refusal: Refusal, rest: BodyDataStream) -> Response {
    meter::rejected(refusal.reason());
    body::discard(rest).await;
    refusal.into_response()
}
