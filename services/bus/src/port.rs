//! The port. Each operation is one that NATS JetStream 2.12 also offers, so that an adapter for it fits.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tiphys_core::Timestamp;

use crate::error::BusError;
use crate::finding::Finding;

/// What a publisher demands of the subject before its message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// Nothing.
    #[default]
    Any,
    /// The last message of the subject has this sequence; 0 means the subject is empty.
    LastSequence(u64),
}

/// A message to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// `.`-separated tokens, each made by [`crate::streams::token`]; the first names the stream.
    pub subject: String,
    /// A message with an id that the stream has seen within its duplicate window is stored once.
    pub id: Option<String>,
    /// Compare-and-set.
    pub expect: Expect,
    /// Headers; small.
    pub headers: BTreeMap<String, String>,
    /// The record.
    pub payload: Bytes,
}

impl Publish {
    /// A message without id, expectation or headers.
    #[must_use]
    pub fn new(subject: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            subject: subject.into(),
            id: None,
            expect: Expect::Any,
            headers: BTreeMap::new(),
            payload: payload.into(),
        }
    }

    /// With the id by which duplicates are dropped.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// With compare-and-set on the subject's last sequence.
    #[must_use]
    pub const fn expect_last(mut self, sequence: u64) -> Self {
        self.expect = Expect::LastSequence(sequence);
        self
    }
}

/// The answer to a publisher: the message is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// Its sequence in the stream; of a duplicate, the sequence of the first one.
    pub sequence: u64,
    /// Whether the stream had it already.
    pub duplicate: bool,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The subject.
    pub subject: String,
    /// Position in the stream, from 1, ascending; gaps may exist.
    pub sequence: u64,
    /// When it was stored. It never runs backwards within a stream.
    pub stored: Timestamp,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// The record.
    pub payload: Bytes,
}

/// Limits of a stream. A full stream refuses ([`BusError::Full`]); it never drops what is stored, except
/// what is older than `max_age` and, on `trim_acked` streams, what every durable consumer has acked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// Upper-case name; its subjects begin with the same word in lower case.
    pub name: String,
    /// At most so many messages; 0 = no limit.
    pub max_messages: u64,
    /// At most so many bytes of payload; 0 = no limit.
    pub max_bytes: u64,
    /// Messages older than this are removed; zero = never. A jump of the clock by more than an hour between
    /// two looks removes nothing.
    pub max_age: Duration,
    /// How long ids are remembered; zero = ids are not remembered.
    pub duplicate_window: Duration,
    /// Only the last message of each subject is kept (a key-value bucket).
    pub last_per_subject: bool,
    /// When the stream reaches a limit, messages that every durable consumer has acked make room.
    pub trim_acked: bool,
}

/// How full a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamInfo {
    /// Sequence of the oldest message; 0 when empty.
    pub first: u64,
    /// Last sequence ever given; 0 for a new stream.
    pub last: u64,
    /// Messages stored.
    pub messages: u64,
    /// Bytes of payload stored.
    pub bytes: u64,
}

/// Where a new durable consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message.
    All,
    /// With the first message stored after the consumer was made.
    New,
    /// With this sequence.
    Sequence(u64),
}

/// A durable pull consumer. Made once; an existing one of the same name keeps its position, and takes the
/// new filters and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// Name, unique within the stream.
    pub name: String,
    /// Subjects wanted; `*` stands for one token, a last `>` for the rest. Empty = all.
    pub filters: Vec<String>,
    /// Where a new one begins.
    pub start: Start,
    /// A delivery that is neither acked nor kept alive for so long comes again.
    pub ack_wait: Duration,
    /// At most so many deliveries are out at once. One that was nacked counts until it is acked.
    pub max_ack_pending: usize,
}

/// The position of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConsumerInfo {
    /// Every matching message up to here is acked.
    pub ack_floor: u64,
    /// Deliveries that are out, or were nacked and come again.
    pub outstanding: u64,
    /// Matching messages not yet delivered for the first time.
    pub pending: u64,
    /// Deliveries that were not the first of their message, since the consumer was opened.
    pub redelivered: u64,
    /// The sequence from which a consumer made with this name began (exclusive): events up to here were
    /// never its business.
    pub begun_after: u64,
}

