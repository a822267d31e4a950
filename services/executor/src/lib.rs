//! Runs workflows: a pure planner, a journal on the bus, launchers.
//!
//! `plan(state, seen, context) -> Plan` decides; the service around it replays the journal, appends to it by
//! compare-and-set, and carries the decisions out through a [`launcher::Launcher`].

pub mod artifact;
pub mod cron;
pub mod definition;
pub mod depends;
pub mod error;
pub mod graph;
pub mod journal;
pub mod launcher;
pub mod lint;
pub mod logs;
pub mod merge;
pub mod names;
pub mod node;
mod paths;
pub mod plan;
pub mod projection;
mod scope;
mod scratch;
pub mod service;
pub mod status;
pub mod submit;
mod substitute;
pub mod time;
mod trace;

pub use error::Error;
pub use service::{Config, Deps, run};
