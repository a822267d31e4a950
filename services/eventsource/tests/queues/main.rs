//! The event sources that read queues, on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]

#[path = "../it/faulty.rs"]
mod faulty;
#[path = "../it/stage.rs"]
mod stage;
mod wait;

#[cfg(feature = "grpc")]
mod generic;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "pubsub")]
mod pubsub;
#[cfg(feature = "sqs")]
mod sqs;
