//! Artifacts behind URLs: GET for inputs, PUT for outputs.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Identity, Method, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tiphys_kit::Backoff;
use tiphys_runner::archive::Limits;
use tokio::io::AsyncWriteExt;

use super::address::{self, Guarded};
use super::location::{Http, HttpAuth, Oauth2};
use super::remote::{local, too_large};
use super::secrets::Secrets;
use crate::launcher::LaunchError;

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// A server that is away for the moment is asked so often.
const TRIES: usize = 5;
const CONNECT: Duration = Duration::from_secs(10);
/// A connection on which nothing comes for so long is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// The answer of a server that gives tokens is no longer.
const TOKEN: usize = 64 << 10;

/// A URL, and how to ask it.
pub(super) struct Request {
    client: Client,
    url: Url,
    /// The manifest's headers and what authenticates. They go to the origin of the URL and to no other.
    headers: HeaderMap,
}

/// What came of one try.
enum Failure {
    /// It may go well the next time.
    Passing(String),
    Final(LaunchError),
}

impl Request {
    /// Looks the Secrets up, and gets a token where one is needed.
    ///
    /// # Errors
    /// Names what is missing or wrong.
    pub(super) async fn new(place: &Http, secrets: Secrets<'_>) -> Result<Self, LaunchError> {
        let url = parse(&place.url)?;
        let auth = place.auth.clone().unwrap_or_default();
        let client = client(&auth, secrets)?;
        let mut headers = HeaderMap::new();
        for header in &place.headers {
            let told = |what: &str| {
                LaunchError::Missing(format!("http: header {:?} has no valid {what}", header.name))
            };
            let name: HeaderName = header.name.parse().map_err(|_| told("name"))?;
            let mut value: HeaderValue = header.value.parse().map_err(|_| told("value"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let mut request = Self { client, url, headers };
        if let Some(basic) = &auth.basic_auth {
            let name = secrets.optional(basic.username_secret.as_ref())?;
            let password = secrets.optional(basic.password_secret.as_ref())?;
            request.authorize(&super::secrets::basic(name.as_ref(), password.as_ref()))?;
        }
        if let Some(oauth2) = &auth.oauth2 {
            let token = request.token(oauth2, secrets).await?;
            request.authorize(&token)?;
        }
        Ok(request)
    }

    fn authorize(&mut self, value: &SecretString) -> Result<(), LaunchError> {
        let told = |_| LaunchError::Missing("http: the Secret's value cannot be sent as a header".into());
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(told)?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// A token for the client's own id and secret.
    async fn token(&self, oauth2: &Oauth2, secrets: Secrets<'_>) -> Result<SecretString, LaunchError> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: SecretString,
        }
        let told = |why: String| LaunchError::Missing(format!("http: no token: {why}"));
        let missing = |name: &str| told(format!("oauth2.{name} is missing"));
        let value = |wanted| secrets.optional(wanted);
        let url = value(oauth2.token_url_secret.as_ref())?.ok_or_else(|| missing("tokenURLSecret"))?;
        let id = value(oauth2.client_id_secret.as_ref())?;
        let secret = value(oauth2.client_secret_secret.as_ref())?;
        let url = parse(url.expose_secret().trim())?;
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        if !oauth2.scopes.is_empty() {
            form.push(("scope", oauth2.scopes.join(" ")));
        }
        form.extend(oauth2.endpoint_params.iter().map(|one| (one.key.as_str(), one.value.clone())));
        // A query is written as a form is.
        let mut body = Url::parse("http://form").map_err(|error| told(error.to_string()))?;
        body.query_pairs_mut().extend_pairs(form);
        let asked = self
            .client
            .post(url.clone())
            .header(AUTHORIZATION, super::secrets::basic(id.as_ref(), secret.as_ref()).expose_secret())
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.query().unwrap_or_default().to_owned());
        let answer = asked.send().await.map_err(|error| told(cause(&error)))?;
        if !answer.status().is_success() {
            return Err(told(format!("{} answers {}", shown(&url), answer.status())));
        }
        let mut bytes = Vec::new();
        let mut content = answer.bytes_stream();
        while let Some(part) = content.next().await {
            bytes.extend_from_slice(&part.map_err(|error| told(cause(&error)))?);
            if bytes.len() > TOKEN {
                return Err(told(format!("the answer of {} is too long", shown(&url))));
            }
        }
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|_| told(format!("the answer of {} holds no access_token", shown(&url))))?;
        Ok(SecretString::from(format!("Bearer {}", answer.access_token.expose_secret())))
    }

    /// Writes what is there to `file`.
    pub(super) async fn fetch(&self, file: &Path) -> Result<(), LaunchError> {
        self.patiently(&Method::GET, file).await
    }

    /// Sends a file.
    pub(super) async fn put(&self, file: &Path) -> Result<(), LaunchError> {
        self.patiently(&Method::PUT, file).await
    }

    async fn patiently(&self, method: &Method, file: &Path) -> Result<(), LaunchError> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        for left in (0..TRIES).rev() {
            let tried = match *method {
                Method::PUT => self.send(method, Some(file)).await.map(drop),
                _ => self.receive(method, file).await,
            };
            match tried {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(why)) if left == 0 => {
                    let text = format!("{} cannot be used, tried {TRIES} times: {why}", shown(&self.url));
                    return Err(LaunchError::Missing(text));
                }
                Err(Failure::Passing(_)) => tokio::time::sleep(backoff.next_wait()).await,
            }
        }
        Ok(())
    }

    async fn receive(&self, method: &Method, file: &Path) -> Result<(), Failure> {
        let answer = self.send(method, None).await?;
        let limit = Limits::default().bytes;
        let large = || Failure::Final(too_large(&shown(&self.url)));
        if answer.content_length().is_some_and(|length| length > limit) {
            return Err(large());
        }
        let disk = |error: std::io::Error| Failure::Final(local(&error));
        let mut to = tokio::fs::File::create(file).await.map_err(disk)?;
        let (mut content, mut left) = (answer.bytes_stream(), limit);
        while let Some(part) = content.next().await {
            let part = part.map_err(|error| Failure::Passing(cause(&error)))?;
            left = left.checked_sub(part.len() as u64).ok_or_else(large)?;
            to.write_all(&part).await.map_err(disk)?;
        }
        to.flush().await.map_err(disk)
    }

    /// Sends the request, and follows where it is led to: never from TLS to none, and without the headers once that
    /// is another origin.
    async fn send(&self, method: &Method, file: Option<&Path>) -> Result<Response, Failure> {
        let refused = |text: String| Failure::Final(LaunchError::Missing(text));
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS {
            address::check(&url).map_err(&refused)?;
            let mut request = self.client.request(method.clone(), url.clone());
            if url.origin() == self.url.origin() {
                request = request.headers(self.headers.clone());
            }
            if let Some(file) = file {
                let disk = |error: std::io::Error| Failure::Final(local(&error));
                let content = tokio::fs::File::open(file).await.map_err(disk)?;
                let length = content.metadata().await.map_err(disk)?.len();
                request = request.header(CONTENT_LENGTH, length).body(content);
            }
            let answer = request.send().await.map_err(|error| Failure::Passing(cause(&error)))?;
            let status = answer.status();
            if status.is_success() {
                return Ok(answer);
            }
            if !status.is_redirection() {
                return Err(self.judged(status));
            }
            let keeps = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            let next = answer.headers().get(LOCATION).and_then(|next| next.to_str().ok());
            let next = next.filter(|_| keeps || file.is_none()).and_then(|next| url.join(next).ok());
            let next = next.ok_or_else(|| refused(format!("{} answers {status}", shown(&self.url))))?;
            let leaves_tls = url.scheme() == "https" && next.scheme() != "https";
            if leaves_tls || !matches!(next.scheme(), "http" | "https") {
                let text = format!("{} leads to {}, which is not followed", shown(&self.url), shown(&next));
                return Err(refused(text));
            }
            url = next;
        }
        Err(refused(format!("{} leads on more than {REDIRECTS} times", shown(&self.url))))
    }

    fn judged(&self, status: StatusCode) -> Failure {
        let url = shown(&self.url);
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Failure::Passing(format!("it answers {status}"));
        }
        if status == StatusCode::NOT_FOUND {
            return Failure::Final(LaunchError::Absent(format!("{url} answers {status}: check the URL")));
        }
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ": check `auth` and `headers`, and their Secrets"
            }
            _ => "",
        };
        Failure::Final(LaunchError::Missing(format!("{url} answers {status}{hint}")))
    }
}

