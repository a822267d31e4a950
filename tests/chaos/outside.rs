//! The bus, as an outside client sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tiphys_bus::jetstream::{self, Credentials, JetStreamConfig};
use tiphys_bus::{Bus, Message, Options, Publish};
use tiphys_core::Event;
use tiphys_tests::{Local, until};
use tokio::runtime::Runtime;

/// A client of the NATS server of a set of services.
pub(crate) struct Outside {
    runtime: Runtime,
    bus: Arc<dyn Bus>,
}

impl Outside {
    pub(crate) fn of(local: &Local) -> Self {
        let environment: BTreeMap<String, String> = local.environment("server").into_iter().collect();
        let [url, user, password] =
            ["NATS_URL", "NATS_USER", "NATS_PASSWORD"].map(|key| environment[key].clone());
        let config = JetStreamConfig {
            role: Some("server".into()),
            credentials: Credentials::Password { user, password: password.into() },
            trims: false,
            ..JetStreamConfig::new(url, "tiphys")
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bus = runtime.block_on(jetstream::open(config, Options::default())).unwrap();
        Self { runtime, bus }
    }

    /// Everything that a stream holds, in its order; asked again while the bus is away.
    pub(crate) fn all(&self, stream: &str) -> Vec<Message> {
        let mut all: Vec<Message> = Vec::new();
        loop {
            let from = all.last().map_or(0, |message| message.sequence) + 1;
            let more =
                until("a stream", || self.runtime.block_on(self.bus.read(stream, "", from, 1000)).ok());
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    /// The events that are stored.
    pub(crate) fn events(&self) -> Vec<Stored> {
        let decoded = |message: &Message| {
            let event = Event::decode(&message.payload).unwrap();
            let native = event.attributes.get("nativeid").cloned().unwrap_or_default();
            Stored { sequence: message.sequence, id: event.id.0, native }
        };
        self.all(tiphys_bus::streams::EVENTS).iter().map(decoded).collect()
    }

    /// Stores messages. Those that the bus did not take as new ones stay.
    pub(crate) fn publish(&self, messages: &mut Vec<Publish>) {
        let all = messages.iter().map(|message| self.bus.publish(message.clone()));
        let mut answers = self.runtime.block_on(futures::future::join_all(all)).into_iter();
        messages.retain(|_| !matches!(answers.next(), Some(Ok(acked)) if !acked.duplicate));
    }
}

/// An event on the bus.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) id: String,
    pub(crate) native: String,
}
