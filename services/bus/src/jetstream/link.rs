//! The connection: requests to the server, and what its answers mean.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::connection::State;
use async_nats::jetstream::{self, Context, Error as Refusal};
use async_nats::{Client, ConnectErrorKind, Event, HeaderMap, Message, ServerError};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::JetStreamConfig;
use super::names::Names;
use crate::error::BusError;

/// Where the server takes requests about streams and consumers.
pub(super) const API: &str = "$JS.API";

/// So begins what a server says that lets us not send to a subject.
const FORBIDDEN: &str = "Permissions Violation for Publish to";

/// Codes by which the server says why it refuses.
pub(super) mod code {
    pub(crate) const CONSUMER_NOT_FOUND: u64 = 10_014;
    pub(crate) const NO_RESOURCES: u64 = 10_023;
    pub(crate) const NO_MESSAGE: u64 = 10_037;
    pub(crate) const NO_STORAGE: u64 = 10_047;
    pub(crate) const TOO_LARGE: u64 = 10_054;
    pub(crate) const STREAM_EXISTS: u64 = 10_058;
    pub(crate) const STREAM_NOT_FOUND: u64 = 10_059;
    pub(crate) const WRONG_LAST: u64 = 10_071;
    pub(crate) const ALONE: u64 = 10_074;
    pub(crate) const STORE_FAILED: u64 = 10_077;
    pub(crate) const CONSUMER_EXISTS: u64 = 10_148;
    pub(crate) const CONSUMER_ABSENT: u64 = 10_149;
    pub(crate) const ID_IN_PROCESS: u64 = 10_158;
    pub(crate) const WRONG_LAST_SOMEWHERE: u64 = 10_164;
}

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server says no.
    Refused(Refusal),
    /// Nobody takes such requests: there is no such stream or consumer, or it has no leader just now.
    Nobody,
    /// Whether it was done is not known.
    Unknown(String),
    /// The bus was closed meanwhile.
    Closed,
}

impl Failure {
    /// The code of a refusal; 0 where it is none.
    pub(super) fn code(&self) -> u64 {
        match self {
            Self::Refused(refusal) => refusal.error_code().0,
            Self::Nobody | Self::Unknown(_) | Self::Closed => 0,
        }
    }

    /// What the caller is told, who asked about `what`.
    pub(super) fn about(self, what: &str) -> BusError {
        let code = self.code();
        match self {
            Self::Refused(_)
                if matches!(
                    code,
                    code::STREAM_NOT_FOUND | code::CONSUMER_NOT_FOUND | code::CONSUMER_ABSENT
                ) =>
            {
                BusError::Missing { what: what.into() }
            }
            // Another write, or this one sent before, stands in mid-air: what comes of it is not known yet. A
            // leader that is cut off from the others says so until somebody else leads.
            Self::Refused(refusal)
                if matches!(code, code::ID_IN_PROCESS | code::WRONG_LAST | code::WRONG_LAST_SOMEWHERE) =>
            {
                unavailable(format!("{what}: {refusal}"))
            }
            Self::Refused(refusal) if refusal.code() < 500 => {
                BusError::Invalid { reason: format!("the NATS server refuses {what}: {refusal}") }
            }
            Self::Refused(refusal) => unavailable(format!("{what}: {refusal}")),
            Self::Nobody => unavailable(format!("no NATS server answers for {what}")),
            Self::Closed => BusError::Closed,
            Self::Unknown(reason) => unavailable(format!("{what}: {reason}")),
        }
    }
}

pub(super) fn unavailable(reason: impl Into<String>) -> BusError {
    BusError::Unavailable { reason: reason.into() }
}

/// An answer: what was asked for, or a refusal.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Answer<T> {
    /// No.
    No {
        /// Why.
        error: Refusal,
    },
    /// Yes.
    Yes(T),
}

/// A connection that comes back by itself.
pub(super) struct Link {
    pub(super) client: Client,
    /// The library's own way to streams.
    pub(super) context: Context,
    pub(super) names: Names,
    pub(super) closed: CancellationToken,
    /// After so long without an answer a result is unknown.
    pub(super) timeout: Duration,
    connections: watch::Receiver<u64>,
    /// The last subject that the server did not let us send to, as it said it.
    forbidden: watch::Receiver<String>,
}

