//! What became of a container: from the engine's state and the runner's report to the result of a pod.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status};
use bollard::query_parameters::DownloadFromContainerOptions;
use futures::StreamExt;
use tiphys_core::{PodKey, Timestamp};
use tiphys_runner::{Exit, Packed};
use tokio::io::AsyncWriteExt;

use super::engine::Trouble;
use super::files::{self, Temporary};
use super::plan::STEP;
use super::{Config, LaunchError, PodResult, PodVerdict, Shared, blocking, error, labels};
use crate::launcher::StoredArtifact;

/// What Kubernetes says of a pod that ran out of time.
const DEADLINE: &str = "Pod was active on the node longer than the specified deadline";
/// What a process that was killed leaves behind.
const KILLED: i64 = 137;
/// A report is no larger than this: its parameters and its result are bounded.
const LARGEST_REPORT: u64 = 64 << 20;

/// What the engine says of a container.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) is_running: bool,
    has_ended: bool,
    pub(super) code: i64,
    /// Why it could not be started.
    pub(super) error: String,
    pub(super) started: Option<Timestamp>,
    finished: Option<Timestamp>,
    out_of_memory: bool,
    pub(super) labels: HashMap<String, String>,
}

impl State {
    pub(super) fn of(container: &ContainerInspectResponse) -> Self {
        let state = container.state.clone().unwrap_or_default();
        let time = |text: Option<String>| {
            let time: Timestamp = text?.parse().ok()?;
            // The engine's word for never is the year 1.
            (time > Timestamp::UNIX_EPOCH).then_some(time)
        };
        let is_running = state.running == Some(true);
        let (started, finished) = (time(state.started_at), time(state.finished_at));
        Self {
            is_running,
            has_ended: matches!(state.status, Some(Status::EXITED | Status::DEAD | Status::REMOVING)),
            code: state.exit_code.unwrap_or_default(),
            error: state.error.unwrap_or_default(),
            // The engine notes the start of what ends at once after its end.
            started: match finished {
                Some(finished) if !is_running => started.map(|started| started.min(finished)),
                _ => started,
            },
            finished,
            out_of_memory: state.oom_killed == Some(true),
            labels: container.config.clone().and_then(|config| config.labels).unwrap_or_default(),
        }
    }

    /// Whether its command was ever started, or tried to be.
    pub(super) fn was_started(&self) -> bool {
        self.is_running || self.has_ended || !self.error.is_empty()
    }

    /// Whether it is a part of this pod.
    pub(super) fn is_of(&self, config: &Config, key: &PodKey) -> bool {
        let is = |label: &str, value: &str| self.labels.get(label).is_some_and(|found| found == value);
        is(labels::INSTALLATION, &config.installation) && is(labels::POD, &key.0)
    }

    pub(super) fn has(&self, label: &str) -> bool {
        self.labels.contains_key(label)
    }

    pub(super) fn time(&self, label: &str) -> Option<Timestamp> {
        self.labels.get(label)?.parse().ok()
    }

    fn code(&self) -> Option<i32> {
        i32::try_from(self.code).ok()
    }
}

impl Shared {
    /// The result of a main container that has ended.
    pub(super) async fn result(&self, id: &str, state: &State) -> Result<PodResult, LaunchError> {
        let finished = state.finished.unwrap_or_else(|| self.clock.now());
        if state.started.is_none() && !state.error.is_empty() {
            return Ok(error(None, finished, format!("main: StartError: {}", state.error)));
        }
        let report = if state.has(labels::RUNNER) { self.report(id).await? } else { None };
        let mut result = match report {
            Some(exit) => self.reported(id, exit).await?,
            None => bare(state, finished),
        };
        if state.out_of_memory && result.exit_code == Some(137) {
            result.verdict = PodVerdict::Failed;
            result.message = format!("main: OOMKilled (exit code {KILLED})");
        }
        Ok(result)
    }

