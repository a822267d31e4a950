//! One partition: what waits, and a batch of it at a time on its way to the bus.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tiphys_core::{Classify as _, Fault};
use tiphys_manifest::event_source::Kafka as Config;
use tokio::sync::oneshot;

use super::message::Received;
use crate::emit::Emitter;
use crate::error::Error;
use crate::insist::Insist;
use crate::kind::Scope;

/// Messages of a partition on their way to the bus at once.
const AT_ONCE: usize = 64;
/// A partition with so many waiting is full; one that was paused goes on when there are fewer.
const FULL: usize = 512;
const ROOM: usize = 128;
/// The same in bytes.
const FULL_BYTES: usize = 4 * 1024 * 1024;
const ROOM_BYTES: usize = 1024 * 1024;

/// What waits of a partition.
pub(super) struct Lane {
    queue: VecDeque<Received>,
    /// Of what waits.
    bytes: usize,
    pub(super) busy: bool,
    pub(super) paused: bool,
    /// Tells it from a lane of the same partition before it went to others and came back.
    pub(super) generation: u64,
}

impl Default for Lane {
    fn default() -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(0);
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        Self { queue: VecDeque::new(), bytes: 0, busy: false, paused: false, generation }
    }
}

impl Lane {
    pub(super) fn put(&mut self, message: Received) {
        self.bytes += message.raw().len();
        self.queue.push_back(message);
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= FULL || self.bytes >= FULL_BYTES
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < ROOM && self.bytes < ROOM_BYTES
    }

    /// The next messages; none while others are under way.
    pub(super) fn take(&mut self) -> Option<Vec<Received>> {
        if self.busy || self.queue.is_empty() {
            return None;
        }
        self.busy = true;
        let count = self.queue.len().min(AT_ONCE);
        let messages: Vec<Received> = self.queue.drain(..count).collect();
        self.bytes -= messages.iter().map(|message| message.raw().len()).sum::<usize>();
        Some(messages)
    }
}

/// Messages of one partition, in their order.
pub(super) struct Batch {
    pub(super) partition: i32,
    pub(super) generation: u64,
    pub(super) messages: Vec<Received>,
    pub(super) cluster: Arc<str>,
    pub(super) config: Arc<Config>,
    pub(super) scope: Scope,
    pub(super) emitter: Emitter,
    pub(super) insist: Insist,
}

/// What became of a batch.
pub(super) struct Done {
    pub(super) partition: i32,
    pub(super) generation: u64,
    /// Every message up to this offset is stored.
    pub(super) through: Option<i64>,
    pub(super) outcome: Result<(), Error>,
}

/// Stores a batch, and tells how far it came.
pub(super) async fn work(mut batch: Batch) -> Done {
    let limit = batch.config.limit_events_per_second.and_then(|limit| u32::try_from(limit).ok());
    let pause = limit.filter(|limit| *limit > 0).map(|limit| Duration::from_secs(1) / limit);
    let at_once = if pause.is_some() { 1 } else { AT_ONCE };
    let messages = in_turn(std::mem::take(&mut batch.messages));
    let batch = &batch;
    let stored = futures::stream::iter(messages).map(|(message, mut turn)| async move {
        let offset = message.offset;
        if !turn.comes().await {
            return (offset, Ok(false));
        }
        let stored = store(batch, &message).await;
        if matches!(stored, Ok(true)) {
            turn.pass();
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        (offset, stored)
    });
    let mut stored = std::pin::pin!(stored.buffered(at_once));
    let mut done =
        Done { partition: batch.partition, generation: batch.generation, through: None, outcome: Ok(()) };
    while let Some((offset, stored)) = stored.next().await {
        match stored {
            Ok(true) => done.through = Some(offset),
            // Told to stop.
            Ok(false) => break,
            Err(error) => {
                done.outcome = Err(error);
                break;
            }
        }
    }
    done
}

/// The turn of a message among those with its key: after the one before, whatever the bus does meanwhile.
#[derive(Default)]
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    after: Option<oneshot::Sender<()>>,
}

impl Turn {
    /// Waits for it. False where the message before is not stored: then this one must not be either.
    async fn comes(&mut self) -> bool {
        match self.before.take() {
            Some(before) => before.await.is_ok(),
            None => true,
        }
    }

    /// The message is stored.
    fn pass(self) {
        if let Some(after) = self.after {
            let _ = after.send(());
        }
    }
}

/// Gives each message its turn. Messages without a key have no order among themselves that anybody could mean.
fn in_turn(messages: Vec<Received>) -> Vec<(Received, Turn)> {
    let mut last: HashMap<Bytes, usize> = HashMap::new();
    let mut turns: Vec<(Received, Turn)> = Vec::with_capacity(messages.len());
    for message in messages {
        let mut turn = Turn::default();
        if !message.key().is_empty()
            && let Some(before) = last.insert(message.key().clone(), turns.len())
        {
            let (after, mine) = oneshot::channel();
            turns[before].1.after = Some(after);
            turn.before = Some(mine);
        }
        turns.push((message, turn));
    }
    turns
}

/// Stores one message, however long the bus is away. False: told to stop.
async fn store(batch: &Batch, message: &Received) -> Result<bool, Error> {
    let native = message.native(&batch.cluster, &batch.config.topic, batch.partition);
    let draft = message.draft(&batch.config, batch.partition, &native);
    let refused = match draft {
        Ok(draft) => match batch.insist.on(|| batch.emitter.emit(draft.clone())).await {
            Ok(emitted) => return Ok(emitted.is_some()),
            Err(error) => error,
        },
        Err(error) => error,
    };
    if refused.fault() == Fault::Transient {
        return Err(refused);
    }
    let kept = batch.insist.on(|| batch.scope.dead_letter(&native, message.raw(), &refused)).await?;
    Ok(kept.is_some())
}
