//! Which manifests exist now.
//!
//! A [`Catalog`] is a cheap handle on the newest [`Snapshot`]. Feeders put objects in: a directory that is
//! watched, the CATALOG stream of the bus (objects given by the API, which survive restarts), and later the
//! Kubernetes API. Readers take a snapshot, and wait for the next; a wake-up carries no data.

mod handle;

pub use handle::{Catalog, Feeder, Snapshot};
