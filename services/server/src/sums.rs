//! The sum rule, hosted: one task folds EVENTS, VERDICTS and LEDGER into the accounting, and answers questions
//! from it. Each answer is first brought up to date, and states the position that it holds for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tiphys_bus::{Bus, BusError, streams};
use tiphys_catalog::Catalog;
use tiphys_core::{FiringId, Verdict};
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::Kind;
use tiphys_sensor::accounting::{Accounting, Row, Settled};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// Records per read.
const BATCH: usize = 512;
/// Questions that wait; one more waits for its turn.
const QUESTIONS: usize = 64;
/// A sensor of the catalog whose consumer does not exist yet is looked for this often.
const LOOK: Duration = Duration::from_millis(200);

/// The buckets at one position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sheet {
    /// The sequence in EVENTS up to which events are counted.
    pub(crate) position: u64,
    /// One row for each trigger and dependency.
    pub(crate) rows: Vec<Row>,
}

/// Asks the task. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sums(mpsc::Sender<oneshot::Sender<Sheet>>);

/// The task's side.
pub(crate) struct Fold {
    bus: Arc<dyn Bus>,
    catalog: Catalog,
    questions: mpsc::Receiver<oneshot::Sender<Sheet>>,
    accounting: Accounting,
    /// Revision by sensor that is counted.
    tracked: BTreeMap<(String, String), String>,
    /// Whether a sensor of the catalog is not counted yet, because its consumer does not exist.
    pending: bool,
    events: u64,
    verdicts: u64,
    ledger: u64,
}

/// What the fold reads of a ledger entry.
#[derive(Deserialize)]
struct Entry {
    firing: FiringId,
    state: tiphys_trigger::ledger::State,
}

impl Sums {
    /// A handle and the task to be run.
    pub(crate) fn new(bus: Arc<dyn Bus>, catalog: Catalog) -> (Self, Fold) {
        let (ask, questions) = mpsc::channel(QUESTIONS);
        let fold = Fold {
            bus,
            catalog,
            questions,
            accounting: Accounting::new(),
            tracked: BTreeMap::new(),
            pending: false,
            events: 0,
            verdicts: 0,
            ledger: 0,
        };
        (Self(ask), fold)
    }

    /// The buckets now; `None` while the task is not running.
    pub(crate) async fn sheet(&self) -> Option<Sheet> {
        let (answer, sheet) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        sheet.await.ok()
    }

    /// The buckets as Prometheus text.
    pub(crate) async fn metrics(&self) -> String {
        let Some(sheet) = self.sheet().await else { return String::new() };
        let mut out = String::from(
            "# HELP tiphys_trigger_events Events by trigger, dependency and what became of them; accepted is the sum of the others\n\
             # TYPE tiphys_trigger_events gauge\n",
        );
        for row in &sheet.rows {
            let labels = format!(
                "namespace=\"{}\",sensor=\"{}\",trigger=\"{}\",dependency=\"{}\"",
                escape(&row.namespace),
                escape(&row.sensor),
                escape(&row.trigger),
                escape(&row.dependency)
            );
            for (bucket, count) in buckets(row) {
                let _ = writeln!(out, "tiphys_trigger_events{{{labels},bucket=\"{bucket}\"}} {count}");
            }
        }
        let _ = writeln!(
            out,
            "# HELP tiphys_trigger_events_position Sequence in EVENTS up to which tiphys_trigger_events counts\n\
             # TYPE tiphys_trigger_events_position gauge\n\
             tiphys_trigger_events_position {}",
            sheet.position
        );
        out
    }
}

