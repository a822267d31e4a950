//! What can go wrong with the catalog.

use std::path::PathBuf;

use tiphys_bus::BusError;
use tiphys_core::{Classify, Fault};
use tiphys_manifest::{Diagnostic, Kind, diagnostic};

/// A failed operation on the catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The manifest has errors; nothing of it was taken.
    #[error("the manifest has errors, nothing of it was taken: {}", first(.0))]
    Invalid(Vec<Diagnostic>),
    /// Objects of this kind, or without a name, are not kept by the catalog.
    #[error("{}", not_kept(*kind, name))]
    NotKept {
        /// The kind.
        kind: Kind,
        /// The name; empty where it has only `generateName`.
        name: String,
    },
    /// The text holds no object.
    #[error("the text holds no object; one begins with `apiVersion:` and `kind:`")]
    Empty,
    /// Somebody else changes the same object at the same time, again and again.
    #[error("{kind}/{name} is being changed by somebody else; try again")]
    Contended {
        /// The kind.
        kind: Kind,
        /// The name.
        name: String,
    },
    /// The bus refused.
    #[error("the catalog cannot be stored")]
    Bus(#[from] BusError),
    /// The directory cannot be read.
    #[error("the directory `{}` cannot be read", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cluster does not answer, or refuses.
    #[cfg(feature = "kubernetes")]
    #[error("{0}")]
    Cluster(tiphys_kit::kubernetes::Failure),
    /// A reader of files ended by a panic.
    #[error("reading the directory failed: {0}")]
    Reader(String),
}

/// A Workflow may have no name yet: it gets one when it is run. All others are kept by theirs.
fn not_kept(kind: Kind, name: &str) -> String {
    match (kind, name) {
        (Kind::Workflow, "") => "a Workflow is run, not kept: use `submit` for it".to_owned(),
        (Kind::Workflow, name) => format!("Workflow/{name} is run, not kept: use `submit` for it"),
        (kind, _) => {
            format!("a {kind} is kept by its name: give it `metadata.name` in the place of `generateName`")
        }
    }
}

fn first(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().find(|finding| finding.is_error()).map(diagnostic::short).unwrap_or_default()
}

impl Classify for CatalogError {
    fn fault(&self) -> Fault {
        match self {
            Self::Invalid(_) | Self::NotKept { .. } | Self::Empty => Fault::Permanent,
            Self::Contended { .. } | Self::Reader(_) => Fault::Transient,
            Self::Bus(error) => error.fault(),
            #[cfg(feature = "kubernetes")]
            Self::Cluster(tiphys_kit::kubernetes::Failure::Unavailable(_)) => Fault::Transient,
            #[cfg(feature = "kubernetes")]
            Self::Cluster(_) => Fault::Config,
            Self::Directory { .. } => Fault::Config,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "TIP-CAT-001",
            Self::NotKept { .. } => "TIP-CAT-002",
            Self::Empty => "TIP-CAT-003",
            Self::Contended { .. } => "TIP-CAT-004",
            Self::Bus(error) => error.code(),
            Self::Directory { .. } => "TIP-CAT-005",
            Self::Reader(_) => "TIP-CAT-006",
            #[cfg(feature = "kubernetes")]
            Self::Cluster(_) => "TIP-CAT-007",
        }
    }
}
