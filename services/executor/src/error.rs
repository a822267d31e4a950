//! What can go wrong in the executor as a whole. What goes wrong in a workflow stands on its nodes.

use tiphys_bus::BusError;
use tiphys_core::{Classify, Fault};

/// A failure of the executor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bus failed.
    #[error("the journal of workflows cannot be used")]
    Bus(#[from] BusError),
    /// A record that is none of ours.
    #[error("a journal record cannot be read: {reason}")]
    Record {
        /// Why.
        reason: String,
    },
    /// A workflow that cannot be submitted.
    #[error("{0}")]
    Invalid(String),
    /// What was asked for does not exist.
    #[error("{0} does not exist")]
    Missing(String),
    /// The launcher failed.
    #[error("pods cannot be looked at: {0}")]
    Launcher(String),
    /// What `artifactGC` wants removed cannot be.
    #[error(
        "artifacts cannot be removed, so the workflow stays: {0} (with artifactGC.forceFinalizerRemoval it goes \
         without them)"
    )]
    Artifacts(String),
    /// The name is taken.
    #[error("workflow {namespace}/{name} exists already; delete it, or submit under another name")]
    Exists {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Bus(error) => error.fault(),
            Self::Record { .. } | Self::Exists { .. } | Self::Missing(_) => Fault::Permanent,
            Self::Invalid(_) => Fault::Config,
            Self::Launcher(_) | Self::Artifacts(_) => Fault::Transient,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Bus(error) => error.code(),
            Self::Record { .. } => "TIP-EXE-001",
            Self::Invalid(_) => "TIP-EXE-002",
            Self::Missing(_) => "TIP-EXE-003",
            Self::Exists { .. } => "TIP-EXE-004",
            Self::Launcher(_) => "TIP-EXE-005",
            Self::Artifacts(_) => "TIP-EXE-006",
        }
    }
}
