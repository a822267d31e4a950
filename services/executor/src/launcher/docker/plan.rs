//! From a pod to what the engine is asked for. Nothing is asked here; what cannot be had is refused by name.

use std::path::PathBuf;

use bollard::models::{Mount, MountType, VolumeCreateRequest};
use k8s_openapi::api::core::v1::{Container, PodSpec as Kubernetes};
use tiphys_core::{PodKey, Timestamp};
use tiphys_runner::Spec;

use super::image::Credentials;
use super::network::Network;
use super::part::{Common, Part, Scene};
use super::ready::Looks;
use super::volumes::Volumes;
use super::whole::{self, Whole};
use super::{LaunchError, PodSpec, labels, refused};
use crate::launcher::InputArtifact;

/// Folder of the runner in a container.
pub(super) const FOLDER: &str = "/.tiphys";
/// The runner's program.
pub(super) const PROGRAM: &str = "/.tiphys/tiphys-runner";
/// The step's folder (see `tiphys_runner`).
pub(super) const STEP: &str = "/.tiphys/step";
/// More than its own grace is needed by the runner, which gathers what the step made.
const GATHER: i64 = 15;

/// What there is to do.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) key: PodKey,
    pub(super) main: Part,
    /// One after another, before the others.
    pub(super) init: Vec<Part>,
    /// Before main, and ended after it.
    pub(super) sidecars: Vec<Part>,
    pub(super) volumes: Vec<VolumeCreateRequest>,
    pub(super) network: Network,
    pub(super) runner: Option<Runner>,
    /// When a daemon is ready.
    pub(super) probe: Option<Looks>,
    /// Whether others ask for its address.
    pub(super) daemon: bool,
    /// When a container without a runner is out of time.
    pub(super) deadline: Option<Timestamp>,
    pub(super) credentials: Credentials,
}

/// The runner of a main container.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    /// What it is told. The command is the manifest's; where that has none, the image's is put in later.
    pub(super) spec: Spec,
    pub(super) arguments: Option<Vec<String>>,
    pub(super) script: Option<String>,
    pub(super) inputs: Vec<InputArtifact>,
    /// Whether its folder is a volume, as the root cannot be written.
    pub(super) in_volume: bool,
}

impl Plan {
    /// Whether it is more than one container that can be made at once.
    pub(super) fn has_parts(&self) -> bool {
        !self.init.is_empty() || !self.sidecars.is_empty()
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        [&self.main].into_iter().chain(&self.init).chain(&self.sidecars)
    }

    /// Makes the plan of a pod.
    pub(super) fn of(scene: &Scene<'_>, now: Timestamp) -> Result<Self, LaunchError> {
        let pod = scene.pod;
        let whole = whole::of(pod)?;
        possible(&whole.spec)?;
        let containers = || [&whole.main].into_iter().chain(&whole.init).chain(&whole.sidecars);
        let mounts: Vec<_> = containers().flat_map(|c| c.volume_mounts.iter().flatten()).collect();
        let volumes = Volumes::of(scene, &whole.volumes, &mounts)?;
        let has_ports = containers().any(|c| c.ports.as_ref().is_some_and(|ports| !ports.is_empty()));
        let alone = whole.init.is_empty() && whole.sidecars.is_empty();
        let listens = has_ports || !whole.sidecars.is_empty();
        let network = Network::of(scene.config, pod, &whole.spec, (listens, alone))?;
        let probe = probe(pod, &whole.main)?;
        let needs_runner = needs_runner(pod, probe.as_ref());
        if needs_runner && scene.config.runner.is_empty() {
            return Err(LaunchError::NotAllowed(format!(
                "template {} needs the runner in its container, and this tiphys was built without the static one (see \
                 docs/launchers/docker.md)",
                pod.template
            )));
        }
        let grace = whole.spec.termination_grace_period_seconds;
        let grace = grace.unwrap_or_else(|| i64::try_from(pod.grace.as_secs()).unwrap_or(i64::MAX));
        let common = Common {
            volumes: &volumes,
            network: &network,
            security: whole.spec.security_context.as_ref(),
            grace,
        };
        let parts = |all: &[Container], role: &str| {
            all.iter().map(|one| Part::of(scene, one, role, &common)).collect::<Result<Vec<_>, _>>()
        };
        let mut plan = Self {
            key: pod.key.clone(),
            main: Part::of(scene, &main(&whole), labels::MAIN, &common)?,
            init: parts(&whole.init, labels::INIT)?,
            sidecars: parts(&whole.sidecars, labels::SIDECAR)?,
            volumes: volumes.made.clone(),
            probe,
            runner: None,
            daemon: pod.pod.daemon,
            deadline: pod.deadline.filter(|_| !needs_runner),
            credentials: Credentials::of(&scene.secrets.registries),
            network,
        };
        if plan.has_parts() || !plan.volumes.is_empty() {
            plan.main.label(labels::PARTS, "true".to_owned());
        }
        if plan.daemon {
            plan.main.label(labels::DAEMON, "true".to_owned());
        }
        if let Some(probe) = &plan.probe {
            plan.main.label(labels::PROBE, probe.text());
        }
        if let Some(deadline) = plan.deadline {
            plan.main.label(labels::DEADLINE, deadline.to_string());
        }
        if needs_runner {
            plan.put_runner(scene, &whole.main, now);
        }
        Ok(plan)
    }

