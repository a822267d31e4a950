//! Runs workflows: a pure planner, a journal on the bus, launchers.
//!
//! `plan(workflow, progress, now) -> actions` decides; the service around it replays the journal, appends to
//! it by compare-and-set, and carries the actions out through a [`launcher::Launcher`].

pub mod artifact;
pub mod launcher;
