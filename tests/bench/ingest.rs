//! A webhook whose bus is a NATS server, against what its parts cost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use futures::future::try_join_all;
use tiphys_kit::{CancellationToken, Tasks};

use crate::alerts::alert;
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words, in_turn};
use crate::load::{self, Answers};
use crate::nats::{self, Bare, Server, Sync};
use crate::rooms::Door;
use crate::stage::{self, DEADLINE};

const RATE: Words = Words {
    name: "webhook to JetStream, default sync, 64 connections, 2 KiB",
    unit: "events/s",
    aim: "ours >= 20000, ratio >= 0.6",
    against: "1/(1/a + 1/b): a, a bare publisher of the same records with 64 in flight; b, an axum handler that does nothing",
    better: Better::Higher,
};
const TAIL: Words = Words {
    unit: "ms, p99",
    aim: "ours <= 10 ms",
    against: "an axum handler that does nothing",
    better: Better::Lower,
    ..RATE
};
const AT_ONCE: usize = 64;
/// Different records of the bare publisher.
const VARIETY: usize = 64;

/// All that takes part.
struct Site {
    runtime: tokio::runtime::Runtime,
    door: Door,
    bare: Bare,
    empty: SocketAddr,
    tasks: Tasks,
    body: String,
    records: Vec<Bytes>,
    published: AtomicUsize,
    _server: Server,
}

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    if !nats::is_there() {
        return Ok(());
    }
    let mut site = Site::open()?;
    // All sides warm.
    site.ours(effort.time / 3)?;
    site.parts(effort.time / 3)?;
    let pairs =
        in_turn(effort.rounds, &mut site, |site| site.ours(effort.time), |site| site.parts(effort.time))?;
    site.close()?;
    Pairs::pick(&pairs, |answers| answers.per_second).print(RATE)?;
    Pairs::pick(&pairs, |answers| answers.p99).print(TAIL)
}

impl Site {
    fn open() -> anyhow::Result<Self> {
        let (server, runtime) = (Server::start(Sync::Default)?, stage::runtime()?);
        let tasks = Tasks::new(CancellationToken::new());
        let (door, bare, empty) = runtime.block_on(async {
            let door = Door::open(server.bus("eventsource").await?).await?;
            anyhow::Ok((door, server.bare().await?, nothing(&tasks).await?))
        })?;
        let records = (0..VARIETY).map(|number| alert("alerts", number).encode());
        let records = records.collect::<Result<_, _>>()?;
        let (body, published) = (stage::alert(1), AtomicUsize::new(0));
        Ok(Self { runtime, door, bare, empty, tasks, body, records, published, _server: server })
    }

    fn ours(&self, time: Duration) -> anyhow::Result<Answers> {
        load::post(self.door.address, "/alerts", &self.body, AT_ONCE, time)
    }

    /// What is to be expected of a publisher and an HTTP server that share the machine.
    fn parts(&self, time: Duration) -> anyhow::Result<Answers> {
        let http = load::post(self.empty, "/alerts", &self.body, AT_ONCE, time)?;
        let published = self.runtime.block_on(self.published(time))?;
        let together = 1.0 / (1.0 / http.per_second + 1.0 / published);
        Ok(Answers { per_second: together, p99: http.p99 })
    }

    /// What a bare publisher stores per second.
    async fn published(&self, time: Duration) -> anyhow::Result<f64> {
        let first = self.published.load(Ordering::Relaxed);
        let begin = Instant::now();
        try_join_all((0..AT_ONCE).map(|_| self.publish(begin + time))).await?;
        let count = self.published.load(Ordering::Relaxed) - first;
        Ok(count as f64 / begin.elapsed().as_secs_f64())
    }

    async fn publish(&self, until: Instant) -> anyhow::Result<()> {
        while Instant::now() < until {
            let number = self.published.fetch_add(1, Ordering::Relaxed);
            let record = self.records[number % VARIETY].clone();
            // As long as the id of an event.
            self.bare.publish(&format!("{number:032}"), record).await?;
        }
        Ok(())
    }

    fn close(self) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            self.door.stage.close().await?;
            self.tasks.stop().cancel();
            ensure!(self.tasks.drain(DEADLINE).await, "the empty handler does not stop");
            Ok(())
        })
    }
}

/// An HTTP server that reads what it is sent, and says that it is well.
async fn nothing(tasks: &Tasks) -> anyhow::Result<SocketAddr> {
    let take = |_body: Bytes| async { StatusCode::OK };
    serve(tasks, Router::new().route("/alerts", post(take))).await
}

/// Serves these routes until the tasks are told to stop.
pub(crate) async fn serve(tasks: &Tasks, routes: Router) -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = tasks.stop().clone();
    tasks.spawn("http", async move {
        let serving = axum::serve(listener, routes).into_future();
        tokio::select! {
            () = stop.cancelled() => {}
            _ = serving => {}
        }
    });
    Ok(address)
}
