//! What the API server's answers mean.

use std::time::Duration;

use kube::{Client, Error};
use tower::BoxError;

use crate::launcher::LaunchError;

/// An answer that is not the one wanted.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// How long the server wants to be left alone.
    pub(super) after: Option<Duration>,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no such thing.
    Missing,
    /// There is one already, or another than meant.
    Conflict,
    /// Ask again later; it may have been done or not.
    Later,
    /// Asking again is of no use.
    Refused,
}

impl Failure {
    pub(super) fn later(text: impl Into<String>) -> Self {
        Self { kind: Kind::Later, text: text.into(), after: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Error::Api(status) = error else {
            return Self::later(tiphys_core::chain(&error));
        };
        let text = status.message.clone();
        let seconds = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|s| *s > 0);
        let kind = match status.code {
            404 => Kind::Missing,
            409 => Kind::Conflict,
            // A quota is freed when other pods end.
            403 if text.contains("exceeded quota") => Kind::Later,
            // Tokens are renewed.
            401 | 408 | 429 | 500.. => Kind::Later,
            _ => Kind::Refused,
        };
        Self { kind, text, after: seconds.map(|seconds| Duration::from_secs(seconds.into())) }
    }
}

/// Waits no longer than a request should take.
pub(super) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::later(format!("the API server did not answer within {limit:?}"))),
    }
}

/// The refusal of a launcher that was not answered as it wants.
pub(super) fn cannot(what: &str, failure: &Failure) -> LaunchError {
    let text = format!("cannot {what}: {}", failure.text);
    if failure.kind == Kind::Later { LaunchError::Unavailable(text) } else { LaunchError::NotAllowed(text) }
}

/// A client whose answers begin within a time: a server that died in silence would be waited for without end, also by a watch
/// that is to be taken up again. How long an answer goes on then is not limited.
pub(super) fn patient(client: Client, limit: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request| {
        let client = client.clone();
        async move {
            match tokio::time::timeout(limit, client.send(request)).await {
                Ok(answer) => answer.map_err(BoxError::from),
                Err(_) => Err(format!("the API server did not begin to answer within {limit:?}").into()),
            }
        }
    });
    Client::new(service, namespace)
}
