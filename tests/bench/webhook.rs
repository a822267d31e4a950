//! What durability costs a sender: the same webhook on a synced bus, and on one that stores nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tiphys_eventsource::{Config, Deps, Ingress};

use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::stage::{self, Stage};
use crate::unstored::Unstored;
use crate::{line, load};

const CONNECTIONS: usize = 64;
const WORDS: Words = Words {
    name: "webhook, durable before 200, 64 connections, 2 KiB",
    unit: "events/s",
    aim: "ratio >= 0.30",
    against: "the same webhook on a bus that answers without storing",
    better: Better::Higher,
};

/// A webhook that can be posted to.
struct Door {
    address: SocketAddr,
    stage: Stage,
}

struct Doors {
    durable: Door,
    unstored: Door,
}

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = stage::runtime()?;
    let mut doors = runtime.block_on(async {
        anyhow::Ok(Doors {
            durable: Door::open(stage::durable(folder.path())?).await?,
            unstored: Door::open(Unstored::open()).await?,
        })
    })?;
    let body = stage::alert(1);
    let post = |door: &Door, time: Duration| load::rate(door.address, "/alerts", &body, CONNECTIONS, time);
    // Both sides warm: allocators, sockets, the first files of the store.
    post(&doors.durable, effort.time / 3)?;
    post(&doors.unstored, effort.time / 3)?;
    let pairs = line::Pairs::measure(
        effort.rounds,
        &mut doors,
        |doors| post(&doors.durable, effort.time),
        |doors| post(&doors.unstored, effort.time),
    )?;
    runtime.block_on(async {
        doors.durable.stage.close().await?;
        doors.unstored.stage.close().await
    })?;
    Pairs::print(&pairs, WORDS)
}

impl Door {
    async fn open(bus: std::sync::Arc<dyn tiphys_bus::Bus>) -> anyhow::Result<Self> {
        let port = tiphys_tests::others::free_port();
        let manifest = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {{name: bench}}\n\
             spec:\n  webhook:\n    alerts: {{port: \"{port}\", endpoint: /alerts, method: POST}}\n"
        );
        let mut stage = Stage::open(bus, &manifest).await?;
        let config = Config::default();
        let ingress = Ingress::new(config.clone());
        let deps = Deps {
            spool: None,
            bus: stage.bus.clone(),
            catalog: stage.catalog.clone(),
            clock: stage.clock.clone(),
            health: stage.health.clone(),
        };
        let door = ingress.clone();
        stage.group.spawn("eventsource", move |stop| tiphys_eventsource::run(config, deps, door, stop));
        stage.ready("eventsource").await?;
        let open = ingress.listeners().into_iter().next();
        let (_, address) = open.with_context(|| format!("{:?}", ingress.diagnostics()))?;
        Ok(Self { address, stage })
    }
}
