//! The service on a bus in memory: durability, redelivery, crashes between the steps, edits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiphys_bus::{Bus, Publish, memory, streams};
use tiphys_catalog::{Catalog, Feeder};
use tiphys_core::{DeadLetter, Event, Firing, Outcome, SystemClock, Verdict};
use tiphys_kit::{CancellationToken, Health, Tasks};

use super::{Config, Deps, run};
use crate::accounting::{Accounting, Counts, Settled};
use crate::testing::{dependency, event, object, trigger};

mod crash;
mod faulty;
mod life;

/// A catalog, a bus, and the service on them.
struct World {
    bus: Arc<dyn Bus>,
    catalog: Catalog,
    feeder: Feeder,
    running: Option<(Tasks, Health)>,
    config: Config,
    /// Where the stream of events stood at the first start.
    begun: Option<u64>,
}

impl World {
    async fn new(spec: Value) -> Self {
        let bus = memory();
        for stream in streams::all() {
            bus.ensure_stream(&stream).await.unwrap();
        }
        let catalog = Catalog::new();
        let feeder = catalog.feeder();
        feeder.replace(vec![Arc::new(object(spec))], Vec::new());
        Self { bus, catalog, feeder, running: None, config: Config::default(), begun: None }
    }

    fn edit(&self, spec: Value) {
        self.feeder.replace(vec![Arc::new(object(spec))], Vec::new());
    }

    /// Starts the service on `bus` and waits until it is ready.
    async fn start_on(&mut self, bus: Arc<dyn Bus>) {
        if self.begun.is_none() {
            self.begun = Some(self.bus.info(streams::EVENTS).await.unwrap().last);
        }
        let health = Health::default();
        let deps =
            Deps { bus, catalog: self.catalog.clone(), clock: Arc::new(SystemClock), health: health.clone() };
        health.expect("sensor");
        let tasks = Tasks::new(CancellationToken::new());
        let (config, stop) = (self.config.clone(), tasks.stop().clone());
        tasks.spawn("sensor", async move { run(config, deps, stop).await.unwrap() });
        self.running = Some((tasks, health.clone()));
        until("the service to be ready", async || health.parts().get("sensor").is_some_and(Option::is_none))
            .await;
    }

    async fn start(&mut self) {
        self.start_on(self.bus.clone()).await;
    }

    async fn stop(&mut self) {
        let (tasks, _) = self.running.take().unwrap();
        tasks.stop().cancel();
        assert!(tasks.drain(Duration::from_secs(20)).await, "the service did not stop");
    }

    fn problems(&self) -> String {
        self.running.as_ref().map_or_else(String::new, |(_, health)| format!("{:?}", health.problems()))
    }

    /// Stores an event under a bus id of its own.
    async fn put(&self, event: &Event, id: &str) {
        let origin = &event.origin;
        let names = [origin.namespace.as_str(), &origin.source, &origin.event];
        let publish = Publish::new(streams::subject(streams::EVENTS, &names), event.encode().unwrap());
        self.bus.publish(publish.id(id)).await.unwrap();
    }

    async fn send(&self, name: &str, id: &str) {
        self.put(&event(name, id, r#"{"p":"high"}"#), id).await;
    }

    async fn records<T: serde::de::DeserializeOwned>(&self, stream: &str) -> Vec<T> {
        let all = self.bus.read(stream, "", 1, 10_000).await.unwrap();
        all.iter().map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    }

    async fn firings(&self) -> Vec<Firing> {
        self.records(streams::FIRINGS).await
    }

    async fn dead(&self) -> Vec<DeadLetter> {
        self.records(streams::DEAD).await
    }

    /// Waits until every event since the first start has its verdict, and every firing of a verdict is there.
    async fn settled(&self) {
        let begun = self.begun.unwrap_or(0);
        until("every event to be judged", async || {
            let verdicts: Vec<Verdict> = self.records(streams::VERDICTS).await;
            let judged: BTreeSet<u64> = verdicts.iter().map(|verdict| verdict.sequence).collect();
            let firings = self.firings().await;
            let there: BTreeSet<&str> = firings.iter().map(|firing| firing.id.0.as_str()).collect();
            let outcomes = verdicts.iter().flat_map(|verdict| &verdict.triggers);
            let events = self.bus.read(streams::EVENTS, "", begun + 1, 10_000).await.unwrap();
            events.iter().all(|message| judged.contains(&message.sequence))
                && outcomes.map(|row| &row.outcome).all(|outcome| match outcome {
                    Outcome::Fired { firing, .. } => there.contains(firing.0.as_str()),
                    _ => true,
                })
        })
        .await;
    }

    /// The event sets of a trigger's firings.
    async fn sets(&self, trigger: &str) -> Vec<String> {
        let firings = self.firings().await;
        let mine = firings.iter().filter(|firing| firing.trigger == trigger);
        let set = |firing: &Firing| {
            let events: Vec<String> =
                firing.events.iter().map(|one| format!("{}={}", one.dependency, one.id)).collect();
            events.join(",")
        };
        mine.map(set).collect()
    }

    /// The buckets, recomputed from the streams, with every firing done.
    async fn counts(&self) -> Accounting {
        let mut accounting = Accounting::new();
        for object in self.catalog.snapshot().of_kind(tiphys_manifest::Kind::Sensor) {
            accounting.track(&crate::compile(object).unwrap(), 0);
        }
        for message in self.bus.read(streams::EVENTS, "", 1, 10_000).await.unwrap() {
            accounting.on_event(&message.subject, message.sequence);
        }
        for verdict in self.records::<Verdict>(streams::VERDICTS).await {
            accounting.on_verdict(&verdict);
        }
        for firing in self.firings().await {
            accounting.on_settled(&firing.id, Settled::Done);
        }
        accounting
    }
}

fn counts(accounting: &Accounting, trigger: &str, dependency: &str) -> Counts {
    let rows = accounting.rows();
    rows.iter().find(|row| row.trigger == trigger && row.dependency == dependency).unwrap().counts
}

/// Waits for a condition, for at most 20 seconds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A single trigger on `a`, and one that waits for `a` and `b`.
fn pair() -> Value {
    json!({"dependencies": [dependency("a"), dependency("b")],
        "triggers": [trigger("single", "a"), trigger("both", "a && b")]})
}
