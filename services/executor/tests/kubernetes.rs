//! The Kubernetes launcher on a real cluster, with real pods.
#![cfg(feature = "kubernetes")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "kubernetes/away.rs"]
mod away;
#[cfg(feature = "stores")]
#[path = "kept/bucket.rs"]
mod bucket;
#[expect(unreachable_pub, dead_code, reason = "shared by several tests, each using its part")]
mod common;
#[path = "kubernetes/faults.rs"]
mod faults;
#[cfg(feature = "stores")]
#[path = "kubernetes/kept.rs"]
mod kept;
#[path = "kubernetes/log.rs"]
mod log;
#[path = "kubernetes/mount.rs"]
mod mount;
#[path = "kubernetes/option.rs"]
mod option;
#[path = "kubernetes/output.rs"]
mod output;
#[path = "kubernetes/phase.rs"]
mod phase;
#[path = "pods/places.rs"]
#[expect(unreachable_pub, reason = "shared by several tests")]
mod places;
#[path = "kubernetes/recovery.rs"]
mod recovery;
#[path = "kubernetes/secure.rs"]
mod secure;
#[path = "kubernetes/source.rs"]
mod source;
#[path = "kubernetes/step.rs"]
mod step;
#[path = "kubernetes/support.rs"]
mod support;
#[path = "kubernetes/written.rs"]
mod written;