    /// Lets the runner carry out the main container.
    fn put_runner(&mut self, scene: &Scene<'_>, container: &Container, now: Timestamp) {
        let in_volume = self.main.host().readonly_rootfs == Some(true);
        if in_volume {
            let volume =
                Mount { target: Some(FOLDER.to_owned()), typ: Some(MountType::VOLUME), ..Mount::default() };
            self.main.host().mounts.get_or_insert_default().push(volume);
        }
        let body = &mut self.main.body;
        body.entrypoint = Some(vec![PROGRAM.to_owned(), STEP.to_owned()]);
        body.cmd = Some(Vec::new());
        body.stop_signal = Some("SIGTERM".to_owned());
        body.stop_timeout = body.stop_timeout.map(|grace| grace.saturating_add(GATHER));
        self.main.label(labels::RUNNER, "true".to_owned());
        self.runner = Some(Runner {
            spec: spec(scene, container, now),
            arguments: container.args.clone(),
            script: scene.pod.script.clone(),
            inputs: scene.pod.inputs.clone(),
            in_volume,
        });
    }
}

/// When a daemon is ready. Nobody asks for that of other pods.
fn probe(pod: &PodSpec, main: &Container) -> Result<Option<Looks>, LaunchError> {
    let probe = main.readiness_probe.as_ref().filter(|_| pod.pod.daemon);
    probe.map(|probe| Looks::of(probe, main)).transpose()
}

/// A plain step needs no runner, unless that has to look whether a daemon is ready.
fn needs_runner(pod: &PodSpec, probe: Option<&Looks>) -> bool {
    probe.is_some_and(|probe| probe.by_runner)
        || pod.script.is_some()
        || !pod.inputs.is_empty()
        || !pod.output_parameters.is_empty()
        || !pod.output_artifacts.is_empty()
        || pod.capture_result
        || pod.archive_logs
}

/// The main container; the limits of its whole pod are its own where it has none.
fn main(whole: &Whole) -> Container {
    let mut main = whole.main.clone();
    if main.resources.is_none() {
        main.resources = whole.spec.resources.clone();
    }
    main
}

/// What the runner is told.
fn spec(scene: &Scene<'_>, container: &Container, now: Timestamp) -> Spec {
    let pod = scene.pod;
    let command = container.command.clone().unwrap_or_default();
    Spec {
        key: pod.key.0.clone(),
        boot: String::new(),
        written: now,
        program: command.first().map(PathBuf::from).unwrap_or_default(),
        command,
        script: pod.script.is_some().then(|| format!("{STEP}/script").into()),
        work: PathBuf::new(),
        contained: true,
        inputs: pod.inputs.iter().map(|input| input.told(PathBuf::from(&input.path))).collect(),
        environment: Vec::new(),
        parameters: pod.told_parameters(|path| path.into()),
        artifacts: pod.told_artifacts(|path| path.into()),
        log_key: pod.log_key(),
        capture: pod.capture_result,
        keep_log: false,
        log_limit: scene.config.log_limit,
        deadline: pod.deadline,
        grace: u64::try_from(pod.grace.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Refuses by name what one engine cannot do. Where a pod is placed, and as which account, has no meaning on it.
fn possible(spec: &Kubernetes) -> Result<(), LaunchError> {
    let rows = [
        ("hostPID", spec.host_pid == Some(true)),
        ("hostIPC", spec.host_ipc == Some(true)),
        ("shareProcessNamespace", spec.share_process_namespace == Some(true)),
        ("runtimeClassName", spec.runtime_class_name.is_some()),
        ("resourceClaims", spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty())),
        ("ephemeralContainers", spec.ephemeral_containers.is_some()),
        ("activeDeadlineSeconds in podSpecPatch", spec.active_deadline_seconds.is_some()),
    ];
    match rows.into_iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((what, _)) => Err(LaunchError::NotAllowed(refused(what))),
    }
}
