//! When a daemon is ready, as its readiness probe tells.
//!
//! The probe runs within the container: an executor need not reach its network. Commands run as they are; for `httpGet` and
//! `tcpSocket` the runner does the asking.

use std::sync::Arc;
use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecResults};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tiphys_core::PodKey;

use super::end::State;
use super::engine::Trouble;
use super::plan::PROGRAM;
use super::{LaunchError, Pod, Shared, labels, part, refused};

/// Where the answer does not come, within which time it counts as none, in seconds.
const PATIENCE: i32 = 1;
/// Between two looks, in seconds, where the manifest does not say.
const PERIOD: i32 = 10;

/// A probe, reduced to a command.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Looks {
    command: Vec<String>,
    /// Before the first look, between looks, and for one, in seconds.
    delay: u64,
    period: u64,
    timeout: u64,
    /// So many in a row.
    successes: u32,
    /// Whether the runner does the looking.
    pub(super) by_runner: bool,
}

impl Looks {
    /// Reads a probe.
    pub(super) fn of(probe: &Probe, container: &Container) -> Result<Self, LaunchError> {
        let (command, by_runner) = if let Some(exec) = &probe.exec {
            (exec.command.clone().unwrap_or_default(), false)
        } else if let Some(http) = &probe.http_get {
            let scheme = http.scheme.as_deref().unwrap_or("HTTP");
            if scheme != "HTTP" || http.http_headers.as_ref().is_some_and(|headers| !headers.is_empty()) {
                return Err(LaunchError::NotAllowed(refused("a readinessProbe with HTTPS or headers")));
            }
            let path = http.path.clone().unwrap_or_else(|| "/".to_owned());
            (asking(http.host.as_deref(), port(&http.port, container)?, Some(path)), true)
        } else if let Some(tcp) = &probe.tcp_socket {
            (asking(tcp.host.as_deref(), port(&tcp.port, container)?, None), true)
        } else {
            return Err(LaunchError::NotAllowed(refused("a readinessProbe of this kind")));
        };
        let seconds =
            |given: Option<i32>, usual: i32| u64::try_from(given.unwrap_or(usual)).unwrap_or_default();
        Ok(Self {
            command,
            delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, PERIOD).max(1),
            timeout: seconds(probe.timeout_seconds, PATIENCE).max(1),
            successes: u32::try_from(probe.success_threshold.unwrap_or(1)).unwrap_or(1).max(1),
            by_runner,
        })
    }

    /// As a label, so that it is found again.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The probe of a container that runs.
pub(super) fn of(state: &State) -> Option<Looks> {
    serde_json::from_str(state.labels.get(labels::PROBE)?).ok()
}

fn asking(host: Option<&str>, port: i64, path: Option<String>) -> Vec<String> {
    let place = format!("{}:{port}", host.filter(|host| !host.is_empty()).unwrap_or("127.0.0.1"));
    [PROGRAM.to_owned(), "probe".to_owned(), place].into_iter().chain(path).collect()
}

fn port(port: &IntOrString, container: &Container) -> Result<i64, LaunchError> {
    let named = |name: &str| {
        let mut ports = container.ports.iter().flatten();
        let port = ports.find(|port| port.name.as_deref() == Some(name))?;
        Some(i64::from(port.container_port))
    };
    match port {
        IntOrString::Int(number) => Ok(i64::from(*number)),
        IntOrString::String(name) => name.parse().ok().or_else(|| named(name)).ok_or_else(|| {
            LaunchError::Missing(format!("readinessProbe: container {} has no port {name}", container.name))
        }),
    }
}

impl Shared {
    /// Looks until the daemon is ready, or is no more.
    pub(super) fn probe(self: &Arc<Self>, key: &PodKey, looks: Looks) {
        let (shared, key) = (Arc::clone(self), key.clone());
        self.tasks.spawn("probe", async move {
            let stop = shared.tasks.stop().clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = shared.until_ready(&key, &looks) => {}
            }
        });
    }

    async fn until_ready(&self, key: &PodKey, looks: &Looks) {
        let name = part::main_name(&self.config, key);
        let mut successes = 0;
        tokio::time::sleep(Duration::from_secs(looks.delay)).await;
        while matches!(self.pod(key), Some(Pod::Running { .. })) {
            let patience = Duration::from_secs(looks.timeout);
            let looked = tokio::time::timeout(patience, self.look(&name, &looks.command)).await;
            successes = if matches!(looked, Ok(Ok(true))) { successes + 1 } else { 0 };
            if successes >= looks.successes {
                if let Some(Pod::Running { ready, .. }) = self.pods().get_mut(key) {
                    *ready = true;
                }
                return self.announce(key).await;
            }
            tokio::time::sleep(Duration::from_secs(looks.period)).await;
        }
    }

    /// Runs a command in a container. Says whether it went well.
    async fn look(&self, name: &str, command: &[String]) -> Result<bool, Trouble> {
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            ..CreateExecOptions::default()
        };
        let exec = self.docker.create_exec(name, options).await?.id;
        if let StartExecResults::Attached { mut output, .. } = self.docker.start_exec(&exec, None).await? {
            while output.next().await.is_some() {}
        }
        Ok(self.docker.inspect_exec(&exec).await?.exit_code == Some(0))
    }
}
