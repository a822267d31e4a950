//! Diagnostics about event sources that only show while they run: a port in use, a secret missing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tiphys_core::Classify as _;
use tiphys_manifest::{Diagnostic, Object, Severity};

use crate::error::Error;

/// Two events claim the same place.
pub(crate) const CONFLICT: &str = "TIP-SRC-006";
/// A port cannot be opened.
pub(crate) const PORT: &str = "TIP-SRC-007";

/// Where in which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The file as given, or `api`.
    pub(crate) file: String,
    /// Line of the document.
    pub(crate) line: usize,
    /// `EventSource/name`.
    pub(crate) object: String,
    /// Dotted path within the document.
    pub(crate) path: String,
}

impl Spot {
    pub(crate) fn of(object: &Object, kind: &str, event: &str) -> Self {
        Self {
            file: object.file.clone(),
            line: object.line,
            object: format!("{}/{}", object.kind, object.name),
            path: format!("spec.{kind}.{event}"),
        }
    }

    pub(crate) fn diagnostic(&self, code: &str, message: String, help: String) -> Diagnostic {
        Diagnostic {
            code: code.into(),
            severity: Severity::Error,
            file: self.file.clone(),
            line: self.line,
            column: 0,
            path: self.path.clone(),
            object: self.object.clone(),
            message,
            help,
            source: String::new(),
        }
    }

    pub(crate) fn failure(&self, error: &Error) -> Diagnostic {
        self.diagnostic(error.code(), tiphys_core::chain(error), error.help())
    }
}

/// The diagnostics of now, by the part that found them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings(Arc<Mutex<BTreeMap<String, Vec<Diagnostic>>>>);

impl Findings {
    /// Replaces what `part` found.
    pub(crate) fn set(&self, part: &str, found: Vec<Diagnostic>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.remove(part).unwrap_or_default();
        for new in found.iter().filter(|new| !before.contains(new)) {
            tracing::warn!(
                code = new.code,
                object = new.object,
                file = new.file,
                line = new.line,
                "{}; {}",
                new.message,
                new.help
            );
        }
        if !found.is_empty() {
            all.insert(part.to_owned(), found);
        }
    }

    /// Replaces what `part` found, in silence.
    pub(crate) fn replace(&self, part: &str, found: Vec<Diagnostic>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part.to_owned(), found);
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Diagnostic> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().flatten().cloned().collect()
    }
}
