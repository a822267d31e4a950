//! What is asked of the committer, and what it answers.

use tokio::sync::oneshot;

use crate::error::BusError;
use crate::port::{Acked, ConsumerConfig, Publish, StreamConfig};

/// A change that somebody asks for.
#[derive(Debug)]
pub(crate) enum Action {
    Publish(Publish),
    Purge { stream: String, filter: String, up_to: Option<u64> },
    Ensure(StreamConfig),
    OpenConsumer { stream: String, config: ConsumerConfig },
    DeleteConsumer { stream: String, name: String },
}

/// What became of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Stored(Acked),
    Removed(u64),
    Done,
}

/// A change that waits for its answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) action: Action,
    pub(crate) answer: oneshot::Sender<Result<Outcome, BusError>>,
}
