//! The memory adapter: all of the port, nothing on disk. For tests and trials.

use std::sync::Arc;

use crate::log::LogBus;
use crate::options::Options;
use crate::port::Bus;
use crate::store::memory::MemoryStore;

/// An empty bus in memory, on the machine's clock.
#[must_use]
pub fn memory() -> Arc<dyn Bus> {
    memory_with(Options::default())
}

/// An empty bus in memory.
#[must_use]
pub fn memory_with(options: Options) -> Arc<dyn Bus> {
    Arc::new(LogBus::inline(options, Arc::new(MemoryStore::default())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::port::{ConsumerConfig, Publish, Start};
    use crate::streams;

    #[tokio::test]
    async fn the_usual_streams_carry_messages() {
        let bus = memory();
        for config in streams::all() {
            bus.ensure_stream(&config).await.unwrap();
        }
        let config = ConsumerConfig {
            name: "c".into(),
            filters: vec!["events.ns.>".into()],
            start: Start::All,
            ack_wait: Duration::from_secs(30),
            max_ack_pending: 10,
        };
        let consumer = bus.consumer(streams::EVENTS, config).await.unwrap();
        let acked = bus.publish(Publish::new("events.ns.s.e", "x").id("1")).await;
        assert_eq!(acked.unwrap().sequence, 1);
        let got = consumer.fetch(5, Duration::from_secs(5)).await.unwrap();
        assert_eq!(got.len(), 1);
        got[0].ack().await.unwrap();
        assert_eq!(consumer.info().await.unwrap().ack_floor, 1);
        let claim = bus.claim("k", "me", Duration::from_secs(5)).await.unwrap();
        assert!(claim.is_some());
        bus.close().await;
    }
}
