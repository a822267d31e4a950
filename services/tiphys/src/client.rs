//! The client of the API: finds the server, carries the token, turns refusals into exit codes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tiphys_core::Trace;
use tiphys_core::trace::{TRACEPARENT, VARIABLE};

use crate::cli::Connection;
use crate::exit::{Code, Failure};

/// Argo's client waits for no answer longer than this; streams have no limit.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Namespace where none is named.
const NAMESPACE: &str = "default";

/// A connection to a server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Token,
    reason: String,
    /// Namespace of requests that name none.
    pub(crate) namespace: String,
    /// How the server was named on the command line.
    named: String,
}

/// What lets us in, and where it was found.
#[derive(Debug, Clone, Default)]
struct Token {
    text: String,
    from: String,
}

impl Token {
    fn of_environment() -> Option<Self> {
        let text = std::env::var("TIPHYS_TOKEN").ok().filter(|text| !text.is_empty())?;
        Some(Self { text, from: "the variable TIPHYS_TOKEN".into() })
    }

    /// What to do where the server does not take it.
    fn advice(&self) -> String {
        if self.text.is_empty() {
            return "; give --data DIR with the server's data folder, or set TIPHYS_TOKEN".into();
        }
        format!(" (it was taken from {})", self.from)
    }
}

/// The file that a server writes once it is ready.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct ServerFile {
    /// Base address, such as `http://127.0.0.1:2746`.
    pub(crate) address: String,
    /// Process.
    pub(crate) pid: u32,
}

/// A command with the options that lead it to a server and a namespace; empty where it needs none.
pub(crate) fn hint(words: &str, namespace: &str, named: &str) -> String {
    let namespace = if namespace.is_empty() { String::new() } else { format!(" -n {}", quoted(namespace)) };
    format!("tiphys {words}{namespace}{named}")
}

/// The options by which a server was named, as they were given. Those that stand in the environment are there for the next
/// command, too.
fn named(connection: &Connection, of_environment: Option<&std::ffi::OsStr>) -> String {
    let data = connection.data.as_ref().filter(|data| of_environment != Some(data.as_os_str()));
    let mut named = data.map(|data| in_folder(data)).unwrap_or_default();
    if let Some(server) = &connection.server {
        named.push_str(&format!(" --server {}", quoted(server)));
    }
    named
}

/// The option for a data folder.
pub(crate) fn in_folder(data: &Path) -> String {
    format!(" --data {}", quoted(&data.display().to_string()))
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Client {
    /// Finds the server: by --server, by data folder, by a `.tiphys` folder here or above, by environment.
    pub(crate) fn find(connection: &Connection) -> Result<Self, Failure> {
        let (base, token) = locate(connection)?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| Failure::new(Code::Failed, format!("http client: {error}")))?;
        Ok(Self {
            http,
            base,
            token,
            reason: connection.reason.clone().unwrap_or_default(),
            namespace: connection.namespace.clone().unwrap_or_else(|| NAMESPACE.into()),
            named: named(connection, std::env::var_os("TIPHYS_DATA").as_deref()),
        })
    }

    /// A command that can be pasted: it reaches the same server and the same namespace.
    pub(crate) fn hint(&self, words: &str) -> String {
        let namespace = if self.namespace == NAMESPACE { "" } else { self.namespace.as_str() };
        hint(words, namespace, &self.named)
    }

    /// The same server, another namespace.
    pub(crate) fn within(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let caller = std::env::var("USER").unwrap_or_else(|_| "unknown".into());
        // Of a step that asks: what it causes stays in its trace.
        let trace = std::env::var(VARIABLE).ok().and_then(|text| Trace::read(&text));
        let request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token.text)
            .header("x-tiphys-caller", format!("cli/{caller}"))
            .header("x-tiphys-reason", self.reason.as_str());
        match trace {
            Some(trace) => request.header(TRACEPARENT, trace.to_string()),
            None => request,
        }
    }

    /// GET of a JSON answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.read(self.request(Method::GET, path).timeout(TIMEOUT)).await
    }

    /// Any method with a JSON body.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        self.read(self.request(method, path).timeout(TIMEOUT).json(body)).await
    }

    /// POST of a text.
    pub(crate) async fn post_text(&self, path: &str, body: String) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path).header("content-type", "application/yaml");
        self.read(request.timeout(TIMEOUT).body(body)).await
    }

    /// Opens a stream of server-sent events.
    pub(crate) async fn stream(&self, path: &str) -> Result<Lines, Failure> {
        let request = self.request(Method::GET, path).header("accept", "text/event-stream");
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !answer.status().is_success() {
            return Err(refusal(answer, &self.token).await);
        }
        Ok(Lines { answer, buffer: Vec::new() })
    }

    async fn read(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !answer.status().is_success() {
            return Err(refusal(answer, &self.token).await);
        }
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|error| Failure::new(Code::Failed, format!("the server's answer is no JSON: {error}")))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            return Failure::new(Code::TimedOut, format!("{} did not answer in time", self.base));
        }
        Failure::new(
            Code::Unreachable,
            format!("no server answers at {}; is `tiphys dev` running?", self.base),
        )
    }
}

