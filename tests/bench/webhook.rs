//! What durability costs a sender: the same webhook on a synced bus, and on one that stores nothing.

use std::time::Duration;

use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::rooms::Door;
use crate::stage;
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