fn buckets(row: &Row) -> [(&'static str, u64); 8] {
    let counts = &row.counts;
    [
        ("accepted", counts.accepted),
        ("fired", counts.fired),
        ("filtered", counts.filtered),
        ("superseded", counts.superseded),
        ("reset", counts.reset),
        ("suppressed", counts.suppressed),
        ("deadLettered", counts.dead_lettered),
        ("inFlight", counts.in_flight),
    ]
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Fold {
    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), BusError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let step = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                step = self.step() => step,
            };
            match step {
                Ok(()) => backoff.reset(),
                Err(BusError::Closed) => return Ok(()),
                Err(error) => {
                    warn!(%error, "the accounting waits for the bus");
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                    }
                }
            }
        }
    }

    /// Catches up, then waits for a question or for news.
    async fn step(&mut self) -> Result<(), BusError> {
        self.catch_up().await?;
        let mut changed = self.catalog.changed();
        changed.mark_unchanged();
        let day = Duration::from_secs(30);
        let look = if self.pending { LOOK } else { day };
        let question = tokio::select! {
            question = self.questions.recv() => question,
            news = self.bus.wait_for(streams::EVENTS, self.events, day) => news.map(|_| None)?,
            news = self.bus.wait_for(streams::VERDICTS, self.verdicts, day) => news.map(|_| None)?,
            news = self.bus.wait_for(streams::LEDGER, self.ledger, day) => news.map(|_| None)?,
            _ = changed.changed() => None,
            () = tokio::time::sleep(look) => None,
        };
        if let Some(answer) = question {
            self.catch_up().await?;
            let sheet = Sheet { position: self.events, rows: self.accounting.rows() };
            // Whoever asked may have gone.
            let _ = answer.send(sheet);
        }
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), BusError> {
        self.reconcile().await?;
        loop {
            let events = self.bus.read(streams::EVENTS, "", self.events + 1, BATCH).await?;
            for message in &events {
                self.accounting.on_event(&message.subject, message.sequence);
                self.events = message.sequence;
            }
            let verdicts = self.bus.read(streams::VERDICTS, "", self.verdicts + 1, BATCH).await?;
            for message in &verdicts {
                if let Ok(verdict) = serde_json::from_slice::<Verdict>(&message.payload) {
                    self.accounting.on_verdict(&verdict);
                }
                self.verdicts = message.sequence;
            }
            let ledger = self.bus.read(streams::LEDGER, "", self.ledger + 1, BATCH).await?;
            for message in &ledger {
                if let Ok(entry) = serde_json::from_slice::<Entry>(&message.payload) {
                    self.accounting.on_settled(&entry.firing, settled(entry.state));
                }
                self.ledger = message.sequence;
            }
            if events.len() < BATCH && verdicts.len() < BATCH && ledger.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// Counts for exactly the sensors of the catalog. One whose first event lies behind us makes us begin anew: so
    /// much is read again, but nothing is guessed.
    async fn reconcile(&mut self) -> Result<(), BusError> {
        let snapshot = self.catalog.snapshot();
        self.pending = false;
        let mut wanted = BTreeMap::new();
        for object in snapshot.of_kind(Kind::Sensor) {
            let key = (object.namespace.clone(), object.name.clone());
            let known = self.tracked.get(&key);
            if known == Some(&object.revision) {
                wanted.insert(key, None);
                continue;
            }
            let Ok(compiled) = tiphys_sensor::compile(object) else { continue };
            let name = tiphys_sensor::consumer_name(&object.namespace, &object.name);
            match self.bus.consumer_info(streams::EVENTS, &name).await? {
                Some(info) => {
                    let late = known.is_none() && info.begun_after < self.events;
                    wanted.insert(key, Some((compiled, info.begun_after, late)));
                }
                None => self.pending = true,
            }
        }
        let anew = wanted.values().flatten().any(|(_, _, late)| *late);
        if anew {
            self.accounting = Accounting::new();
            self.tracked.clear();
            (self.events, self.verdicts, self.ledger) = (0, 0, 0);
            return Box::pin(self.reconcile()).await;
        }
        let gone: Vec<_> = self.tracked.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in gone {
            self.accounting.forget(&key.0, &key.1);
            self.tracked.remove(&key);
        }
        for (key, news) in wanted {
            if let Some((compiled, begun_after, _)) = news {
                self.accounting.track(&compiled, begun_after);
                self.tracked.insert(key, compiled.revision.clone());
            }
        }
        Ok(())
    }
}

const fn settled(state: tiphys_trigger::ledger::State) -> Settled {
    use tiphys_trigger::ledger::State;
    match state {
        State::Done => Settled::Done,
        State::Dead => Settled::Dead,
        State::Retrying => Settled::Retrying,
    }
}
