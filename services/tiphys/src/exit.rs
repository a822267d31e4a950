//! Exit codes of the command line, and the error that carries one.

use std::process::ExitCode;

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// A workflow failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A manifest is wrong.
    Validation = 3,
    /// No such thing.
    NotFound = 4,
    /// It stands in the way of something that exists.
    Conflict = 5,
    /// The token is missing or wrong.
    Unauthorised = 6,
    /// No server answers.
    Unreachable = 7,
    /// It took too long.
    TimedOut = 8,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: Code,
    /// What is wrong and what to do; empty where everything was said already.
    pub(crate) message: String,
}

impl Failure {
    /// With this code and text.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Everything was printed already.
    pub(crate) const fn silent(code: Code) -> Self {
        Self { code, message: String::new() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Code::Failed, format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Code::Failed, error.to_string())
    }
}

/// Ends the process quietly where the reader of standard output has gone, as in `tiphys list | head -1`.
///
/// What prints panics then, in this program and in what it uses. The usual other way, to let SIGPIPE kill, would
/// also kill where a server closes its connection.
pub(crate) fn end_with_the_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let gone = panic.payload_as_str().is_some_and(|why| {
            why.starts_with("failed") && (why.contains("Broken pipe") || why.contains("BrokenPipe"))
        });
        if gone {
            std::process::exit(0);
        }
        report(panic);
    }));
}

/// Prints a failure to standard error, and gives the code.
pub(crate) fn code(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                // Findings of manifests begin with the word, and their code, themselves.
                let word = if failure.message.starts_with("error[") { "" } else { "error: " };
                eprintln!("{word}{}", failure.message);
            }
            ExitCode::from(failure.code as u8)
        }
    }
}
