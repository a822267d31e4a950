//! Colour: only on a terminal, never with NO_COLOR.

use std::io::IsTerminal as _;

use owo_colors::OwoColorize as _;

use crate::cli::ColorWhen;

/// Paints, or does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    /// As the flag, the environment and standard output have it.
    pub(crate) fn new(when: ColorWhen) -> Self {
        Self(match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal(),
        })
    }

    /// Good.
    pub(crate) fn green(self, text: &str) -> String {
        if self.0 { text.green().to_string() } else { text.to_owned() }
    }

    /// Bad.
    pub(crate) fn red(self, text: &str) -> String {
        if self.0 { text.red().to_string() } else { text.to_owned() }
    }

    /// Under way, or to be looked at.
    pub(crate) fn yellow(self, text: &str) -> String {
        if self.0 { text.yellow().to_string() } else { text.to_owned() }
    }

    /// Of less weight.
    pub(crate) fn dim(self, text: &str) -> String {
        if self.0 { text.dimmed().to_string() } else { text.to_owned() }
    }

    /// Of more weight.
    pub(crate) fn bold(self, text: &str) -> String {
        if self.0 { text.bold().to_string() } else { text.to_owned() }
    }

    /// A phase in its colour.
    pub(crate) fn phase(self, phase: &str) -> String {
        match phase {
            "Succeeded" => self.green(phase),
            "Failed" | "Error" => self.red(phase),
            "Running" | "Pending" => self.yellow(phase),
            other => self.dim(other),
        }
    }
}
