//! Follows the catalog: what it holds is what is received.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tiphys_bus::Bus;
use tiphys_bus::spool::Spool;
use tiphys_catalog::{Catalog, Snapshot};
use tiphys_core::{Clock, Origin, Timestamp};
use tiphys_kit::{CancellationToken, Health, Tasks};
use tiphys_manifest::{Kind, Object, Spec};
use tracing::{info, warn};

use crate::config::Config;
use crate::error::Error;
use crate::finding::Spot;
use crate::ingress::{Candidate, Ingress, table::Age};
use crate::kind::{Entry, Registry, Scope};
use crate::meter;
use crate::report::Report;
use crate::secret::Secrets;
use crate::spool;
use crate::supervisor::Supervisor;

/// How often a port that could not be opened is tried again.
const RETRY_PORTS: Duration = Duration::from_secs(5);

/// What the event sources need of the process.
#[derive(Clone)]
pub struct Deps {
    /// Where events go.
    pub bus: Arc<dyn Bus>,
    /// Keeps the events of HTTP requests until the bus has them, since many senders never try again. Queues
    /// do, and clocks remember: theirs go to the bus at once.
    pub spool: Option<Arc<Spool>>,
    /// What exists.
    pub catalog: Catalog,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where this room says whether it is ready.
    pub health: Health,
}

/// Runs every event source of the catalog until `stop`, then finishes what is under way.
///
/// # Errors
/// Never by itself: a source that cannot run is a diagnostic, and the others go on.
pub async fn run(config: Config, deps: Deps, ingress: Ingress, stop: CancellationToken) -> Result<(), Error> {
    deps.health.expect("eventsource");
    let mut changed = deps.catalog.changed();
    let mut service = Service::new(config, deps.clone(), ingress, &stop);
    let ended = CancellationToken::new();
    if let Some(spool) = &deps.spool {
        service.forward(spool.clone(), ended.clone());
    }
    loop {
        let snapshot = changed.borrow_and_update().clone();
        let all_open = service.reconcile(&snapshot);
        deps.health.ready("eventsource");
        tokio::select! {
            () = stop.cancelled() => break,
            // The catalog lives as long as this room holds its handle.
            _ = changed.changed() => {}
            () = tokio::time::sleep(RETRY_PORTS), if !all_open => {}
        }
    }
    deps.health.failing("eventsource", "stopping");
    service.close(ended).await;
    Ok(())
}

/// A source that runs by itself.
struct Loop {
    /// What it was started with.
    config: Value,
    stop: CancellationToken,
    report: Report,
}

