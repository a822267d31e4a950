//! A connection that publishes, and what it learns about subjects.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::{self, Context as JetStream};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, ServerError};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tiphys_core::chain;
use tiphys_kit::tls::{self, Material};
use tokio::time::Instant;

use crate::error::Error;
use crate::kind::Context;

/// For so long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// A lost connection is made again at once so often; after that the next firing makes a new one.
const TRIES: usize = 3;
/// An answer comes within this time.
const ANSWER: Duration = Duration::from_secs(5);
/// What was learnt about a subject holds for so long.
const KNOWN: Duration = Duration::from_secs(60);
/// A refusal follows a first publication within this time.
const SETTLE: Duration = Duration::from_millis(50);
/// So many subjects are remembered; they may come from events.
const SUBJECTS: usize = 1024;

/// Where, and who we are.
pub(super) struct Settings {
    url: String,
    auth: Auth,
    tls: Option<Tls>,
}

enum Auth {
    None,
    Basic(SecretString, SecretString),
    Token(SecretString),
    Nkey(SecretString),
    Credential(SecretString),
}

#[derive(Default)]
struct Tls {
    authorities: Option<SecretString>,
    certificate: Option<SecretString>,
    key: Option<SecretString>,
    skip_verification: bool,
}

impl Settings {
    /// Those of a template, with the Secrets as they are now.
    pub(super) fn of(context: &Context<'_>, template: &Json) -> Result<Self, Error> {
        let url = template.get("url").and_then(Json::as_str).unwrap_or_default();
        if url.is_empty() {
            return Err(Error::Template("`url` of the nats trigger is missing".into()));
        }
        Ok(Self { url: url.into(), auth: auth(context, template)?, tls: tls_of(context, template)? })
    }

    /// What tells them from others. It holds secrets.
    pub(super) fn key(&self) -> String {
        let bare = |secret: &SecretString| secret.expose_secret().to_owned();
        let auth = match &self.auth {
            Auth::None => String::new(),
            Auth::Basic(user, password) => format!("basic\n{}\n{}", bare(user), bare(password)),
            Auth::Token(token) => format!("token\n{}", bare(token)),
            Auth::Nkey(seed) => format!("nkey\n{}", bare(seed)),
            Auth::Credential(text) => format!("credential\n{}", bare(text)),
        };
        let tls = self.tls.iter().flat_map(|tls| {
            let parts = [&tls.authorities, &tls.certificate, &tls.key];
            let parts = parts.into_iter().map(move |part| part.as_ref().map(bare).unwrap_or_default());
            parts.chain([tls.skip_verification.to_string()])
        });
        [self.url.clone(), auth].into_iter().chain(tls).collect::<Vec<_>>().join("\0")
    }

    /// The servers, without what may be secret in their addresses.
    pub(super) fn shown(&self) -> String {
        let bare = |server: &str| {
            server.rsplit('@').next().unwrap_or_default().trim_start_matches("nats://").to_owned()
        };
        let servers: Vec<String> = self.url.split(',').map(|server| bare(server.trim())).collect();
        format!("NATS {}", servers.join(","))
    }
}

fn given<'a>(of: &'a Json, key: &str) -> Option<&'a Json> {
    of.get(key).filter(|value| !value.is_null())
}

fn auth(context: &Context<'_>, template: &Json) -> Result<Auth, Error> {
    let Some(auth) = given(template, "auth") else { return Ok(Auth::None) };
    if let Some(basic) = given(auth, "basic") {
        let part = |key: &str| match given(basic, key) {
            Some(selector) => context.secret(selector),
            None => Ok(SecretString::default()),
        };
        return Ok(Auth::Basic(part("username")?, part("password")?));
    }
    if let Some(token) = given(auth, "token") {
        return context.secret(token).map(Auth::Token);
    }
    if let Some(seed) = given(auth, "nkey") {
        return context.secret(seed).map(Auth::Nkey);
    }
    given(auth, "credential").map_or(Ok(Auth::None), |text| context.secret(text).map(Auth::Credential))
}

fn tls_of(context: &Context<'_>, template: &Json) -> Result<Option<Tls>, Error> {
    let Some(tls) = given(template, "tls") else { return Ok(None) };
    if tls.get("insecureSkipVerify").and_then(Json::as_bool) == Some(true) {
        return Ok(Some(Tls { skip_verification: true, ..Tls::default() }));
    }
    let secret = |key: &str| given(tls, key).map(|selector| context.secret(selector)).transpose();
    let found = Tls {
        authorities: secret("caCertSecret")?,
        certificate: secret("clientCertSecret")?,
        key: secret("clientKeySecret")?,
        skip_verification: false,
    };
    if found.certificate.is_some() != found.key.is_some() {
        return Err(Error::Template(
            "`tls` needs both `clientCertSecret` and `clientKeySecret`, or none".into(),
        ));
    }
    Ok(Some(found))
}

