//! Receives, stores, deletes: all under way at once, in one task.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::Message;
use futures::future::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tiphys_kit::CancellationToken;
use tokio::time::{Instant, MissedTickBehavior};

use super::message::group;
use super::queue::{BATCH, BEAT, Queue, Receipt};
use super::store::{Store, Verdict};
use crate::error::Error;

/// So many messages are held at most.
const HELD: usize = 200;
/// So many questions are asked at once at most, while answers come back full.
const POLLS: usize = 4;
/// So many deletions run at once at most.
const DELETES: usize = 4;
/// What is under way gets so long at the end. Together with the next it fits into the grace of the room.
const GRACE: Duration = Duration::from_secs(6);
/// To give back what is not stored takes so long at most.
const GIVE_BACK: Duration = Duration::from_secs(2);

type Under<T> = FuturesUnordered<Pin<Box<dyn Future<Output = T> + Send>>>;

/// The messages that are held, and what is being done about them.
pub(super) struct Work {
    queue: Arc<Queue>,
    store: Arc<Store>,
    /// Each with the time at which it was last hidden from others.
    held: HashMap<Receipt, Instant>,
    stored: Vec<Receipt>,
    answered: bool,
    wanted: usize,
    polls: Under<Result<Vec<Message>, Error>>,
    lanes: Under<Vec<(Receipt, Verdict)>>,
    deletes: Under<(Vec<Receipt>, Result<(), Error>)>,
    changes: Under<()>,
    closing: CancellationToken,
}

impl Work {
    /// `closing` is cancelled when nothing new is begun.
    pub(super) fn new(queue: Arc<Queue>, store: Arc<Store>, closing: CancellationToken) -> Self {
        Self {
            queue,
            store,
            held: HashMap::new(),
            stored: Vec::new(),
            answered: false,
            wanted: 1,
            polls: Under::new(),
            lanes: Under::new(),
            deletes: Under::new(),
            changes: Under::new(),
            closing,
        }
    }

    /// Works until `stop`, or until the queue fails; then ends what is under way, and gives back the rest.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<(), Error> {
        let queue = self.queue.clone();
        self.polls.push(Box::pin(async move { queue.receive_at_once().await }));
        let outcome = self.turn(stop).await;
        self.closing.cancel();
        let _ = tokio::time::timeout(GRACE, self.finish()).await;
        let _ = tokio::time::timeout(GIVE_BACK, self.give_back()).await;
        outcome
    }

    async fn turn(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let mut beat = tokio::time::interval(BEAT / 2);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.poll();
            self.delete();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(received) = self.polls.next() => {
                    let received = received?;
                    // Only an answer shows that we may receive.
                    if !std::mem::replace(&mut self.answered, true) {
                        self.store.up();
                    }
                    self.wanted = match received.len() {
                        0 => 1,
                        BATCH => POLLS.min(self.wanted + 1),
                        _ => self.wanted,
                    };
                    self.take(received);
                }
                Some(ends) = self.lanes.next() => self.settle(ends),
                Some((receipts, outcome)) = self.deletes.next() => {
                    self.forget(&receipts);
                    outcome?;
                }
                Some(()) = self.changes.next() => {}
                _ = beat.tick() => self.hold(),
            }
        }
    }

    /// Asks for more, while there is room and the bus takes what comes.
    fn poll(&mut self) {
        while self.polls.len() < self.wanted
            && self.held.len() + (self.polls.len() + 1) * BATCH <= HELD
            && !self.store.waits()
        {
            let queue = self.queue.clone();
            self.polls.push(Box::pin(async move { queue.receive().await }));
        }
    }

    /// Begins to store messages: those of one group one after another, others at once.
    fn take(&mut self, messages: Vec<Message>) {
        let keeps_order = self.queue.keeps_order();
        let mut lanes: BTreeMap<String, Vec<(Receipt, Message)>> = BTreeMap::new();
        for (at, message) in messages.into_iter().enumerate() {
            let Some(receipt) = message.receipt_handle().map(Receipt::from) else { continue };
            self.held.insert(receipt.clone(), Instant::now());
            let lane = if keeps_order { group(&message).to_owned() } else { at.to_string() };
            lanes.entry(lane).or_default().push((receipt, message));
        }
        for messages in lanes.into_values() {
            self.lanes.push(Box::pin(lane(self.store.clone(), messages)));
        }
    }

    /// Takes the verdicts of a lane, and of those that ended with it: the bus answers many at once.
    fn settle(&mut self, ends: Vec<(Receipt, Verdict)>) {
        let mut all = ends;
        while let Some(Some(ends)) = self.lanes.next().now_or_never() {
            all.extend(ends);
        }
        for (receipt, verdict) in all {
            match verdict {
                Verdict::Delete => self.stored.push(receipt),
                Verdict::Leave => drop(self.held.remove(&receipt)),
                // It stays held, and is given back at the end.
                Verdict::Release => {}
            }
        }
    }

    /// Deletes what is stored: full batches at once, the rest when no other deletion runs.
    fn delete(&mut self) {
        while !self.stored.is_empty()
            && self.deletes.len() < DELETES
            && (self.stored.len() >= BATCH || self.deletes.is_empty())
        {
            let batch: Vec<Receipt> = self.stored.drain(..self.stored.len().min(BATCH)).collect();
            let (queue, closing) = (self.queue.clone(), self.closing.clone());
            self.deletes.push(Box::pin(async move {
                let outcome = queue.delete(&batch, &closing).await;
                (batch, outcome)
            }));
        }
    }

    fn forget(&mut self, receipts: &[Receipt]) {
        for receipt in receipts {
            self.held.remove(receipt);
        }
    }

    /// Asks for more time for what was hidden a while ago.
    fn hold(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (receipt, hidden) in &mut self.held {
            if now.duration_since(*hidden) >= BEAT {
                *hidden = now;
                due.push(receipt.clone());
            }
        }
        for batch in due.chunks(BATCH).map(<[Receipt]>::to_vec) {
            let queue = self.queue.clone();
            self.changes.push(Box::pin(async move { queue.hold(&batch).await }));
        }
    }

    /// Lets all that is under way end. A question too: the queue cannot be told that nobody awaits its answer,
    /// and would hide what comes meanwhile.
    async fn finish(&mut self) {
        loop {
            self.delete();
            tokio::select! {
                Some(received) = self.polls.next() => self.take(received.unwrap_or_default()),
                Some(ends) = self.lanes.next() => self.settle(ends),
                Some((receipts, _)) = self.deletes.next() => self.forget(&receipts),
                else => return,
            }
        }
    }

    /// Gives back what is not stored, so that it need not wait for its time.
    async fn give_back(&mut self) {
        let rest: Vec<Receipt> = self.held.drain().map(|(receipt, _)| receipt).collect();
        for batch in rest.chunks(BATCH) {
            self.queue.release(batch).await;
        }
    }
}

/// Stores messages one after another. Once one has to be given back, so have those behind it.
async fn lane(store: Arc<Store>, messages: Vec<(Receipt, Message)>) -> Vec<(Receipt, Verdict)> {
    let mut ends = Vec::with_capacity(messages.len());
    let mut given_back = false;
    for (receipt, message) in messages {
        let verdict = if given_back { Verdict::Release } else { store.take(&message).await };
        given_back |= verdict == Verdict::Release;
        ends.push((receipt, verdict));
    }
    ends
}