/// A stream of server-sent events.
pub(crate) struct Lines {
    answer: reqwest::Response,
    buffer: Vec<u8>,
}

impl Lines {
    /// The `result` of the next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let Some(data) = line.strip_prefix(b"data:") else { continue };
                if let Ok(mut value) = serde_json::from_slice::<Value>(data) {
                    return value.get_mut("result").map(Value::take);
                }
            }
            match self.answer.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                _ => return None,
            }
        }
    }
}

/// A refusal as an exit code with the server's own words.
async fn refusal(answer: reqwest::Response, token: &Token) -> Failure {
    let status = answer.status();
    let body = answer.bytes().await.unwrap_or_default();
    let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut message = match parsed.get("message").and_then(Value::as_str) {
        Some(message) => message.to_owned(),
        None => format!("the server answered {status}"),
    };
    if status == StatusCode::UNAUTHORIZED {
        message.push_str(&token.advice());
    }
    let code = match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
            Code::Validation
        }
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::CONFLICT => Code::Conflict,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Code::Unauthorised,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => Code::Unreachable,
        StatusCode::GATEWAY_TIMEOUT => Code::TimedOut,
        _ => Code::Failed,
    };
    let findings = parsed.get("diagnostics").and_then(Value::as_array).into_iter().flatten();
    let findings: String = findings
        .filter_map(|finding| serde_json::from_value(finding.clone()).ok())
        // Where something stands in what was sent, nobody sees; the message tells its path.
        .filter(|finding: &tiphys_manifest::Diagnostic| finding.file != "request")
        .map(|finding| {
            format!(
                "\n  {}:{}:{}: {} [{}]",
                finding.file, finding.line, finding.column, finding.message, finding.code
            )
        })
        .collect();
    Failure::new(code, message + &findings)
}

/// Address and token, by the documented order.
fn locate(connection: &Connection) -> Result<(String, Token), Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(server) = &connection.server {
        if !server.starts_with("http://") && !server.starts_with("https://") {
            return Err(Failure::new(
                Code::Usage,
                format!("`{server}` is no address; write one such as http://127.0.0.1:2746"),
            ));
        }
        let folder = connection.data.clone().or_else(|| above(Path::new(".")));
        let token = Token::of_environment().or_else(|| read_token(&folder?).ok());
        return Ok((server.trim_end_matches('/').to_owned(), token.unwrap_or_default()));
    }
    if let Some(folder) = connection.data.clone().or_else(|| above(Path::new("."))) {
        return from_folder(&folder);
    }
    match variable("TIPHYS_SERVER") {
        Some(server) => {
            Ok((server.trim_end_matches('/').to_owned(), Token::of_environment().unwrap_or_default()))
        }
        None => Err(Failure::new(
            Code::Unreachable,
            "no server is known: start one with `tiphys dev DIR`, or give --data DIR, or --server URL",
        )),
    }
}

fn from_folder(data: &Path) -> Result<(String, Token), Failure> {
    let file = data.join("server.json");
    let text = std::fs::read_to_string(&file).map_err(|_| {
        Failure::new(
            Code::Unreachable,
            format!(
                "`{}` does not exist: no server runs on this data folder, or it is not ready yet",
                file.display()
            ),
        )
    })?;
    let server: ServerFile = serde_json::from_str(&text)
        .map_err(|error| Failure::new(Code::Unreachable, format!("`{}`: {error}", file.display())))?;
    Ok((server.address, read_token(data)?))
}

fn read_token(data: &Path) -> Result<Token, Failure> {
    let file = data.join("token");
    match std::fs::read_to_string(&file) {
        Ok(token) => Ok(Token { text: token.trim().to_owned(), from: format!("`{}`", file.display()) }),
        Err(error) => {
            Err(Failure::new(Code::Unauthorised, format!("`{}` cannot be read: {error}", file.display())))
        }
    }
}

/// The nearest `.tiphys` folder with a `server.json`, from `start` upwards.
pub(crate) fn above(start: &Path) -> Option<PathBuf> {
    let start = start.canonicalize().ok()?;
    start.ancestors().map(|folder| folder.join(".tiphys")).find(|folder| folder.join("server.json").exists())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_hint_leads_where_the_command_led() {
        for (words, environment, wanted) in [
            ("tiphys list", None, "tiphys logs w"),
            ("tiphys list -n argo", None, "tiphys logs w -n argo"),
            ("tiphys list --data /a", None, "tiphys logs w --data /a"),
            ("tiphys list --data /a", Some("/a"), "tiphys logs w"),
            ("tiphys list --data /a", Some("/b"), "tiphys logs w --data /a"),
            ("tiphys list --server http://[::1]:1", None, "tiphys logs w --server 'http://[::1]:1'"),
        ] {
            let connection = crate::cli::Cli::try_parse_from(words.split(' ')).unwrap().connection;
            let named = named(&connection, environment.map(std::ffi::OsStr::new));
            let namespace = connection.namespace.as_deref().unwrap_or_default();
            assert_eq!(hint("logs w", namespace, &named), wanted);
        }
        assert_eq!(in_folder(Path::new("/it's here")), r" --data '/it'\''s here'");
    }
}
