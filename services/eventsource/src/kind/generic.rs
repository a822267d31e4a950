//! `generic`: the events of a server that somebody else wrote, over Argo's gRPC contract. It knows no acks: what was
//! received is stored, however long the bus is away, and nothing more is read meanwhile.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use secrecy::{ExposeSecret as _, SecretString};
use tiphys_core::chain;
use tiphys_lang::gjson;
use tiphys_manifest::event_source::Generic as Config;
use tiphys_proto::generic::eventing_client::EventingClient;
use tiphys_proto::generic::{Event, EventSource};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status, Streaming};
use tracing::error;

use super::{Scope, SourceKind};
use crate::body;
use crate::emit::{Draft, Emitter, Native, fingerprint};
use crate::error::Error;
use crate::insist::Insist;

/// For so long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// A server may keep silent until its first event; what refuses us does so within this time.
const SETTLE: Duration = Duration::from_secs(1);
/// A server that is gone without a word is noticed within about a minute. Not by HTTP/2 pings: many servers hang up
/// on clients that ping more often than every five minutes.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// So many events are stored at once.
const UNDER_WAY: usize = 64;

/// The kind.
pub(crate) struct Generic;

impl SourceKind for Generic {
    const KEY: &'static str = "generic";
    const TYPE: &'static str = "generic";
    type Config = Config;

    async fn run(config: Config, scope: Scope) -> Result<(), Error> {
        let emitter = scope.emitter(config.filter.as_ref())?;
        let token = config.auth_secret.as_ref().map(|selector| scope.secret(selector)).transpose()?;
        let request = request(&config, &scope, token.as_ref())?;
        let mut client = EventingClient::new(connect(&config).await?);
        let opening = client.start_event_source(request);
        let opened = tokio::select! {
            opened = opening => opened,
            () = settle(&scope) => return Ok(()),
        };
        let stream = opened.map_err(|status| refused(&status, token.as_ref()))?.into_inner();
        scope.up();
        let insist = Insist::new(scope.stop.clone());
        Reader { config: &config, scope: &scope, emitter, insist }.read(stream, token.as_ref()).await
    }
}

/// Says that all is well when no refusal came, and ends when it is time to stop.
async fn settle(scope: &Scope) {
    tokio::select! {
        () = scope.stop.cancelled() => return,
        () = tokio::time::sleep(SETTLE) => scope.up(),
    }
    scope.stop.cancelled().await;
}

fn request(
    config: &Config,
    scope: &Scope,
    token: Option<&SecretString>,
) -> Result<Request<EventSource>, Error> {
    let mut request =
        Request::new(EventSource { name: scope.origin.event.clone(), config: config.config.clone().into() });
    if let Some(token) = token {
        let mut value: MetadataValue<_> =
            format!("Bearer {}", token.expose_secret()).parse().map_err(|_| {
                Error::config(
                    "the Secret of `authSecret` holds no bearer token",
                    "store a token without spaces in it",
                )
            })?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
    }
    Ok(request)
}

async fn connect(config: &Config) -> Result<Channel, Error> {
    let wrong = |reason: String| {
        Error::config(format!("`url` of the generic event: {reason}"), "write the server as `HOST:PORT`")
    };
    let address = config.url.trim();
    if address.is_empty() {
        return Err(wrong("it is missing".into()));
    }
    let address = address.split_once("://").map_or(address, |(_, rest)| rest).trim_start_matches('/');
    let scheme = if config.insecure { "http" } else { "https" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .map_err(|error| wrong(chain(&error)))?
        .connect_timeout(CONNECT)
        .tcp_keepalive(Some(KEEPALIVE))
        .tcp_keepalive_interval(Some(KEEPALIVE / 3))
        .tcp_keepalive_retries(Some(3));
    if !config.insecure {
        endpoint = endpoint
            .tls_config(ClientTlsConfig::new().with_native_roots())
            .map_err(|error| wrong(chain(&error)))?;
    }
    endpoint.connect().await.map_err(|error| {
        Error::upstream(
            format!("no connection to the event source server {address}: {}", chain(&error)),
            "see whether the server runs, `url` of the event, and `insecure: true` where it does not encrypt",
        )
    })
}

/// A server might repeat what it was shown.
fn refused(status: &Status, token: Option<&SecretString>) -> Error {
    let said = match token {
        Some(token) => status.message().replace(token.expose_secret(), "***"),
        None => status.message().to_owned(),
    };
    Error::upstream(
        format!("the event source server gives no events: {:?}: {said}", status.code()),
        "see the log of that server, and `config` and `authSecret` of the event; it is tried again",
    )
}

struct Reader<'a> {
    config: &'a Config,
    scope: &'a Scope,
    emitter: Emitter,
    insist: Insist,
}

