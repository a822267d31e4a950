//! The words of the domain. Every room speaks them; none of them does I/O.
//!
//! - [`Event`]: what happened outside, with an identity that survives redelivery.
//! - [`Firing`]: one trigger's invocation, with every user value computed.
//! - [`Verdict`]: why a sensor fired, or why it did not.
//! - [`Fault`]: how a failure is to be treated by whoever called.
//! - [`Clock`]: time as an input.

pub mod clock;
pub mod event;
pub mod fault;
pub mod firing;
pub mod id;
pub mod trace;
pub mod verdict;
pub mod workflow;

pub use clock::{Clock, FixedClock, SystemClock};
pub use event::{Event, Origin};
pub use fault::{Classify, Fault, chain};
pub use firing::{DeadLetter, EventRef, Firing, Operation, Value};
pub use id::{EventId, FiringId, PodKey};
pub use jiff::Timestamp;
pub use trace::Trace;
pub use verdict::{Clause, Outcome, TriggerVerdict, Verdict};
