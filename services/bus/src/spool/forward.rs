//! Takes the log of our own to the bus.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{BLOBS, ID, Spool, cursor};
use crate::error::BusError;
use crate::port::{Message, Publish};
use crate::streams;

/// Events taken at once.
const BATCH: usize = 64;
/// The cursor is saved after so long; a crash before that costs a look into the bus.
const SAVE: Duration = Duration::from_millis(250);
/// Forwarded events are looked at for their age so often.
const TIDY: Duration = Duration::from_secs(5);
/// An idle forwarder looks up so often.
const IDLE: Duration = Duration::from_secs(1);
/// Pauses while the bus is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A bus that stays away is told of once in this time.
const QUIET: Duration = Duration::from_secs(10);

pub(super) struct Forwarder {
    spool: Arc<Spool>,
    cursor: cursor::Cursor,
    saved: cursor::Cursor,
    saved_at: Instant,
    tidied: Instant,
    told: Option<Instant>,
    /// Whether events after the cursor may be on the bus already.
    unsure: bool,
    /// The last sequence that the bus holds of a subject, as far as is known.
    lasts: HashMap<String, u64>,
    blobs: u64,
}

/// How far the events of a batch came.
struct Progress {
    /// Sequences in the local log that are on the bus.
    done: HashSet<u64>,
    /// The last sequence that the bus gave for each subject.
    lasts: HashMap<String, u64>,
    failure: Option<BusError>,
}

