//! Decides: filters, conditions and parameters turn events into firings and verdicts.
//!
//! ```text
//! EVENTS ─▶ worker of the sensor ─▶ eval (pure) ─▶ STATE, by compare-and-set: held events and outbox
//!                                        │
//!                                        └─▶ FIRINGS, VERDICTS, DEAD ─▶ ack
//! ```
//!
//! [`eval`] is a function of a compiled Sensor, the state of its conditions, the time and one input. It
//! does no I/O, so that a dry run, a test and a recovery after a crash call the same code. The rest of the crate
//! feeds it and makes what it says durable: an event is acked when every trigger has its verdict stored and
//! its firing or its state written.

pub mod accounting;
mod apply;
mod compile;
mod condition;
mod eval;
mod failure;
mod filter;
mod parameter;
mod parsed;
mod seen;
pub mod service;
mod state;
#[cfg(test)]
mod testing;
mod trace;
mod trigger;

pub use compile::{Compiled, compile};
pub use eval::{Decision, Input, State, eval};
pub use service::{Config, Deps, consumer_name, run};
pub use state::ConditionState;
