//! The same webhook on the embedded bus, and on a NATS server that syncs as often, or hardly ever.

use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::nats::{self, Server, Sync};
use crate::rooms::Door;
use crate::{load, stage};

const ALWAYS: Words = Words {
    name: "webhook on the embedded bus, durable before 200, 64 connections, 2 KiB",
    unit: "events/s",
    aim: "ratio >= 5",
    against: "the same on JetStream with sync_interval always",
    better: Better::Higher,
};
const DEFAULT: Words = Words {
    aim: "ratio >= 0.9",
    against: "the same on JetStream with the default sync, not durable",
    ..ALWAYS
};
const CONNECTIONS: usize = 64;

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    if !nats::is_there() {
        return Ok(());
    }
    let (folder, runtime) = (tempfile::tempdir()?, stage::runtime()?);
    let (syncing, waiting) = (Server::start(Sync::Always)?, Server::start(Sync::Default)?);
    let doors = runtime.block_on(async {
        let embedded = Door::open(stage::durable(folder.path())?).await?;
        let always = Door::open(syncing.bus("eventsource").await?).await?;
        let default = Door::open(waiting.bus("eventsource").await?).await?;
        anyhow::Ok([embedded, always, default])
    })?;
    let body = stage::alert(1);
    let post = |at: usize, time| load::rate(doors[at].address, "/alerts", &body, CONNECTIONS, time);
    for at in 0..doors.len() {
        post(at, effort.time / 3)?;
    }
    let (mut always, mut default) = (Pairs::default(), Pairs::default());
    for round in 0..effort.rounds {
        // Each begins a round now and then.
        let mut rates = [0.0; 3];
        for step in 0..rates.len() {
            let at = (round + step) % rates.len();
            rates[at] = post(at, effort.time)?;
        }
        always.extend(Pairs::of(rates[0], rates[1]));
        default.extend(Pairs::of(rates[0], rates[2]));
    }
    runtime.block_on(async {
        for door in doors {
            door.stage.close().await?;
        }
        anyhow::Ok(())
    })?;
    always.print(ALWAYS)?;
    default.print(DEFAULT)
}