impl Link {
    pub(super) async fn connect(config: &JetStreamConfig) -> Result<Self, BusError> {
        let (counter, connections) = watch::channel(0);
        let (refusals, forbidden) = watch::channel(String::new());
        let lost = AtomicBool::new(false);
        let options = config.connect_options()?.event_callback(move |event| {
            match &event {
                // The first one is told too, some time after it is in use.
                Event::Connected => {
                    if lost.swap(false, Ordering::AcqRel) {
                        tracing::info!("connected to NATS again");
                        counter.send_modify(|number| *number += 1);
                    }
                }
                Event::Disconnected => {
                    tracing::warn!("the connection to NATS is lost; trying again");
                    lost.store(true, Ordering::Release);
                }
                // Whoever waits for the answer tells it.
                Event::ServerError(ServerError::Other(text)) if text.contains(FORBIDDEN) => {
                    refusals.send_replace(text.clone());
                }
                Event::SlowConsumer(_) | Event::ServerError(_) | Event::ClientError(_) => {
                    tracing::warn!(%event, "NATS");
                }
                Event::LameDuckMode | Event::Draining | Event::Closed => {}
            }
            std::future::ready(())
        });
        let servers: Vec<&str> = config.url.split(',').map(str::trim).collect();
        let client = options.connect(servers).await.map_err(|error| {
            unavailable(match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    "the NATS server refuses our credentials".to_owned()
                }
                _ => format!("no connection to NATS: {error}"),
            })
        })?;
        if !client.is_server_compatible(2, 12, 0) {
            return Err(BusError::Invalid {
                reason: format!(
                    "NATS server {} is too old: 2.12 or later is needed",
                    client.server_info().version
                ),
            });
        }
        Ok(Self {
            context: jetstream::new(client.clone()),
            client,
            names: Names::new(&config.root()),
            closed: CancellationToken::new(),
            timeout: config.request_timeout,
            connections,
            forbidden,
        })
    }

    /// Fails once the bus is closed.
    pub(super) fn open(&self) -> Result<(), BusError> {
        if self.closed.is_cancelled() {
            return Err(BusError::Closed);
        }
        Ok(())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Changes with each connection made after one was lost.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        self.connections.clone()
    }

    /// Sends a message that is answered.
    pub(super) async fn send(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Failure> {
        self.send_within(self.timeout, subject, headers, payload).await
    }

    /// Sends a message that is answered within a time.
    pub(super) async fn send_within(
        &self,
        timeout: Duration,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Failure> {
        let mut request = Request::new().payload(payload).timeout(Some(timeout));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let mut connections = self.connections.clone();
        connections.mark_unchanged();
        let refused = self.refused(&subject);
        let was_connected = self.is_connected();
        let answered = tokio::select! {
            biased;
            answered = self.client.send_request(subject, request) => answered,
            text = refused => {
                return Err(Failure::Unknown(format!("the NATS server refuses our user: {text}")));
            }
            // No answer comes for what went over a connection that is no more.
            Ok(()) = connections.changed(), if was_connected => {
                let lost = "the connection was lost meanwhile, so whether it was done is unknown";
                return Err(Failure::Unknown(lost.to_owned()));
            }
        };
        answered.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Failure::Nobody,
            RequestErrorKind::TimedOut => {
                Failure::Unknown(format!("no answer within {timeout:?}, so whether it was done is unknown"))
            }
            _ if self.closed.is_cancelled() => Failure::Closed,
            _ => Failure::Unknown(error.to_string()),
        })
    }

    /// Returns when the server says from now on that we may not send to a subject.
    fn refused(&self, subject: &str) -> impl Future<Output = String> + use<> {
        let mut forbidden = self.forbidden.clone();
        forbidden.mark_unchanged();
        let named = format!("\"{subject}\"");
        async move {
            while forbidden.changed().await.is_ok() {
                let text = forbidden.borrow_and_update().clone();
                if text.contains(&named) {
                    return text;
                }
            }
            std::future::pending().await
        }
    }

    /// Asks about a stream or consumer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::Unknown(error.to_string()))?;
        let answer = self.send(format!("{API}.{what}"), None, body.into()).await?;
        decode(&answer.payload)
    }
}

/// Reads an answer.
pub(super) fn decode<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    match serde_json::from_slice(answer) {
        Ok(Answer::Yes(answer)) => Ok(answer),
        Ok(Answer::No { error }) => Err(Failure::Refused(error)),
        Err(error) => Err(Failure::Unknown(format!("an answer that is not understood: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: u64, description: &str) -> Failure {
        let said = serde_json::json!({ "code": status, "err_code": code, "description": description });
        Failure::Refused(serde_json::from_value(said).unwrap())
    }

    /// Whoever publishes gives up what is invalid, and sends again what is unavailable. So nothing that
    /// may go through later must look invalid.
    #[test]
    fn what_stands_in_mid_air_may_be_sent_again() {
        for (code, description) in [
            (code::ID_IN_PROCESS, "duplicate message id is in process"),
            (code::WRONG_LAST, "wrong last sequence: 7"),
            (code::WRONG_LAST_SOMEWHERE, "wrong last sequence"),
        ] {
            let told = refusal(if code == code::ID_IN_PROCESS { 409 } else { 400 }, code, description);
            let told = told.about("stream `T`");
            assert!(matches!(told, BusError::Unavailable { .. }), "{code}: {told:?}");
        }
        let told = refusal(400, 10_025, "bad request").about("stream `T`");
        assert!(matches!(told, BusError::Invalid { .. }), "{told:?}");
        let told = refusal(404, code::STREAM_NOT_FOUND, "stream not found").about("stream `T`");
        assert!(matches!(told, BusError::Missing { .. }), "{told:?}");
    }
}
