//! What is wrong with a manifest, where, and what to do.

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It works, but not as its author may believe.
    Warning,
    /// It cannot be used.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Stable code, `TIP-MAN-001` and so on.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// The file as given, or `api`.
    pub file: String,
    /// From 1; 0 when unknown.
    pub line: usize,
    /// From 1; 0 when unknown.
    pub column: usize,
    /// Dotted path within the document, such as `spec.triggers[0].template.http`.
    pub path: String,
    /// `Kind/name` of the object, where known.
    pub object: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do, in one sentence; may name a near word.
    pub help: String,
    /// The source line, without its end.
    pub source: String,
}
