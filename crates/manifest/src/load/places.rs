//! Where the parts of an object stand, kept with it so that later checks can point there too.

use std::sync::Arc;

use super::path::Path;
use super::position::{At, Place};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;

/// The text an object was read from, and the place of each of its values.
#[derive(Debug, Clone, Default)]
pub struct Places {
    root: Arc<Place>,
    /// From the document to the object: not empty in a `List`.
    prefix: Path,
    text: Arc<str>,
    file: Arc<str>,
    first_line: usize,
    /// The text holds secrets, so no line of it is shown.
    hidden: bool,
    /// `Kind/name`.
    object: String,
}

impl Places {
    pub(super) fn new(file: &str, text: &str, first_line: usize, root: Place) -> Self {
        Self { root: Arc::new(root), text: text.into(), file: file.into(), first_line, ..Self::default() }
    }

    /// The places of an object within this document.
    pub(super) fn below(&self, prefix: &Path) -> Self {
        Self { prefix: self.prefix.join(prefix), ..self.clone() }
    }

    pub(super) fn named(mut self, object: String) -> Self {
        self.object = object;
        self
    }

    /// Shows no source line from now on, and keeps none.
    pub(super) fn hide(mut self) -> Self {
        self.hidden = true;
        self.text = "".into();
        self
    }

    /// The file as given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where the key of this path stands.
    #[must_use]
    pub fn find(&self, path: &Path) -> At {
        self.absolute(self.root.find(&self.prefix.join(path)))
    }

    /// A finding that points at a key.
    #[must_use]
    pub fn at_key(&self, code: Code, path: &Path, message: String, help: String) -> Diagnostic {
        self.at(code, self.root.find(&self.prefix.join(path)), path, message, help)
    }

    /// A finding that points at a value.
    #[must_use]
    pub fn at_value(&self, code: Code, path: &Path, message: String, help: String) -> Diagnostic {
        let at = self.root.find_value(&self.prefix.join(path));
        self.at(code, at, path, message, help)
    }

    /// Keys without effect, since the same key comes again.
    pub(super) fn twice(&self) -> Vec<(Path, At)> {
        let mut found = Vec::new();
        self.root.twice(&Path::root(), &mut found);
        found
    }

    /// A finding at a line and column of the document.
    pub(super) fn at(&self, code: Code, at: At, path: &Path, message: String, help: String) -> Diagnostic {
        let source = if self.hidden || at.line == 0 {
            ""
        } else {
            self.text.lines().nth(at.line - 1).unwrap_or_default()
        };
        let at = self.absolute(at);
        Diagnostic {
            code: code.id.to_owned(),
            severity: code.severity,
            file: self.file.to_string(),
            line: at.line,
            column: at.column,
            path: path.to_string(),
            object: self.object.clone(),
            message,
            help,
            source: source.to_owned(),
        }
    }

    fn absolute(&self, at: At) -> At {
        if at.line == 0 {
            return at;
        }
        At { line: at.line + self.first_line.saturating_sub(1), column: at.column }
    }
}
