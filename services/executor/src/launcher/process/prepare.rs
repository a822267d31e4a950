//! Before a step runs: may it, what exactly is run, and its folder.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use secrecy::ExposeSecret;
use serde::Deserialize;
use tiphys_core::Timestamp;
use tiphys_runner::{Spec, Variable, spec};

use super::folder::{Folder, Found};
use super::input::Contents;
use super::{Config, LaunchError, PodSpec, Policy, SecretEnvironment, environment, input, unavailable};
use crate::scratch::Scratch;

/// What matters here of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    image: Option<String>,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
    env: Option<Vec<environment::Entry>>,
    working_dir: Option<String>,
}

impl Container {
    fn of(pod: &PodSpec) -> Result<Self, LaunchError> {
        Self::deserialize(&pod.container).map_err(|error| {
            LaunchError::Missing(format!("the container of template {}: {error}", pod.template))
        })
    }

    fn image(&self) -> &str {
        self.image.as_deref().unwrap_or("(none)")
    }
}

/// Refuses a step that may not run on the host.
pub(super) fn allowed(policy: Policy, pod: &PodSpec) -> Result<(), LaunchError> {
    if pod.process_allowed || policy == Policy::Process {
        return possible(pod);
    }
    Err(LaunchError::NotAllowed(format!(
        "template {} wants image {}, and there is nothing here that runs images: no Docker engine is started whose \
         socket this user may open. To run it as a process of this host, without the image, annotate the workflow or \
         the template with `tiphys.dev/launcher: process`, or start tiphys with `--launcher process`",
        pod.template,
        Container::of(pod)?.image()
    )))
}

/// Refuses what a process cannot be given. Where a pod is placed, and with which limits, has no meaning on one host: `lint`
/// tells the author of that (docs/launchers/process.md).
fn possible(pod: &PodSpec) -> Result<(), LaunchError> {
    let main = |name: &str| pod.container.get(name).and_then(serde_json::Value::as_array);
    let rows = [
        ("volumeMounts", main("volumeMounts").is_some_and(|mounts| !mounts.is_empty())),
        ("volumeDevices", main("volumeDevices").is_some_and(|devices| !devices.is_empty())),
        ("initContainers", pod.pod.spec.contains_key("initContainers")),
        ("sidecars", !pod.pod.sidecars.is_empty()),
        ("resourceClaims", pod.pod.spec.contains_key("resourceClaims")),
    ];
    match rows.iter().find(|(_, used)| *used) {
        None => Ok(()),
        Some((what, _)) => Err(LaunchError::NotAllowed(format!(
            "TIP-EXE-101: template {} uses {what}, which a process of this host cannot have; run it in containers \
             (`--launcher docker`) or pods (`--launcher kubernetes`)",
            pod.template
        ))),
    }
}

/// Makes the folder ready for a runner, durably, unless it is already. Returns when that was.
pub(super) fn folder(
    config: &Config,
    (folder, drafts): (&Folder, &Scratch),
    pod: &PodSpec,
    secrets: &SecretEnvironment,
    contents: Contents,
    now: Timestamp,
) -> Result<Timestamp, LaunchError> {
    match folder.look() {
        Ok(Found::Ready(spec)) => return Ok(spec.written),
        Ok(Found::Nothing) if folder.path.exists() => {
            folder.clear(drafts.next()).map_err(|error| unavailable(&error))?;
        }
        _ => {}
    }
    // Another process may be at the same: each makes a whole one, and one of them is moved into place.
    let draft = folder.draft(drafts.next());
    draft.create().map_err(|error| unavailable(&error))?;
    let filled = fill(config, &draft, pod, secrets, &contents, now);
    if filled.is_err() {
        let _ = draft.discard();
    }
    filled?;
    draft.publish().map_err(|error| unavailable(&error))?;
    match folder.look() {
        Ok(Found::Ready(spec) | Found::Claimed(spec, _)) => Ok(spec.written),
        _ => Ok(now),
    }
}

fn fill(
    config: &Config,
    folder: &Folder,
    pod: &PodSpec,
    secrets: &SecretEnvironment,
    contents: &Contents,
    now: Timestamp,
) -> Result<(), LaunchError> {
    input::place(folder, pod, contents)?;
    let spec = spec_of(config, folder, pod, secrets, now)?;
    write(folder, pod, &spec).map_err(|error| unavailable(&error))
}

