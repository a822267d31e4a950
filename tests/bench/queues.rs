//! Event sources that read queues, against a bare client that receives and acks on the same server.

mod kafka;
mod pubsub;
mod sqs;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tiphys_bus::{Bus, streams};

use crate::{rooms, stage};

pub(crate) use kafka::run as kafka;
pub(crate) use pubsub::run as pubsub;
pub(crate) use sqs::run as sqs;

const AIM: &str = "ratio >= 0.7";

/// Messages per second, from the first to the last: what it takes to connect is not counted.
#[derive(Debug, Default)]
struct Pace(Option<(Instant, usize)>);

impl Pace {
    /// So many have come by now.
    fn note(&mut self, count: usize) {
        if self.0.is_none() && count > 0 {
            self.0 = Some((Instant::now(), count));
        }
    }

    /// The last has come.
    fn end(&self, count: usize) -> f64 {
        self.0.map_or(f64::NAN, |(begin, first)| (count - first) as f64 / begin.elapsed().as_secs_f64())
    }
}

/// What an event source stores per second, on an embedded bus of its own, until it has stored so many.
async fn sourced(manifests: &str, count: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let (stage, _) = rooms::eventsource(stage::durable(folder.path())?, manifests).await?;
    let rate = stage::within("the end of the queue", stored(&stage.bus, count)).await??;
    stage.close().await?;
    Ok(rate)
}

async fn stored(bus: &Arc<dyn Bus>, count: usize) -> anyhow::Result<f64> {
    let mut pace = Pace::default();
    loop {
        let stored = usize::try_from(bus.info(streams::EVENTS).await?.messages)?;
        pace.note(stored);
        if stored >= count {
            return Ok(pace.end(count));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