/// What the server refused, by subject.
type Denied = Arc<Mutex<Vec<String>>>;

/// An open connection.
pub(super) struct Link {
    client: Client,
    jetstream: JetStream,
    shown: String,
    denied: Denied,
    /// Whether the user may not ask questions: then nobody says that the server has a message.
    mute: AtomicBool,
    /// Whether a stream takes a subject, and since when that is known.
    subjects: Mutex<HashMap<String, (bool, Instant)>>,
}

impl Link {
    /// Connects.
    pub(super) async fn open(settings: &Settings) -> Result<Self, Error> {
        let denied = Denied::default();
        let hear = denied.clone();
        let options = options(settings)?.name("tiphys trigger").event_callback(move |event| {
            if let Event::ServerError(ServerError::Other(reason)) = event {
                let mut denied = hear.lock().unwrap_or_else(PoisonError::into_inner);
                denied.truncate(SUBJECTS);
                denied.push(reason);
            }
            std::future::ready(())
        });
        let servers: Vec<&str> = settings.url.split(',').map(str::trim).collect();
        let shown = settings.shown();
        let client = options.connect(servers).await.map_err(|error| {
            Error::Unavailable(match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    format!("{shown} refuses our credentials; see `auth` of the trigger")
                }
                _ => format!("no connection to {shown}: {}", chain(&error)),
            })
        })?;
        let jetstream = jetstream::new(client.clone());
        Ok(Self {
            client,
            jetstream,
            shown,
            denied,
            mute: AtomicBool::new(false),
            subjects: Mutex::default(),
        })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// The servers, for people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Publishes, and waits until a stream or at least the server has it. `stream` says whether a stream takes it;
    /// where the manifest does not say so, the server is asked.
    pub(super) async fn publish(
        &self,
        subject: &str,
        headers: HeaderMap,
        body: Bytes,
        stream: Option<bool>,
    ) -> Result<String, Error> {
        let most = self.client.server_info().max_payload;
        if most > 0 && body.len() > most {
            return Err(Error::Refused(format!(
                "{} takes at most {most} bytes, and the message has {}",
                self.shown,
                body.len()
            )));
        }
        let known = self.known(subject);
        let stream = match stream.or(known) {
            Some(stream) => stream,
            None => self.has_stream(subject).await?,
        };
        let published = if stream {
            self.store(subject, headers, body).await
        } else {
            self.send(subject, headers, body, known.is_none()).await
        };
        match &published {
            Ok(_) => self.learn(subject, Some(stream)),
            Err(_) => self.learn(subject, None),
        }
        published
    }

    /// To a stream.
    async fn store(&self, subject: &str, headers: HeaderMap, body: Bytes) -> Result<String, Error> {
        let sent = self.jetstream.publish_with_headers(subject.to_owned(), headers, body).await;
        let acked = match sent {
            Ok(ack) => ack.await,
            Err(error) => Err(error),
        };
        let ack = acked.map_err(|error| match error.kind() {
            PublishErrorKind::StreamNotFound => {
                Error::Unavailable(format!("no stream of {} takes `{subject}`", self.shown))
            }
            PublishErrorKind::TimedOut if self.take_denied(subject) => self.refusal(subject),
            _ => Error::Unavailable(format!("{} did not store the message: {}", self.shown, chain(&error))),
        })?;
        let before = if ack.duplicate { ", as before" } else { "" };
        Ok(format!("stream {}, sequence {}{before}", ack.stream, ack.sequence))
    }

    /// To whoever listens. The server works in order: once it answers a question that nobody else can answer, it has
    /// the message.
    async fn send(
        &self,
        subject: &str,
        headers: HeaderMap,
        body: Bytes,
        first: bool,
    ) -> Result<String, Error> {
        let lost = |error: &dyn std::fmt::Display| Error::Unavailable(format!("{}: {error}", self.shown));
        self.client
            .publish_with_headers(subject.to_owned(), headers, body)
            .await
            .map_err(|error| lost(&error))?;
        if self.mute.load(Ordering::Acquire) {
            self.client.flush().await.map_err(|error| lost(&error))?;
        } else {
            let question = Request::new().payload(Bytes::new()).timeout(Some(ANSWER));
            match self.client.send_request(self.client.new_inbox(), question).await {
                Ok(_) => {}
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
                // A user who may only publish there cannot ask; the message left all the same.
                Err(_) if self.is_mute() => {}
                Err(error) => return Err(lost(&error)),
            }
        }
        if first {
            tokio::time::sleep(SETTLE).await;
        }
        if self.take_denied(subject) {
            return Err(self.refusal(subject));
        }
        Ok(String::new())
    }

    /// Whether a stream takes the subject.
    async fn has_stream(&self, subject: &str) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Answer {
            error: Option<Json>,
            #[serde(default)]
            streams: Option<Vec<String>>,
        }
        const ASK: &str = "$JS.API.STREAM.NAMES";
        if self.mute.load(Ordering::Acquire) {
            return Ok(false);
        }
        let question = json!({"subject": subject}).to_string();
        let question = Request::new().payload(question.into()).timeout(Some(ANSWER));
        match self.client.send_request(ASK, question).await {
            Ok(answer) => {
                let answer: Answer = serde_json::from_slice(&answer.payload).map_err(|error| {
                    Error::Unavailable(format!(
                        "{} gave an answer that is not understood: {error}",
                        self.shown
                    ))
                })?;
                // An error here says that the account has no JetStream.
                Ok(answer.error.is_none() && answer.streams.is_some_and(|streams| !streams.is_empty()))
            }
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(false),
            Err(_) if self.take_denied(ASK) || self.is_mute() => Ok(false),
            Err(error) => Err(Error::Unavailable(format!(
                "{} does not say whether a stream takes `{subject}` ({error}); set `jetstream` of the trigger to true or false",
                self.shown
            ))),
        }
    }

    fn refusal(&self, subject: &str) -> Error {
        Error::Unavailable(format!("{} does not let us publish to `{subject}`", self.shown))
    }

    /// Whether the server refused an inbox, for questions or for answers.
    fn is_mute(&self) -> bool {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.iter().any(|reason| reason.contains("\"_INBOX.")) {
            self.mute.store(true, Ordering::Release);
        }
        self.mute.load(Ordering::Acquire)
    }

    /// Whether the server refused a subject since this was asked last.
    fn take_denied(&self, subject: &str) -> bool {
        let quoted = format!("\"{subject}\"");
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let before = denied.len();
        denied.retain(|reason| !reason.contains(&quoted));
        denied.len() < before
    }

    fn known(&self, subject: &str) -> Option<bool> {
        let subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        subjects.get(subject).filter(|(_, since)| since.elapsed() < KNOWN).map(|(stream, _)| *stream)
    }

    fn learn(&self, subject: &str, stream: Option<bool>) {
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        match stream {
            Some(_) if subjects.get(subject).is_some_and(|(_, since)| since.elapsed() < KNOWN) => {}
            Some(stream) => {
                if subjects.len() >= SUBJECTS {
                    subjects.clear();
                }
                subjects.insert(subject.into(), (stream, Instant::now()));
            }
            None => {
                subjects.remove(subject);
            }
        }
    }
}