/// One message, handed out to be acked.
#[async_trait]
pub trait Delivery: Send + Sync {
    /// The message.
    fn message(&self) -> &Message;
    /// How often it was handed out, from 1.
    fn attempt(&self) -> u32;
    /// Done: it does not come again. Returns when that is accepted or on its way; a crash soon after may bring it
    /// again.
    async fn ack(&self) -> Result<(), BusError>;
    /// Not done: it comes again after `delay`.
    async fn nack(&self, delay: Duration) -> Result<(), BusError>;
    /// Still at work: the time until redelivery starts anew.
    async fn progress(&self) -> Result<(), BusError>;
}

/// A consumer that was opened.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Takes up to `max` messages; waits up to `wait` for the first. Messages come in stream order;
    /// redeliveries come first.
    async fn fetch(&self, max: usize, wait: Duration) -> Result<Vec<Box<dyn Delivery>>, BusError>;
    /// Its position.
    async fn info(&self) -> Result<ConsumerInfo, BusError>;
}

/// An exclusive right, for a time. Made of compare-and-set on the CLAIMS stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed.
    pub key: String,
    /// Who holds it.
    pub owner: String,
    /// Fencing token: greater for each new holder.
    pub token: u64,
    /// Until when, unless renewed.
    pub until: Timestamp,
}

/// The bus.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Makes a stream, or gives an existing one new limits.
    async fn ensure_stream(&self, config: &StreamConfig) -> Result<(), BusError>;

    /// Stores a message; durable when it returns. After [`BusError::Unavailable`] the result is unknown.
    async fn publish(&self, message: Publish) -> Result<Acked, BusError>;

    /// The last message of a subject.
    async fn last(&self, subject: &str) -> Result<Option<Message>, BusError>;

    /// One message by its sequence.
    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError>;

    /// Up to `max` messages from `from` (inclusive) that match `filter`, in stream order.
    async fn read(&self, stream: &str, filter: &str, from: u64, max: usize)
    -> Result<Vec<Message>, BusError>;

    /// Returns once the stream's last sequence is greater than `after`, or `wait` is over; gives the last
    /// sequence. A wake-up carries no data: the caller reads.
    async fn wait_for(&self, stream: &str, after: u64, wait: Duration) -> Result<u64, BusError>;

    /// Removes the messages of the subjects that match `filter`, up to a sequence (inclusive) if one is
    /// given. Returns how many. Once purged, a subject is empty again for compare-and-set.
    async fn purge(&self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError>;

    /// How full a stream is.
    async fn info(&self, stream: &str) -> Result<StreamInfo, BusError>;

    /// Opens a durable consumer, making it if there is none.
    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError>;

    /// The position of a durable consumer, without opening it; `None` where there is none of that name.
    async fn consumer_info(&self, stream: &str, name: &str) -> Result<Option<ConsumerInfo>, BusError>;

    /// Forgets a durable consumer. Absent is success.
    async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), BusError>;

    /// Claims `key` for `owner`, or renews the claim that `owner` holds. `None`: somebody else holds it.
    async fn claim(&self, key: &str, owner: &str, for_time: Duration) -> Result<Option<Claim>, BusError>;

    /// Gives a claim back. A claim that passed on meanwhile is left alone.
    async fn release(&self, claim: &Claim) -> Result<(), BusError>;

    /// Stores what is larger than a message may be; returns a reference. Durable when it returns.
    async fn put_blob(&self, content: Bytes) -> Result<String, BusError>;

    /// Reads a blob.
    async fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError>;

    /// Looks after the streams: makes room where they fill up with what every consumer has acked. For one process of
    /// an installation, every second or so; where publishers make room themselves there is nothing to do.
    async fn tend(&self) -> Result<(), BusError> {
        Ok(())
    }

    /// What is unsafe about the place where messages are kept, to be told at the start and in the status.
    async fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Flushes acks and stops. Publishes that wait are finished first.
    async fn close(&self);
}
