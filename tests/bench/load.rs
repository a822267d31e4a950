//! Load: connections that are kept, each with one request under way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Posts `body` again and again over so many connections, for `time`; gives answers per second. It has a
/// thread of its own. An answer other than 200 is an error.
pub(crate) fn rate(
    address: SocketAddr,
    path: &str,
    body: &str,
    connections: usize,
    time: Duration,
) -> anyhow::Result<f64> {
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
            let posting = opened.into_iter().map(|s| post(s, &request, until));
            let answers: u64 = try_join_all(posting).await?.into_iter().sum();
            Ok(answers as f64 / begin.elapsed().as_secs_f64())
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

async fn post(mut stream: TcpStream, request: &str, until: Instant) -> anyhow::Result<u64> {
    let mut answers = 0;
    let mut answer = [0_u8; 1024];
    while Instant::now() < until {
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
        answers += 1;
    }
    Ok(answers)
}
