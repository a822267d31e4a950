//! What can go wrong on the bus.

use tiphys_core::{Classify, Fault};

/// A failed operation on the bus.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum BusError {
    /// Compare-and-set refused: the subject's last sequence is `actual`.
    #[error("`{subject}` stands at sequence {actual}, not at {expected} as the writer believed")]
    Conflict {
        /// The subject.
        subject: String,
        /// What the writer expected.
        expected: u64,
        /// What stands there; 0 when the subject is empty.
        actual: u64,
    },
    /// The stream holds as much as it may. Nothing stored is dropped to make room.
    #[error("stream `{stream}` is full: {reason}")]
    Full {
        /// The stream.
        stream: String,
        /// Which limit.
        reason: String,
    },
    /// The message is larger than a message may be.
    #[error("a message of {size} bytes on `{subject}` is larger than the limit of {limit}")]
    TooLarge {
        /// The subject.
        subject: String,
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// No such stream, consumer or subject.
    #[error("{what} does not exist")]
    Missing {
        /// What was asked for.
        what: String,
    },
    /// The request itself is wrong (a bad subject, a stream made anew with other subjects …).
    #[error("{reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// The data folder is in use by another process.
    #[error("the data folder `{path}` is in use by another process")]
    Locked {
        /// The folder.
        path: String,
    },
    /// The data folder was written by a newer version.
    #[error("the data folder has format {found}, and this version reads up to {known}")]
    Format {
        /// What the folder says.
        found: u32,
        /// The newest that this version knows.
        known: u32,
    },
    /// The disk or the server refused. After an unknown result the caller reads back.
    #[error("the bus is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The bus is shutting down.
    #[error("the bus is closed")]
    Closed,
}

impl Classify for BusError {
    fn fault(&self) -> Fault {
        match self {
            Self::Conflict { .. } | Self::Full { .. } | Self::Unavailable { .. } | Self::Closed => {
                Fault::Transient
            }
            Self::TooLarge { .. } | Self::Missing { .. } | Self::Invalid { .. } => Fault::Permanent,
            Self::Locked { .. } | Self::Format { .. } => Fault::Config,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "TIP-BUS-001",
            Self::Full { .. } => "TIP-BUS-002",
            Self::TooLarge { .. } => "TIP-BUS-003",
            Self::Missing { .. } => "TIP-BUS-004",
            Self::Invalid { .. } => "TIP-BUS-005",
            Self::Locked { .. } => "TIP-BUS-006",
            Self::Format { .. } => "TIP-BUS-007",
            Self::Unavailable { .. } => "TIP-BUS-008",
            Self::Closed => "TIP-BUS-009",
        }
    }
}