/// Identity of a loop: the kind's key and the origin.
type LoopKey = (&'static str, Origin);

struct Service {
    config: Config,
    deps: Deps,
    ingress: Ingress,
    registry: Registry,
    tasks: Tasks,
    loops: HashMap<LoopKey, Loop>,
    /// When an object was first seen here, in revisions of the catalog.
    seen: HashMap<String, u64>,
    counted: BTreeMap<(String, String), usize>,
}

impl Service {
    fn new(config: Config, deps: Deps, ingress: Ingress, stop: &CancellationToken) -> Self {
        Self {
            config,
            deps,
            ingress,
            registry: Registry::builtin(),
            tasks: Tasks::new(stop.child_token()),
            loops: HashMap::new(),
            seen: HashMap::new(),
            counted: BTreeMap::new(),
        }
    }

    /// Brings what runs to what the snapshot says. Returns whether every port is open.
    fn reconcile(&mut self, snapshot: &Snapshot) -> bool {
        let mut candidates = Vec::new();
        let mut wanted = HashMap::new();
        let mut unknown = Vec::new();
        let mut counted = BTreeMap::new();
        let mut seen = HashMap::new();
        for object in snapshot.of_kind(Kind::EventSource) {
            let Spec::EventSource(spec) = &object.spec else {
                continue;
            };
            let since = *self.seen.get(&object.uid).unwrap_or(&snapshot.revision);
            seen.insert(object.uid.clone(), since);
            let running = counted.entry((object.namespace.clone(), object.name.clone())).or_insert(0);
            for (key, event) in spec.events() {
                let spot = Spot::of(object, key, event);
                let Some((kind, entry)) = self.registry.get(key) else {
                    let error = Error::NotYet { kind: key.into() };
                    unknown.push(spot.failure(&error));
                    continue;
                };
                *running += 1;
                let config = event_config(object, key, event);
                let mut scope = self.scope(object, key, event, kind);
                match entry {
                    Entry::Http { place, hook } => {
                        if let Some(spool) = &self.deps.spool {
                            scope.bus = spool.clone();
                        }
                        let secrets = Secrets::of(snapshot, &object.namespace);
                        candidates.push(Candidate {
                            age: age(object, since, scope.origin.clone()),
                            spot,
                            hook: hook(config, &scope, secrets),
                            place: place(config, secrets),
                        });
                    }
                    Entry::Source { run } => {
                        wanted.insert((key, scope.origin.clone()), (config, scope, *run));
                    }
                }
            }
        }
        self.seen = seen;
        self.ingress.findings().set("kinds", unknown);
        self.count(counted);
        self.reconcile_loops(wanted);
        self.ingress.apply(candidates)
    }

    fn scope(&self, object: &Object, key: &'static str, event: &str, kind: &'static str) -> Scope {
        let origin = Origin {
            namespace: object.namespace.clone(),
            source: object.name.clone(),
            event: event.to_owned(),
        };
        let stop = self.tasks.stop().child_token();
        Scope {
            report: Report::new(
                part(key, &origin),
                Spot::of(object, key, event),
                self.ingress.findings().clone(),
                self.deps.health.clone(),
                stop.clone(),
            ),
            catalog: self.deps.catalog.clone(),
            origin,
            kind,
            bus: self.deps.bus.clone(),
            clock: self.deps.clock.clone(),
            patience: self.config.publish_patience,
            stop,
        }
    }

    /// Stops the loops that are gone or changed, starts those that are new or changed.
    fn reconcile_loops(&mut self, wanted: HashMap<LoopKey, WantedLoop<'_>>) {
        self.loops.retain(|key, running| {
            let same = wanted.get(key).is_some_and(|new| *new.0 == running.config);
            if !same {
                running.stop.cancel();
                if !wanted.contains_key(key) {
                    running.report.forget();
                }
            }
            same
        });
        for (key, (config, scope, run)) in wanted {
            if self.loops.contains_key(&key) {
                continue;
            }
            let supervisor = Supervisor { config: config.clone(), run, scope: scope.clone() };
            self.tasks.spawn("event source", supervisor.supervise());
            let (config, stop, report) = (config.clone(), scope.stop, scope.report);
            self.loops.insert(key, Loop { config, stop, report });
        }
    }

    /// Tells how many events each event source serves.
    fn count(&mut self, counted: BTreeMap<(String, String), usize>) {
        for (namespace, source) in self.counted.keys() {
            if !counted.contains_key(&(namespace.clone(), source.clone())) {
                meter::running(namespace, source).set(0.0);
            }
        }
        for ((namespace, source), running) in &counted {
            let running = u32::try_from(*running).unwrap_or(u32::MAX);
            meter::running(namespace, source).set(f64::from(running));
        }
        self.counted = counted;
    }

    /// Forwards the spool, longer than the door is open.
    fn forward(&self, spool: Arc<Spool>, ended: CancellationToken) {
        let (clock, health) = (self.deps.clock.clone(), self.deps.health.clone());
        self.tasks.spawn("spool", async move {
            spool::keep(spool, clock, health, ended).await;
        });
    }

    async fn close(self, ended: CancellationToken) {
        self.tasks.stop().cancel();
        self.ingress.close().await;
        ended.cancel();
        if !self.tasks.drain(self.config.grace).await {
            warn!("event sources are still busy at the end of the grace period");
        }
        info!("event sources stopped");
    }
}

type WantedLoop<'a> = (&'a Value, Scope, fn(&Value, Scope) -> crate::kind::Running);

/// The name under which a source reports.
fn part(key: &str, origin: &Origin) -> String {
    format!("{key}/{}/{}/{}", origin.namespace, origin.source, origin.event)
}

/// What stands below `spec.<kind>.<event>`, as it was written.
fn event_config<'a>(object: &'a Object, kind: &str, event: &str) -> &'a Value {
    static NOTHING: Value = Value::Null;
    let spec = object.document.get("spec");
    let events = spec.and_then(|spec| spec.get(kind));
    events.and_then(|events| events.get(event)).unwrap_or(&NOTHING)
}

fn age(object: &Object, seen: u64, origin: Origin) -> Age {
    let created = object.document.pointer("/metadata/creationTimestamp");
    Age {
        seen,
        created: created.and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok()),
        origin,
    }
}