impl Reader<'_> {
    /// Until it is time to stop, or the stream ends. What was received is stored in each case.
    async fn read(&self, mut stream: Streaming<Event>, token: Option<&SecretString>) -> Result<(), Error> {
        let mut busy = FuturesUnordered::new();
        let outcome = loop {
            tokio::select! {
                () = self.scope.stop.cancelled() => break Ok(()),
                Some(()) = busy.next(), if !busy.is_empty() => {}
                next = stream.message(), if busy.len() < UNDER_WAY => match next {
                    Ok(Some(event)) => busy.push(self.handle(event)),
                    Ok(None) => break Err(Error::upstream(
                        "the event source server ended its stream",
                        "see the log of that server; it is asked again",
                    )),
                    Err(status) => break Err(refused(&status, token)),
                },
            }
        };
        drop(stream);
        while busy.next().await.is_some() {}
        outcome
    }

    /// Stores one event.
    async fn handle(&self, event: Event) {
        let wrong = match self.draft(&event) {
            Ok(draft) => match self.insist.on(|| self.emitter.emit(draft.clone())).await {
                Ok(Some(_)) => return,
                Ok(None) => return self.lost("the event source had to stop while the bus was away"),
                Err(wrong) => wrong,
            },
            Err(wrong) => wrong,
        };
        // The contract has no ids, so no two letters can be the same one.
        let id = format!("{}-{}", self.emitter.now().as_nanosecond(), fingerprint(&event.payload));
        match self.insist.on(|| self.scope.dead_letter(&id, &event.payload, &wrong)).await {
            Ok(Some(())) => {}
            Ok(None) => self.lost("the event source had to stop while the bus was away"),
            Err(failure) => self.lost(&chain(&failure)),
        }
    }

    /// Argo's shape: `{"body": …, "metadata": …}`.
    fn draft(&self, event: &Event) -> Result<Draft, Error> {
        let mut payload = Vec::with_capacity(event.payload.len() + 128);
        payload.extend_from_slice(b"{\"body\":");
        body::append(&mut payload, &event.payload, self.config.json_body)?;
        body::finish(&mut payload, &self.config.metadata)?;
        let native = self
            .own_id(&event.payload)
            .map(|id| Native { id, fingerprint: Some(fingerprint(&event.payload)) });
        Ok(Draft { native, payload: payload.into(), ..Draft::default() })
    }

    fn own_id(&self, payload: &[u8]) -> Option<String> {
        let path = Some(self.config.id_path.as_str()).filter(|path| !path.is_empty())?;
        let text = gjson::get(std::str::from_utf8(payload).ok()?, path)?.text();
        (!text.is_empty()).then_some(text)
    }

    fn lost(&self, reason: &str) {
        let origin = &self.scope.origin;
        metrics::counter!("tiphys_generic_events_lost_total", "namespace" => origin.namespace.clone(),
            "eventsource_name" => origin.source.clone(), "event_name" => origin.event.clone())
        .increment(1);
        error!(source = origin.source, name = origin.event, "an event of a server is lost: {reason}");
    }
}
