//! Load: connections that are kept, each with one request under way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::line::percentile;

/// What was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answers {
    pub(crate) per_second: f64,
    /// From the request to its answer, in milliseconds.
    pub(crate) p99: f64,
}

/// Answers per second, as [`post`] counts them.
pub(crate) fn rate(
    address: SocketAddr,
    path: &str,
    body: &str,
    connections: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    post(address, path, body, connections, time).map(|answers| answers.per_second)
}

/// Posts `body` again and again over so many connections, for `time`. It has a thread of its own. An answer other than 200
/// is an error.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    body: &str,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Answers> {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let work = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build()?;
        runtime.block_on(async {
            let opened = try_join_all((0..connections).map(|_| open(address))).await?;
            let begin = Instant::now();
            let until = begin + time;
            let posting = opened.into_iter().map(|s| one_by_one(s, &request, until));
            let mut taken = try_join_all(posting).await?.concat();
            let per_second = taken.len() as f64 / begin.elapsed().as_secs_f64();
            Ok(Answers { per_second, p99: percentile(&mut taken, 99) })
        })
    };
    std::thread::scope(|scope| {
        let answered = scope.spawn(work).join();
        answered.unwrap_or_else(|_| bail!("the load generator panicked"))
    })
}

async fn open(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How long each took, in milliseconds.
async fn one_by_one(mut stream: TcpStream, request: &str, until: Instant) -> anyhow::Result<Vec<f64>> {
    let mut answers = Vec::new();
    let mut answer = [0_u8; 1024];
    loop {
        let begin = Instant::now();
        if begin >= until {
            return Ok(answers);
        }
        stream.write_all(request.as_bytes()).await?;
        let mut read = 0;
        // The answers have no body.
        while !answer[..read].ends_with(b"\r\n\r\n") {
            let more = stream.read(&mut answer[read..]).await?;
            if more == 0 {
                bail!("the answer ended early");
            }
            read += more;
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            bail!("refused: {}", String::from_utf8_lossy(&answer[..read]));
        }
        answers.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
}
