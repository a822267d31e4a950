//! An HTTP server that takes what triggers send, as a process of its own, so that what it costs is not counted as theirs.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use tiphys_servers::Process;

use crate::stage;

/// The argument by which the bench becomes a sink.
pub(crate) const ARGUMENT: &str = "sink";
/// By which requests are told apart.
pub(crate) const KEY: &str = "Idempotency-Key";

/// A running sink.
pub(crate) struct Sink {
    authority: String,
    _process: Process,
}

impl Sink {
    /// Starts one that takes so long for an answer.
    pub(crate) fn start(delay: Duration) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([ARGUMENT, &delay.as_millis().to_string()]).stdout(Stdio::piped());
        let mut process = Process(command.spawn()?);
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().context("no output")?).read_line(&mut line)?;
        Ok(Self { authority: line.trim().to_owned(), _process: process })
    }

    /// Where it takes requests.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.authority)
    }

    /// How many different keys it has seen.
    pub(crate) fn seen(&self) -> anyhow::Result<usize> {
        let request = format!("GET /seen HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.authority);
        let answer = tiphys_tests::server::exchange(&self.authority, request.as_bytes())?;
        ensure!(answer.status == 200, "the sink says {}", answer.status);
        Ok(answer.body.trim().parse()?)
    }
}

/// What the process of a sink does, until it is killed.
pub(crate) fn serve(millis: &str) -> anyhow::Result<()> {
    let shared = Shared { delay: Duration::from_millis(millis.parse()?), seen: Arc::default() };
    stage::runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let router = Router::new().route("/", post(take)).route("/seen", get(seen)).with_state(shared);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

#[derive(Clone)]
struct Shared {
    delay: Duration,
    seen: Arc<Mutex<HashSet<Bytes>>>,
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, _body: Bytes) -> StatusCode {
    if !shared.delay.is_zero() {
        tokio::time::sleep(shared.delay).await;
    }
    let Some(key) = headers.get(KEY) else { return StatusCode::BAD_REQUEST };
    let key = Bytes::copy_from_slice(key.as_bytes());
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    StatusCode::OK
}

async fn seen(State(shared): State<Shared>) -> String {
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).len().to_string()
}
