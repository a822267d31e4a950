//! NATS servers of a bench's own, and what a bare client does on them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{Config, Stream};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tempfile::TempDir;
use tiphys_bus::jetstream::JetStreamConfig;
use tiphys_bus::{Bus, Options};
use tiphys_servers::{Nats, missing, nats_with, program};

use crate::alerts::alert;

/// When a server syncs what it has acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sync {
    /// After two minutes, as it does if nobody says otherwise.
    Default,
    /// Before it acknowledges.
    Always,
}

/// A running server.
pub(crate) struct Server {
    nats: Nats,
    _store: TempDir,
}

/// Says where there is none here.
pub(crate) fn is_there() -> bool {
    let there = program("nats-server").is_some();
    if !there {
        missing("nats-server");
    }
    there
}

impl Server {
    /// Starts an empty one.
    pub(crate) fn start(sync: Sync) -> anyhow::Result<Self> {
        let store = tempfile::tempdir()?;
        let interval = match sync {
            Sync::Default => "2m",
            Sync::Always => "always",
        };
        // The limits of all streams together are 13 GiB.
        let more = format!(
            "jetstream {{ store_dir: {:?}, sync_interval: {interval}, max_mem: 64MB, max_file: 16GB }}",
            store.path()
        );
        let nats = nats_with(&more).context("nats-server is missing")?;
        Ok(Self { nats, _store: store })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        self.nats.url()
    }

    /// A bus on it, over a connection of its own.
    pub(crate) async fn bus(&self, role: &str) -> anyhow::Result<Arc<dyn Bus>> {
        let config =
            JetStreamConfig { role: Some(role.into()), ..JetStreamConfig::new(self.nats.url(), "bench") };
        Ok(tiphys_bus::jetstream::open(config, Options::default()).await?)
    }

    /// A stream with nothing of ours around it, over a connection of its own.
    pub(crate) async fn bare(&self) -> anyhow::Result<Bare> {
        let context = jetstream::new(async_nats::connect(self.nats.url()).await?);
        let config = Config {
            name: "BARE".into(),
            subjects: vec!["bare.>".into()],
            duplicate_window: Duration::from_secs(600),
            ..Config::default()
        };
        let stream = context.create_stream(config).await.context("a stream")?;
        Ok(Bare { context, stream })
    }

    /// The same stream once more, over another connection.
    pub(crate) async fn bare_again(&self) -> anyhow::Result<Bare> {
        let context = jetstream::new(async_nats::connect(self.nats.url()).await?);
        let stream = context.get_stream("BARE").await?;
        Ok(Bare { context, stream })
    }
}

/// A bare client of one stream.
pub(crate) struct Bare {
    context: Context,
    stream: Stream,
}

impl Bare {
    /// Publishes under an id, and waits for the answer.
    pub(crate) async fn publish(&self, id: &str, payload: Bytes) -> anyhow::Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let sent = self.context.publish_with_headers("bare.default.bench.alerts", headers, payload);
        sent.await?.await?;
        Ok(())
    }

    /// Stores so many of our events, many at once.
    pub(crate) async fn store(&self, count: usize) -> anyhow::Result<()> {
        let publish = |number| async move {
            let event = alert("alerts", number);
            self.publish(&event.id.0, event.encode()?).await
        };
        let all = stream::iter(0..count).map(publish);
        all.buffer_unordered(256).try_collect::<Vec<()>>().await.map(drop)
    }

    /// Its consumer; a new one begins with the oldest message.
    pub(crate) async fn consumer(&self) -> anyhow::Result<PullConsumer> {
        let config = pull::Config {
            durable_name: Some("bench".into()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 1024,
            ..pull::Config::default()
        };
        self.stream.get_or_create_consumer("bench", config).await.context("a consumer")
    }

    /// Waits until the server has every ack.
    pub(crate) async fn all_acked(&self) -> anyhow::Result<()> {
        let mut consumer = self.consumer().await?;
        loop {
            let info = consumer.info().await?;
            if info.num_pending == 0 && info.num_ack_pending == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
