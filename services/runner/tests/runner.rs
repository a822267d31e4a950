//! Real commands under the real runner.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "runner/ending.rs"]
mod ending;
#[path = "runner/step.rs"]
mod step;
#[path = "runner/support.rs"]
mod support;
