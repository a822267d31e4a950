//! Acts: turns firings into effects, once, with a ledger, retries and dead letters.
//!
//! ```text
//! FIRINGS ─▶ worker of the trigger ─▶ ledger: done already? ─▶ kind.fire ─▶ ledger: done ─▶ ack
//!                 │ paused: waits                                  │ transient: again later
//!                 │ rateLimit: waits                               └ permanent: DEAD, ledger: dead, ack
//! ```
//!
//! Each trigger has a durable consumer and a worker of its own, so that a slow, failing or paused trigger
//! never holds another. Nothing is acked before its outcome stands in the ledger.

mod apply;
pub mod control;
pub mod dlq;
mod error;
pub mod kind;
pub mod ledger;
mod metric;
mod rate;
mod retry;
mod service;
mod source;
mod trace;
mod work;

pub use error::Error;
pub use service::{Config, Deps, run};