    /// What the runner reported, if it came to that.
    async fn report(&self, id: &str) -> Result<Option<Exit>, LaunchError> {
        let path = format!("{STEP}/{}", tiphys_runner::exit::FILE);
        let options = DownloadFromContainerOptions { path };
        let mut parts = Box::pin(self.docker.download_from_container(id, Some(options)));
        let mut archive = Vec::new();
        while let Some(part) = parts.next().await {
            match part.map_err(Trouble::from) {
                Ok(bytes) => archive.extend_from_slice(&bytes),
                Err(Trouble::Absent(_)) => return Ok(None),
                Err(trouble) => return Err(trouble.into()),
            }
            if archive.len() as u64 > LARGEST_REPORT {
                return Ok(None);
            }
        }
        let read = || -> std::io::Result<Exit> {
            let mut archive = tar::Archive::new(&archive[..]);
            let mut text = Vec::new();
            for entry in archive.entries()? {
                entry?.read_to_end(&mut text)?;
            }
            Ok(serde_json::from_slice(&text)?)
        };
        // Cut short is as good as none: its writer was killed.
        Ok(read().ok())
    }

    /// From a report to a result: the artifacts go into the store. May be done again.
    async fn reported(&self, id: &str, exit: Exit) -> Result<PodResult, LaunchError> {
        let (mut result, packed) = PodResult::reported(exit);
        for packed in packed {
            match self.stored(id, &packed).await {
                Ok(stored) => result.artifacts.push(stored),
                Err(LaunchError::Unavailable(why)) => return Err(LaunchError::Unavailable(why)),
                Err(error) => result.not_stored(&packed, &error),
            }
        }
        Ok(result)
    }

    /// Takes an artifact out of the container, and puts it into the store.
    async fn stored(&self, id: &str, packed: &Packed) -> Result<StoredArtifact, LaunchError> {
        let (archive, place) = (Temporary(self.scratch.next()), Temporary(self.scratch.next()));
        self.taken_out(id, packed, &archive).await?;
        let (from, to) = (archive.0.clone(), place.0.clone());
        blocking(move || files::unpack(std::fs::File::open(from)?, &to)).await?;
        let (size, sha256) = self.store.put(&packed.key, place.0.clone()).await?;
        Ok(StoredArtifact::of(packed, size, sha256))
    }

    /// Copies what the engine has of an artifact to a file.
    async fn taken_out(&self, id: &str, packed: &Packed, to: &Temporary) -> Result<(), LaunchError> {
        let disk =
            |error: std::io::Error| LaunchError::Unavailable(format!("the launcher's folder: {error}"));
        let path = format!("{STEP}/{}/{}", tiphys_runner::spec::ARTIFACTS, packed.file);
        let options = DownloadFromContainerOptions { path };
        let mut parts = Box::pin(self.docker.download_from_container(id, Some(options)));
        let mut to = tokio::fs::File::create(&to.0).await.map_err(disk)?;
        while let Some(part) = parts.next().await {
            to.write_all(&part.map_err(Trouble::from)?).await.map_err(disk)?;
        }
        to.flush().await.map_err(disk)
    }
}

/// The result of a container that nobody reports on.
fn bare(state: &State, finished: Timestamp) -> PodResult {
    let with_runner = state.has(labels::RUNNER);
    let late = state.time(labels::DEADLINE).is_some_and(|deadline| finished >= deadline);
    let (verdict, message) = match state.code {
        0 if with_runner => (PodVerdict::Error, "the runner ended without its report".to_owned()),
        0 => (PodVerdict::Succeeded, String::new()),
        _ if late => (PodVerdict::Failed, DEADLINE.to_owned()),
        code if with_runner && code < 128 => (
            PodVerdict::Error,
            format!("the runner could not do its work (exit code {code}); its log says why"),
        ),
        code => (PodVerdict::Failed, format!("main: Error (exit code {code})")),
    };
    PodResult {
        started: state.started,
        finished,
        exit_code: state.code(),
        verdict,
        message,
        result: None,
        parameters: BTreeMap::new(),
        artifacts: Vec::new(),
        host: None,
    }
}
