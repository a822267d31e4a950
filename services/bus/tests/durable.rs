//! What only a bus on disk can promise: who may open its folder, what damage does, what a crash leaves.
#![allow(clippy::unwrap_used, reason = "clippy knows only functions marked as tests")]

#[path = "durable/child.rs"]
mod child;
#[path = "durable/damage.rs"]
mod damage;
#[path = "durable/folder.rs"]
mod folder;
#[path = "durable/format.rs"]
mod format;
#[path = "durable/kill.rs"]
mod kill;
#[path = "durable/sync.rs"]
mod sync;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{Bus, BusError, ConsumerConfig, Options, Start, StreamConfig, embedded};

/// Long enough for a slow machine; nothing waits that long when all is well.
const LONG: Duration = Duration::from_secs(60);

/// Opens the bus in a folder, with the stream `T` on it.
async fn open(folder: &Path) -> Arc<dyn Bus> {
    let bus = try_open(folder).unwrap();
    bus.ensure_stream(&stream()).await.unwrap();
    bus
}

fn try_open(folder: &Path) -> Result<Arc<dyn Bus>, BusError> {
    let options = Options { save_every: Duration::from_millis(20), reserve: 0, ..Options::default() };
    embedded::open(folder, options)
}

fn stream() -> StreamConfig {
    StreamConfig {
        name: "T".into(),
        max_messages: 0,
        max_bytes: 0,
        max_age: Duration::ZERO,
        duplicate_window: Duration::from_secs(3600),
        last_per_subject: false,
        trim_acked: false,
    }
}

fn reader() -> ConsumerConfig {
    ConsumerConfig {
        name: "c".into(),
        filters: vec![],
        start: Start::All,
        ack_wait: LONG,
        max_ack_pending: 1000,
    }
}

/// Payloads of the stream `T`.
async fn texts(bus: &dyn Bus) -> Vec<String> {
    let messages = bus.read("T", "", 0, usize::MAX).await.unwrap();
    let texts = messages.iter().map(|m| String::from_utf8_lossy(&m.payload));
    texts.map(|text| text.into_owned()).collect()
}
