//! Argo's `{{…}}` tags. A text is parsed once into a tree and rendered once: what is inserted is never
//! scanned again.

use crate::LangError;

/// One piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Literal(String),
    /// `{{name}}`, trimmed.
    Tag(String),
    /// `{{=expression}}`.
    Expression(String),
}

/// A parsed text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// The pieces in order.
    pub pieces: Vec<Piece>,
}

impl Text {
    /// Parses. An unclosed `{{` is literal text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self {
            pieces: vec![Piece::Literal(text.to_owned())],
        }
    }

    /// Whether there is a tag or an expression in it.
    #[must_use]
    pub fn has_tags(&self) -> bool {
        false
    }

    /// Renders. `look_up` gives the text of a tag or expression; `Ok(None)` leaves it as written.
    ///
    /// # Errors
    /// What `look_up` fails with.
    pub fn render(
        &self,
        look_up: &mut dyn FnMut(&Piece) -> Result<Option<String>, LangError>,
    ) -> Result<String, LangError> {
        let _ = look_up;
        Ok(String::new())
    }
}
