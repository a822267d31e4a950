//! Why an event could not be judged, or a firing not be made. These end as dead letters.

use tiphys_core::{Classify, Fault};

/// A failure that another attempt would meet again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// A construct that is valid, and not run by this version.
    #[error("dependency `{dependency}` has {construct}, which this version does not run yet")]
    NotRun {
        /// The dependency.
        dependency: String,
        /// The construct, such as `transform.jq`.
        construct: &'static str,
    },
    /// A parameter found no value, and has none to fall back to.
    #[error("parameter {parameter}: {reason}; give it a `value` to fall back to")]
    Unresolved {
        /// Where it stands, such as `template.http.payload[0]`.
        parameter: String,
        /// What was missing.
        reason: String,
    },
    /// A value cannot be written where it belongs.
    #[error("parameter {parameter} cannot be written to `{dest}`: {reason}")]
    Unwritable {
        /// Where it stands.
        parameter: String,
        /// Its destination.
        dest: String,
        /// Why.
        reason: String,
    },
    /// The payload is no text.
    #[error("the payload is no UTF-8 text")]
    NotText,
    /// The record on the bus is no event.
    #[error("the record on the bus is no event: {0}")]
    Unreadable(String),
    /// The firing is larger than a message may be.
    #[error(
        "the firing has {size} bytes and a message at most {limit}; take single values by `dataKey` \
         instead of the whole event"
    )]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

impl Classify for Failure {
    fn fault(&self) -> Fault {
        match self {
            Self::NotRun { .. } => Fault::Config,
            _ => Fault::Permanent,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotRun { construct, .. } if construct.starts_with("transform") => "TIP-SEN-020",
            Self::NotRun { .. } => "TIP-SEN-021",
            Self::Unresolved { .. } => "TIP-SEN-022",
            Self::Unwritable { .. } => "TIP-SEN-023",
            Self::NotText => "TIP-SEN-024",
            Self::Unreadable(_) => "TIP-SEN-025",
            Self::TooLarge { .. } => "TIP-SEN-026",
        }
    }
}