fn options(settings: &Settings) -> Result<ConnectOptions, Error> {
    let bare = |secret: &SecretString| secret.expose_secret().to_owned();
    let plain = ConnectOptions::new().connection_timeout(CONNECT).max_reconnects(TRIES);
    let options = match &settings.auth {
        Auth::None => plain,
        Auth::Basic(user, password) => plain.user_and_password(bare(user), bare(password)),
        Auth::Token(token) => plain.token(bare(token)),
        Auth::Nkey(seed) => plain.nkey(bare(seed).trim().to_owned()),
        Auth::Credential(text) => plain.credentials(text.expose_secret()).map_err(|_| {
            Error::Template(
                "the Secret of `auth.credential` holds no NATS credentials: a JWT and a seed".into(),
            )
        })?,
    };
    let Some(tls) = &settings.tls else { return Ok(options) };
    let identity = tls.certificate.as_ref().zip(tls.key.as_ref());
    let config = tls::client(Material {
        authorities: tls.authorities.as_ref().map(|text| text.expose_secret()),
        identity: identity.map(|(certificate, key)| (certificate.expose_secret(), key.expose_secret())),
        skip_verification: tls.skip_verification,
    })
    .map_err(|wrong| Error::Template(format!("`tls`: {wrong}")))?;
    Ok(options.require_tls(true).tls_client_config(config))
}
