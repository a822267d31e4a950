//! Brings the outside in: webhooks and calendars become events on the bus.
//!
//! ```text
//!  request ─▶ ingress ─▶ hook ────────▶ emit ─▶ EVENTS
//!             route,     authenticate,  filter, id,
//!             limits     shape          durable publish
//!  clock ───▶ kind::calendar ─────────▶ emit
//! ```
//!
//! - A sender is answered with success after the bus holds the event, never before.
//! - The same message sent again is the same event; the same id with another body is a new one, and said.
//! - What a sender may choose (an id, a body, a header) is bounded before it is looked at.
//! - [`run`] follows the catalog: each change builds the routes anew and swaps them at once.

#[cfg(any(feature = "grpc", feature = "kafka", feature = "nats", feature = "pubsub", feature = "sqs"))]
mod body;
mod config;
mod emit;
mod error;
mod filter;
mod finding;
mod go;
mod hook;
mod ingress;
#[cfg(any(feature = "grpc", feature = "kafka", feature = "nats", feature = "pubsub", feature = "sqs"))]
mod insist;
mod json;
mod kind;
mod meter;
mod poison;
mod receipt;
mod report;
mod secret;
mod service;
mod spool;
mod supervisor;

pub use config::Config;
pub use error::Error;
pub use hook::raw;
pub use ingress::Ingress;
pub use service::{Deps, run};