/// Writes the files that the runner and the step expect; `spec.json` last, and synced.
fn write(folder: &Folder, pod: &PodSpec, spec: &Spec) -> io::Result<()> {
    let outputs = spec.parameters.iter().map(|wanted| &wanted.path);
    for path in outputs.chain(spec.artifacts.iter().map(|wanted| &wanted.path)) {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(folder.now(parent))?;
        }
    }
    std::fs::create_dir_all(folder.now(&spec.work))?;
    if let (Some(source), Some(path)) = (&pod.script, &spec.script) {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(folder.now(path))?;
        file.write_all(source.as_bytes())?;
    }
    let mut file = tiphys_runner::durable::create(&folder.now(&folder.file(spec::FILE)))?;
    file.write_all(&serde_json::to_vec(spec)?)?;
    file.sync_all()
}

fn spec_of(
    config: &Config,
    folder: &Folder,
    pod: &PodSpec,
    secrets: &SecretEnvironment,
    now: Timestamp,
) -> Result<Spec, LaunchError> {
    let container = Container::of(pod)?;
    let entries = container.env.as_deref().unwrap_or_default();
    let variables = environment::of_step(config, pod, entries, secrets)?;
    let work = work(folder, container.working_dir.as_deref());
    let mut command = container.command.clone().unwrap_or_default();
    let Some(program) = command.first() else {
        return Err(LaunchError::Missing(format!(
            "template {} names no command: image {} brings its own, which is not known on the host; name it as \
             `command:`",
            pod.template,
            container.image()
        )));
    };
    let program = find(&environment::put_in(program, &variables), &variables, &work, folder)
        .map_err(|why| LaunchError::Missing(format!("template {}: {why}", pod.template)))?;
    command.extend(container.args.unwrap_or_default());
    Ok(Spec {
        key: pod.key.0.clone(),
        boot: config.boot.clone(),
        written: now,
        program,
        command,
        script: pod.script.is_some().then(|| folder.script()),
        work,
        contained: false,
        inputs: Vec::new(),
        environment: variables,
        parameters: pod.told_parameters(|path| folder.path_of(path)),
        artifacts: pod.told_artifacts(|path| folder.path_of(path)),
        log_key: pod.log_key(),
        capture: pod.capture_result,
        keep_log: false,
        log_limit: config.log_limit,
        deadline: pod.deadline,
        grace: u64::try_from(pod.grace.as_millis()).unwrap_or(u64::MAX),
    })
}

/// `workingDir` names a place in the step's own files, where something was put there, else one of the host.
fn work(folder: &Folder, wanted: Option<&str>) -> PathBuf {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return folder.work();
    };
    let own = folder.path_of(wanted);
    if !folder.now(&own).is_dir() && Path::new(wanted).is_absolute() && Path::new(wanted).is_dir() {
        return wanted.into();
    }
    own
}

/// The file of a program. Errors are texts for the user.
fn find(name: &str, variables: &[Variable], work: &Path, folder: &Folder) -> Result<PathBuf, String> {
    let runnable = |path: &Path| {
        folder.now(path).metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let path = work.join(name);
        return if runnable(&path) {
            Ok(path)
        } else {
            Err(format!("there is no program {name} on this host"))
        };
    }
    let path = environment::path(variables);
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| work.join(folder).join(name))
        .find(|path| runnable(path))
        .ok_or_else(|| format!("program {name} is not installed on this host (PATH is {path})"))
}

/// Spawns the runner. Its environment holds the secrets and nothing else.
pub(super) fn spawn(
    config: &Config,
    folder: &Folder,
    pod: &PodSpec,
    secrets: &SecretEnvironment,
) -> Result<Child, LaunchError> {
    let mut runner = config.runner.iter();
    let mut command = Command::new(runner.next().map_or("tiphys-runner", String::as_str));
    command
        .args(runner)
        .arg(&folder.path)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for (name, value) in secrets {
        command.env(format!("{}{name}", spec::SECRET_PREFIX), value.expose_secret());
    }
    command.spawn().map_err(|error| match error.kind() {
        ErrorKind::ArgumentListTooLong => LaunchError::Missing(format!(
            "template {}: its secrets are larger than an environment may be",
            pod.template
        )),
        ErrorKind::InvalidInput => LaunchError::Missing(format!(
            "template {}: a secret cannot be handed over as a variable: {error}",
            pod.template
        )),
        _ => LaunchError::Unavailable(format!("the runner could not be started: {error}")),
    })
}
