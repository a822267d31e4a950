//! What is wrong with a manifest, where, and what to do.

use serde::{Deserialize, Serialize};

use crate::codes;

mod render;

pub use render::{render, short};

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

impl Diagnostic {
    /// Whether it keeps the object from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Makes errors of the warnings that `--strict` refuses.
pub fn strict(diagnostics: &mut [Diagnostic]) {
    for diagnostic in diagnostics {
        let listed = codes::ALL.iter().find(|code| code.id == diagnostic.code);
        // What is not listed there is a construct that is not run.
        if listed.is_none_or(|code| code.strict) {
            diagnostic.severity = Severity::Error;
        }
    }
}

/// The known word that was probably meant, if one is near enough.
#[must_use]
pub fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| {
            let length = word.chars().count().max(candidate.chars().count());
            *distance <= (length / 3).max(1)
        })
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_near_word_is_near() {
        let known = ["eventSourceName", "eventName", "filters"];
        assert_eq!(near("eventSourcName", known), Some("eventSourceName"));
        assert_eq!(near("eventsourcename", known), Some("eventSourceName"));
        assert_eq!(near("name", known), None);
        assert_eq!(near("", known), None);
    }
}
