//! What can go wrong with an event source.

use tiphys_bus::BusError;
use tiphys_core::{Classify, Fault};

/// Why an event source does not run, or why an event was not stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest says something that cannot be done.
    #[error("{what}")]
    Config {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// A Secret that the manifest names is not there.
    #[error("key `{key}` of Secret `{namespace}/{name}` is missing or empty")]
    Secret {
        /// Namespace.
        namespace: String,
        /// Name of the Secret.
        name: String,
        /// The key in it.
        key: String,
    },
    /// The kind is known, but this version does not run it.
    #[error("event sources of kind `{kind}` are not yet run by this version")]
    NotYet {
        /// The key below `spec`.
        kind: String,
    },
    /// The payload is not what the bus can carry.
    #[error("the payload is no event")]
    Payload(#[source] serde_json::Error),
    /// The bus refused.
    #[error("the bus did not take the event")]
    Bus(#[from] BusError),
    /// The bus did not answer in time; whether it stored the event is unknown.
    #[error("the bus did not answer in time")]
    Patience,
    /// Where the events come from does not give them just now, and may later.
    #[error("{what}")]
    Upstream {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// A message that can never become an event.
    #[error("{what}")]
    Message {
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// A wrong manifest.
    pub(crate) fn config(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Config { what: what.into(), help: help.into() }
    }

    /// A failure on the other side that may pass.
    #[cfg_attr(
        not(any(
            feature = "grpc",
            feature = "kafka",
            feature = "nats",
            feature = "pubsub",
            feature = "sqs"
        )),
        expect(dead_code, reason = "only the kinds behind features need it")
    )]
    pub(crate) fn upstream(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Upstream { what: what.into(), help: help.into() }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Config { help, .. } | Self::Upstream { help, .. } => help.clone(),
            Self::Secret { namespace, .. } => {
                format!("create the Secret in namespace `{namespace}`, or correct the reference")
            }
            Self::NotYet { .. } => "send the events to a webhook, or wait for a later version".into(),
            Self::Payload(_) => "the sender must send JSON".into(),
            Self::Message { .. } => {
                "correct the sender, or `jsonBody` of the event; see `tiphys dlq list`".into()
            }
            Self::Bus(_) | Self::Patience => {
                "the sender should try again; see whether the disk is full and the bus is up".into()
            }
        }
    }
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Config { .. } | Self::Secret { .. } | Self::NotYet { .. } => Fault::Config,
            Self::Payload(_) | Self::Message { .. } => Fault::Permanent,
            Self::Bus(bus) => bus.fault(),
            Self::Patience | Self::Upstream { .. } => Fault::Transient,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "TIP-SRC-001",
            Self::Secret { .. } => "TIP-SRC-002",
            Self::NotYet { .. } => "TIP-SRC-003",
            Self::Payload(_) => "TIP-SRC-004",
            Self::Bus(bus) => bus.code(),
            Self::Patience => "TIP-SRC-005",
            Self::Upstream { .. } => "TIP-SRC-008",
            Self::Message { .. } => "TIP-SRC-009",
        }
    }
}