fn client(auth: &HttpAuth, secrets: Secrets<'_>) -> Result<Client, LaunchError> {
    let told = |why: String| LaunchError::Missing(format!("http: {why}"));
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .dns_resolver(std::sync::Arc::new(Guarded));
    if let Some(certificate) = &auth.client_cert {
        let part = |wanted, name: &str| {
            secrets.optional(wanted)?.ok_or_else(|| told(format!("clientCert.{name} is missing")))
        };
        let key = part(certificate.client_key_secret.as_ref(), "clientKeySecret")?;
        let own = part(certificate.client_cert_secret.as_ref(), "clientCertSecret")?;
        let pem = SecretString::from(format!("{}\n{}", key.expose_secret(), own.expose_secret()));
        let identity = Identity::from_pem(pem.expose_secret().as_bytes());
        builder = builder.identity(identity.map_err(|error| told(format!("clientCert: {error}")))?);
    }
    builder.build().map_err(|error| told(cause(&error)))
}

fn parse(text: &str) -> Result<Url, LaunchError> {
    let told = |why: String| LaunchError::Missing(format!("http: the URL of the artifact: {why}"));
    let url = Url::parse(text).map_err(|error| told(error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(told(format!("{other} is not fetched, only http and https"))),
    }
}

/// A URL without what may be secret in it.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// The innermost reason; those around it repeat the URL with its query.
fn cause(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    if std::ptr::addr_eq(std::ptr::from_ref(reason), std::ptr::from_ref(error)) {
        return "the request failed".into();
    }
    reason.to_string()
}
