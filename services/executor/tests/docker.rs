//! The Docker launcher on a real engine, which all tests of this file share.
#![cfg(feature = "docker")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "docker/again.rs"]
mod again;
#[cfg(feature = "stores")]
#[path = "kept/bucket.rs"]
mod bucket;
#[cfg(feature = "stores")]
#[path = "docker/kept.rs"]
mod kept;
#[path = "docker/life.rs"]
mod life;
#[path = "docker/limits.rs"]
mod limits;
#[path = "docker/parts.rs"]
mod parts;
#[path = "docker/registry.rs"]
mod registry;
#[path = "docker/security.rs"]
mod security;
#[path = "docker/step.rs"]
mod step;
#[path = "docker/support.rs"]
mod support;
#[path = "docker/volume.rs"]
mod volume;
