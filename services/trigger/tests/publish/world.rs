//! A running trigger room: memory bus and catalog.
#![allow(dead_code, reason = "each suite uses a part")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tiphys_bus::{Bus, Publish, streams};
use tiphys_catalog::{Catalog, Feeder};
use tiphys_core::workflow::{Submission, WorkflowRecord};
use tiphys_core::{EventId, EventRef, Firing, FiringId, SystemClock, Timestamp};
use tiphys_kit::{CancellationToken, Group, Health};
use tiphys_manifest::load::{LoadOptions, load};
use tiphys_trigger::ledger::{Entry, Ledger, State};
use tiphys_trigger::{Config, Deps, run};

/// The room, with what surrounds it.
pub(crate) struct World {
    pub(crate) bus: Arc<dyn Bus>,
    #[cfg(feature = "kubernetes")]
    cluster: Option<tiphys_kit::kubernetes::Cluster>,
    manifests: std::sync::Mutex<String>,
    feeder: Feeder,
    stop: CancellationToken,
    group: Option<Group>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let bus = tiphys_bus::memory();
        for stream in streams::all() {
            bus.ensure_stream(&stream).await.unwrap();
        }
        Self::on(bus)
    }

    /// A room on the same cluster with the same manifests that remembers nothing of what was done.
    #[cfg(feature = "kubernetes")]
    pub(crate) async fn beside_forgetful(other: &Self) -> Self {
        let this = Self::in_cluster(other.cluster.clone().unwrap()).await;
        this.put(&other.manifests.lock().unwrap());
        this
    }

    /// A room that acts on a cluster.
    #[cfg(feature = "kubernetes")]
    pub(crate) async fn in_cluster(cluster: tiphys_kit::kubernetes::Cluster) -> Self {
        let bus = tiphys_bus::memory();
        for stream in streams::all() {
            bus.ensure_stream(&stream).await.unwrap();
        }
        Self::with(bus, |deps| deps.cluster = Some(cluster))
    }

    /// One more process on the same bus.
    pub(crate) fn beside(&self) -> Self {
        Self::on(self.bus.clone())
    }

    fn on(bus: Arc<dyn Bus>) -> Self {
        Self::with(bus, |_| {})
    }

    fn with(bus: Arc<dyn Bus>, more: impl FnOnce(&mut Deps)) -> Self {
        let stop = CancellationToken::new();
        let catalog = Catalog::new();
        let feeder = catalog.feeder();
        let mut deps = Deps {
            bus: bus.clone(),
            catalog,
            clock: Arc::new(SystemClock),
            health: Health::default(),
            #[cfg(feature = "kubernetes")]
            cluster: None,
        };
        more(&mut deps);
        #[cfg(feature = "kubernetes")]
        let cluster = deps.cluster.clone();
        let mut group = Group::new(stop.clone());
        group.spawn("trigger", move |stop| run(Config::default(), deps, stop));
        Self {
            bus,
            #[cfg(feature = "kubernetes")]
            cluster,
            manifests: std::sync::Mutex::default(),
            feeder,
            stop,
            group: Some(group),
        }
    }

    /// Puts these manifests in the place of those before.
    pub(crate) fn put(&self, manifests: &str) {
        let loaded = load("test.yaml", manifests, &LoadOptions::default());
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        manifests.clone_into(&mut self.manifests.lock().unwrap());
        self.feeder.replace(loaded.objects.into_iter().map(Arc::new).collect(), Vec::new());
    }

    pub(crate) async fn fire(&self, firing: &Firing, bus_id: &str) {
        let subject =
            streams::subject(streams::FIRINGS, &[&firing.namespace, &firing.sensor, &firing.trigger]);
        let record = serde_json::to_vec(firing).unwrap();
        self.bus.publish(Publish::new(subject, record).id(bus_id)).await.unwrap();
    }

    /// Waits until the ledger says so of a firing.
    pub(crate) async fn until(&self, firing: &FiringId, state: State) -> Entry {
        let ledger = Ledger::new(self.bus.clone());
        within(async {
            loop {
                let seen = self.bus.info(streams::LEDGER).await.unwrap().last;
                if let (Some(entry), _) = ledger.read(firing).await.unwrap()
                    && entry.state == state
                {
                    return entry;
                }
                self.bus.wait_for(streams::LEDGER, seen, Duration::from_secs(5)).await.unwrap();
            }
        })
        .await
    }

    pub(crate) async fn workflows(&self) -> Vec<Submission> {
        let messages = self.bus.read(streams::WORKFLOWS, "", 1, 1000).await.unwrap();
        messages
            .iter()
            .filter_map(|message| match serde_json::from_slice(&message.payload).unwrap() {
                WorkflowRecord::Submitted(submission) => Some(submission),
                _ => None,
            })
            .collect()
    }

    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        self.group.take().unwrap().join(Duration::from_secs(10)).await.unwrap();
    }
}

/// A trace context as a sender may give it.
pub(crate) const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Waits for something.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), future).await.expect("in time")
}

/// A firing of this trigger, tried three times.
pub(crate) fn firing(trigger: &str, template: &Json) -> Firing {
    let event = EventId(format!("event-of-{trigger}"));
    Firing {
        version: 1,
        id: FiringId::derive("default", "s", trigger, &[("dep", &event)], 0),
        namespace: "default".into(),
        sensor: "s".into(),
        sensor_uid: "u".into(),
        sensor_revision: "r".into(),
        trigger: trigger.into(),
        events: vec![EventRef { dependency: "dep".into(), id: event, sequence: 1 }],
        replay: 0,
        decided: Timestamp::now(),
        received: Timestamp::now(),
        trigger_spec: json!({
            "template": template,
            "retryStrategy": {"steps": 3, "duration": "10ms"},
        }),
        parameters: Vec::new(),
        payload: Vec::new(),
        headers: Vec::new(),
        attributes: std::collections::BTreeMap::new(),
        dead_letter: None,
    }
}
