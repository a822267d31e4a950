//! How a failure is to be treated.

use std::error::Error;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What a caller does about a failure. Decided once, by type; never by matching on text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// The world is unavailable: retry with backoff.
    Transient,
    /// This input can never succeed: dead-letter it, go on with the next.
    Permanent,
    /// The manifest is wrong: report it on the object, wait for an edit.
    Config,
}

/// Errors that know how they are to be treated.
pub trait Classify: Error {
    /// The treatment.
    fn fault(&self) -> Fault;
    /// Stable code such as `TIP-BUS-003`; the only text of an error that may become a metric label.
    fn code(&self) -> &'static str;
}

/// The whole chain of causes in one line, each printed once.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}