impl Forwarder {
    pub(super) fn new(spool: Arc<Spool>) -> Self {
        let cursor = spool.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).cursor;
        let now = Instant::now();
        Self {
            spool,
            cursor,
            saved: cursor,
            saved_at: now,
            tidied: now,
            told: None,
            unsure: true,
            lasts: HashMap::new(),
            blobs: 0,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), BusError> {
        let mut pause = PAUSES.0;
        self.begin().await?;
        while !stop.is_cancelled() {
            let batch = self.spool.local.read(streams::EVENTS, "", self.cursor.local + 1, BATCH).await?;
            if batch.is_empty() {
                self.rest(&stop).await?;
                continue;
            }
            let failure = match self.forward(batch).await? {
                None => {
                    self.succeeded();
                    pause = PAUSES.0;
                    self.upkeep().await?;
                    continue;
                }
                Some(failure) => failure,
            };
            let looked = std::mem::replace(&mut self.unsure, true);
            if !looked && matches!(failure, BusError::Conflict { .. }) {
                // Another one wrote to the subject, or what we sent before arrived late: looking tells.
                continue;
            }
            self.failed(&failure);
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSES.1),
            }
        }
        self.save().await
    }

    /// A new spool has nothing on the bus yet: it need not read what stands there.
    async fn begin(&mut self) -> Result<(), BusError> {
        let fresh = self.cursor == cursor::Cursor::default();
        if fresh
            && self.spool.local.info(streams::EVENTS).await?.last == 0
            && let Ok(there) = self.spool.remote.info(streams::EVENTS).await
        {
            self.cursor.remote = there.last;
        }
        Ok(())
    }

    /// Waits for the next event.
    async fn rest(&mut self, stop: &CancellationToken) -> Result<(), BusError> {
        self.save().await?;
        self.upkeep().await?;
        let local = self.spool.local.clone();
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            moved = local.wait_for(streams::EVENTS, self.cursor.local, IDLE) => moved.map(|_| ()),
        }
    }

    /// Forwards a batch, and moves the cursor over what came through. Gives why not all of it did.
    async fn forward(&mut self, batch: Vec<Message>) -> Result<Option<BusError>, BusError> {
        if let Err(failure) = self.forward_blobs().await {
            return Ok(Some(failure));
        }
        let known = match self.look(&batch).await {
            Ok(known) => known,
            Err(failure) => return Ok(Some(failure)),
        };
        let none_known = known.is_empty();
        let sequences: Vec<u64> = batch.iter().map(|message| message.sequence).collect();
        let progress = self.send(batch, &known).await;
        let highest = progress.lasts.values().copied().max().unwrap_or_default();
        self.lasts.extend(progress.lasts);
        let through = sequences.iter().take_while(|sequence| progress.done.contains(sequence)).last();
        if let Some(through) = through {
            self.cursor.local = *through;
        }
        if progress.failure.is_none() && none_known {
            // Nothing is under way, and nothing further was ever sent: what comes next will stand behind what is there.
            // A batch of which the bus knew a part may be followed by another one, since the cursor is not saved with each.
            self.unsure = false;
            self.cursor.remote = self.cursor.remote.max(highest);
        }
        let cursor = self.cursor;
        self.spool.set(|state| state.cursor = cursor);
        Ok(progress.failure)
    }

    /// Subject by subject at once, each in its order.
    async fn send(&self, batch: Vec<Message>, known: &HashSet<String>) -> Progress {
        let mut lanes: BTreeMap<String, Vec<Message>> = BTreeMap::new();
        for message in batch {
            lanes.entry(message.subject.clone()).or_default().push(message);
        }
        let lanes = lanes.into_iter().map(|(subject, lane)| {
            let last = self.lasts.get(&subject).copied().unwrap_or_default();
            self.send_lane(subject, lane, last, known)
        });
        let mut all = Progress { done: HashSet::new(), lasts: HashMap::new(), failure: None };
        for lane in join_all(lanes).await {
            all.done.extend(lane.done);
            all.lasts.extend(lane.lasts);
            all.failure = all.failure.or(lane.failure);
        }
        all
    }

    /// Each event expects what it follows. So one that was given up, and arrives all the same when its id is forgotten,
    /// finds its place taken.
    async fn send_lane(
        &self,
        subject: String,
        lane: Vec<Message>,
        mut last: u64,
        known: &HashSet<String>,
    ) -> Progress {
        let (mut done, mut failure) = (HashSet::new(), None);
        for message in lane {
            let sequence = message.sequence;
            if !message.headers.get(ID).is_some_and(|id| known.contains(id)) {
                match self.spool.remote.publish(outward(message).expect_last(last)).await {
                    Ok(acked) => last = last.max(acked.sequence),
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
            done.insert(sequence);
        }
        Progress { done, lasts: HashMap::from([(subject, last)]), failure }
    }

    /// Where the subjects of the batch end on the bus; and, where that is not known for sure, which events of the batch
    /// are there already, by reading what the subjects got since the last that is known.
    async fn look(&mut self, batch: &[Message]) -> Result<HashSet<String>, BusError> {
        if self.unsure {
            self.lasts.clear();
        }
        let wanted: HashSet<&str> =
            batch.iter().filter_map(|message| message.headers.get(ID).map(String::as_str)).collect();
        let subjects: HashSet<&str> = batch.iter().map(|message| message.subject.as_str()).collect();
        let mut found = HashSet::new();
        for subject in subjects {
            if self.lasts.contains_key(subject) {
                continue;
            }
            // First the end: what arrives between the two questions must not count as seen.
            let mut last = self.spool.remote.last(subject).await?.map_or(0, |message| message.sequence);
            if self.unsure {
                last = last.max(self.since(subject, &wanted, &mut found).await?);
            }
            self.lasts.insert(subject.to_owned(), last);
        }
        Ok(found)
    }

    /// Finds what is wanted in what a subject got since the last that is known; gives the last sequence of that, or 0.
    async fn since(
        &self,
        subject: &str,
        wanted: &HashSet<&str>,
        found: &mut HashSet<String>,
    ) -> Result<u64, BusError> {
        let mut last = 0;
        loop {
            let from = last.max(self.cursor.remote) + 1;
            let page = self.spool.remote.read(streams::EVENTS, subject, from, BATCH).await?;
            let Some(end) = page.last() else {
                return Ok(last);
            };
            last = end.sequence;
            let ids = page.iter().filter_map(|message| message.headers.get(ID));
            found.extend(ids.filter(|id| wanted.contains(id.as_str())).cloned());
        }
    }

    /// Blobs go before the events that name them.
    async fn forward_blobs(&mut self) -> Result<(), BusError> {
        loop {
            let (local, remote) = (&self.spool.local, &self.spool.remote);
            let notes = local.read(BLOBS, "", self.blobs + 1, BATCH).await?;
            let Some(last) = notes.last().map(|note| note.sequence) else {
                return Ok(());
            };
            for note in &notes {
                let reference = String::from_utf8_lossy(&note.payload);
                if let Some(content) = local.get_blob(&reference).await? {
                    let there = remote.put_blob(content).await?;
                    if there != reference {
                        warn!(%reference, there, "a blob has another name on the bus");
                    }
                }
            }
            local.purge(BLOBS, "", Some(last)).await?;
            self.blobs = last;
        }
    }

    fn succeeded(&mut self) {
        if self.told.take().is_some() {
            info!("the spool is forwarded again");
        }
        self.spool.set(|state| state.held = None);
    }

    fn failed(&mut self, failure: &BusError) {
        let reason = tiphys_core::chain(failure);
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            warn!(reason, "events wait in the spool; nothing is lost");
            self.told = Some(Instant::now());
        }
        self.spool.set(|state| state.held = Some(reason));
    }

    async fn upkeep(&mut self) -> Result<(), BusError> {
        if self.saved_at.elapsed() >= SAVE {
            self.save().await?;
        }
        if self.tidied.elapsed() >= TIDY {
            self.tidied = Instant::now();
            self.forget().await?;
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), BusError> {
        if self.saved != self.cursor {
            cursor::save(self.spool.local.as_ref(), self.cursor).await?;
            self.saved = self.cursor;
        }
        self.saved_at = Instant::now();
        Ok(())
    }

    /// Forgets forwarded events that are older than duplicates are remembered. The newest stored message tells
    /// the time, since it is that of the log.
    pub(super) async fn forget(&self) -> Result<(), BusError> {
        let local = &self.spool.local;
        let saved = self.saved.local;
        let Some(now) = local.get(streams::EVENTS, saved).await?.map(|last| last.stored) else {
            return Ok(());
        };
        let remember = self.spool.config.remember;
        let old = |stored| Duration::try_from(now.duration_since(stored)).unwrap_or_default() > remember;
        // Time does not run backwards in a log: the border is found by halving, without reading what lies between.
        let (mut kept, mut gone) = (saved, local.info(streams::EVENTS).await?.first.saturating_sub(1));
        let nothing = gone;
        while kept > gone + 1 {
            let middle = gone + (kept - gone) / 2;
            match local.get(streams::EVENTS, middle).await? {
                Some(message) if !old(message.stored) => kept = middle,
                _ => gone = middle,
            }
        }
        if gone > nothing {
            local.purge(streams::EVENTS, "", Some(gone)).await?;
        }
        Ok(())
    }
}

/// A message of the local log as it goes to the bus.
fn outward(message: Message) -> Publish {
    let id = message.headers.get(ID).cloned();
    Publish { id, headers: message.headers, ..Publish::new(message.subject, message.payload) }
}
