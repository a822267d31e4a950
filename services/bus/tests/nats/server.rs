//! NATS servers of a test's own, and buses on them.
#![allow(dead_code, reason = "each suite uses a part")]

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tiphys_bus::jetstream::{self, JetStreamConfig};
use tiphys_bus::{Bus, Options};
use tiphys_servers::{Cluster, Nats};

/// Rules that a NATS server cannot keep, and why.
const LEFT_OUT: [(&str, &str); 5] = [
    ("ids_are_forgotten_after_the_window", CLOCK),
    ("stored_time_never_runs_backwards", CLOCK),
    ("old_messages_go", CLOCK),
    ("a_jump_of_the_clock_removes_nothing", CLOCK),
    ("full_by_bytes", "the server counts subjects, headers and its own overhead as bytes too"),
];
const CLOCK: &str = "the server goes by its own clock, which no test can move";

/// Rules that a cluster cannot keep either.
const LEFT_OUT_OF_CLUSTERS: [(&str, &str); 1] = [(
    "tables_keep_the_last",
    "a table that may hold so many and no more, and is full, takes no replacement on a cluster; ours have no limit",
)];

/// Whether a rule is left out; says why.
pub(crate) fn leaves_out(rule: &str, cluster: bool) -> bool {
    let more: &[_] = if cluster { &LEFT_OUT_OF_CLUSTERS } else { &[] };
    if let Some((_, why)) = LEFT_OUT.iter().chain(more).find(|(left_out, _)| *left_out == rule) {
        eprintln!("LEFT OUT for JetStream: {rule}: {why}");
        return true;
    }
    is_missing()
}

/// Whether there is no server to start. That fails under CI, and is said loudly elsewhere.
pub(crate) fn is_missing() -> bool {
    if tiphys_servers::program("nats-server").is_some() {
        return false;
    }
    tiphys_servers::missing("nats-server");
    true
}

/// Waits for a future where nothing may be awaited.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// Where a bus of a test is.
pub(crate) struct Place {
    pub(crate) config: JetStreamConfig,
    /// Lives as long as the bus needs it.
    server: Option<Nats>,
}

impl Place {
    /// A server that nobody else uses.
    pub(crate) fn alone() -> Self {
        let server = tiphys_servers::nats().unwrap();
        Self { config: JetStreamConfig::new(server.url(), "test"), server: Some(server) }
    }

    /// A part of a cluster that all tests of this process share: it takes seconds to start.
    pub(crate) fn shared() -> Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let cluster = CLUSTER.get_or_init(|| tiphys_servers::cluster("").unwrap());
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let config = JetStreamConfig::new(cluster.urls(), format!("test{number}"));
        Self { config: JetStreamConfig { replicas: 3, ..config }, server: None }
    }

    pub(crate) async fn open(&self, options: Options) -> Arc<dyn Bus> {
        jetstream::open(self.config.clone(), options).await.unwrap()
    }
}
