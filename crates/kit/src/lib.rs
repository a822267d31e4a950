//! What every process needs: task group, drain, backoff, logs, traces, metrics, probes.

pub mod accept;
pub mod attend;
pub mod backoff;
pub mod crowd;
#[cfg(feature = "google")]
pub mod google;
pub mod group;
pub mod health;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod metric;
pub mod probe;
pub mod signal;
#[cfg(feature = "sqs")]
pub mod sqs;
pub mod telemetry;
#[cfg(feature = "tls")]
pub mod tls;
pub mod trace;

pub use accept::accept;
pub use attend::attend;
pub use backoff::Backoff;
pub use crowd::{Crowd, Guest};
pub use group::{Group, Tasks};
pub use health::Health;
pub use tokio_util::sync::CancellationToken;
