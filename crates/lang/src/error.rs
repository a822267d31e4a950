//! What can go wrong in a small language.

/// A text that does not compile, or a program that fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LangError {
    /// The text is not of the language.
    #[error("{language}: {message} at character {offset}")]
    Syntax {
        /// Which language.
        language: &'static str,
        /// What is wrong.
        message: String,
        /// Where, in characters from 0.
        offset: usize,
    },
    /// The program failed on this input.
    #[error("{language}: {message}")]
    Eval {
        /// Which language.
        language: &'static str,
        /// What went wrong.
        message: String,
    },
    /// A limit on steps, depth, time or output was reached.
    #[error("{language}: the limit on {limit} was reached")]
    Limit {
        /// Which language.
        language: &'static str,
        /// Which limit.
        limit: &'static str,
    },
}
