//! The bus: every hand-over between rooms is a durable record on one of its streams.
//!
//! One port ([`Bus`]), several adapters. Whatever an adapter returned as published survives `kill -9`
//! of every process and, on disk, loss of power. One contract suite runs over all adapters.

mod blobs;
mod claims;
pub mod embedded;
pub mod error;
pub mod finding;
#[cfg(feature = "jetstream")]
pub mod jetstream;
mod layer;
mod log;
pub mod members;
mod memory;
mod options;
pub mod port;
pub mod spool;
mod store;
pub mod streams;

pub use error::BusError;
pub use finding::Finding;
pub use layer::Layer;
pub use memory::{memory, memory_with};
pub use options::Options;
pub use port::{
    Acked, Bus, Claim, Consumer, ConsumerConfig, ConsumerInfo, Delivery, Expect, Message, Publish, Start,
    StreamConfig, StreamInfo,
};
