//! The Kubernetes launcher on a real cluster, with real pods.
#![cfg(feature = "kubernetes")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "kubernetes/log.rs"]
mod log;
#[path = "kubernetes/option.rs"]
mod option;
#[path = "kubernetes/output.rs"]
mod output;
#[path = "kubernetes/phase.rs"]
mod phase;
#[path = "kubernetes/recovery.rs"]
mod recovery;
#[path = "kubernetes/secure.rs"]
mod secure;
#[path = "kubernetes/step.rs"]
mod step;
#[path = "kubernetes/support.rs"]
mod support;
