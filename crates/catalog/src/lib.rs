//! Which manifests exist now.
//!
//! A [`Catalog`] is a cheap handle on the newest [`Snapshot`]. Feeders put objects in: a directory that is
//! watched, the CATALOG stream of the bus (objects given by the API, which survive restarts), and a Kubernetes
//! cluster. Readers take a snapshot, and wait for the next; a wake-up carries no data.

pub mod bus_feeder;
pub mod change;
pub mod directory;
pub mod error;
#[cfg(feature = "jetstream")]
pub mod event_bus;
mod handle;
mod held;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;

pub use bus_feeder::{Applied, ApplyAction, BusFeeder, Caller, Outcome, apply, delete};
pub use change::{Change, ChangeKind};
pub use directory::{Check, Directory};
pub use error::CatalogError;
pub use handle::{Absent, Catalog, Feeder, Key, Snapshot, key_of};
pub use held::{Held, Holding, Reader};
