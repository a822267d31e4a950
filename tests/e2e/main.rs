//! The three jobs and the command line, end to end, against the built binary.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod argo;
mod begin;
mod cluster;
mod commands;
mod conformance;
mod containers;
mod follow;
mod inventory;
mod killed;
mod live;
mod objects;
mod options;
mod pods;
mod queues;
mod response;
mod rights;
mod scan;
mod services;
mod sidekick;
mod stores;
mod trace;
