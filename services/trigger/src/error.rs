//! What can go wrong while acting.

use tiphys_bus::BusError;
use tiphys_core::{Classify, Fault};

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The trigger's template cannot be used as it stands.
    #[error("{0}")]
    Template(String),
    /// The construct is valid but not run by this version.
    #[error("{0}")]
    NotYet(String),
    /// A parameter cannot be applied.
    #[error("parameter for `{dest}`: {reason}")]
    Parameter {
        /// Its destination.
        dest: String,
        /// Why.
        reason: String,
    },
    /// What the trigger refers to does not exist.
    #[error("{0}")]
    Missing(String),
    /// Something else has the name that the trigger wants.
    #[error("{0}")]
    Taken(String),
    /// The address may not be called.
    #[error("{0}")]
    Forbidden(String),
    /// The other side refused for good.
    #[error("{0}")]
    Refused(String),
    /// The other side is away, overloaded or failing.
    #[error("{0}")]
    Unavailable(String),
    /// The bus refused.
    #[error("cannot record the effect")]
    Bus(#[source] BusError),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Unavailable(_) => Fault::Transient,
            Self::Bus(error) => error.fault(),
            // A missing template or secret may be added in a moment: it is worth the retries.
            Self::Missing(_) => Fault::Transient,
            Self::Template(_)
            | Self::NotYet(_)
            | Self::Parameter { .. }
            | Self::Taken(_)
            | Self::Forbidden(_)
            | Self::Refused(_) => Fault::Permanent,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Template(_) => "TIP-TRG-001",
            Self::NotYet(_) => "TIP-TRG-002",
            Self::Parameter { .. } => "TIP-TRG-003",
            Self::Missing(_) => "TIP-TRG-004",
            Self::Taken(_) => "TIP-TRG-005",
            Self::Forbidden(_) => "TIP-TRG-006",
            Self::Refused(_) => "TIP-TRG-007",
            Self::Unavailable(_) => "TIP-TRG-008",
            Self::Bus(_) => "TIP-TRG-009",
        }
    }
}
