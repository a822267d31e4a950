//! The engine's API, and what its refusals mean.

use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::LaunchError;

/// Seconds until an answer has to begin.
const PATIENCE: u64 = 120;

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// What was named is not there.
    Absent(String),
    /// The name is taken, or it is in use.
    Conflict(String),
    /// It answered, and will answer the same again.
    Refused(String),
    /// It does not answer.
    Away(String),
}

impl Trouble {
    /// Whether it is an image that is not there.
    pub(super) fn lacks_image(&self) -> bool {
        matches!(self, Self::Absent(why) if why.to_lowercase().contains("image"))
    }

    /// Whether the container whose network was to be joined does not run.
    pub(super) fn lacks_network(&self) -> bool {
        let (Self::Absent(why) | Self::Conflict(why) | Self::Refused(why)) = self else { return false };
        why.contains("cannot join network") || why.contains("No such container: tiphys")
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Absent(why) | Self::Conflict(why) | Self::Refused(why) | Self::Away(why) => why,
        }
    }
}

/// An error in words, down to its cause.
pub(super) fn told(error: &Error) -> String {
    match error {
        Error::HyperLegacyError { err } => tiphys_core::chain(err),
        other => other.to_string(),
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => match status_code {
                404 => Self::Absent(message),
                409 => Self::Conflict(message),
                429 | 502..=504 => Self::Away(message),
                _ => Self::Refused(message),
            },
            Error::DockerStreamError { error } => Self::Refused(error),
            other => Self::Away(format!("the Docker engine does not answer: {}", told(&other))),
        }
    }
}

impl From<Trouble> for LaunchError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(why) | Trouble::Conflict(why) => Self::Unavailable(why),
            Trouble::Absent(why) | Trouble::Refused(why) => {
                Self::Missing(format!("the Docker engine refuses: {why}"))
            }
        }
    }
}

/// Connects, and agrees on a version of the API.
pub(super) async fn connect(host: &str) -> Result<Docker, LaunchError> {
    let refused = |error: Error| {
        LaunchError::Unavailable(format!(
            "no Docker engine answers at {host}: {}; start one, or say where it is by DOCKER_HOST",
            told(&error)
        ))
    };
    let mut docker = match host.strip_prefix("unix://") {
        Some(path) => Docker::connect_with_unix(path, PATIENCE, API_DEFAULT_VERSION),
        None => Docker::connect_with_host(host),
    }
    .map_err(refused)?;
    docker.set_timeout(Duration::from_secs(PATIENCE));
    docker.negotiate_version().await.map_err(refused)
}
