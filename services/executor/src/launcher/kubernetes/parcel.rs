//! The runner in a pod: where it is needed, how it gets there, and what it is told. Pure.
//!
//! Where a step has inputs, a script or outputs, its main container runs the runner, and that runs the command. The program
//! comes from an image of its own, as a volume where the cluster has image volumes, else copied by an init container; or, where
//! no such image is named, from ConfigMaps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tiphys_core::Timestamp;
use tiphys_runner::Spec;
use tiphys_runner::pod::{Content, Order, PROGRAM, Parcel, Placed, SCRIPT, VARIABLE};

use super::pod::{MAIN, add, literal, main_of};
use super::shelf::{Shelf, Thing};
use super::token::{Keys, Verb};
use super::{Config, ImageVolume, RunnerImage, RunnerSource};
use crate::launcher::{ArtifactSource, LaunchError, PodSpec};

/// Where the runner's volume is mounted.
const VOLUME: &str = "/.tiphys";
/// The runner's folder in it.
pub(super) const FOLDER: &str = "/.tiphys/run";
/// Where an image volume is mounted.
const IMAGE: &str = "/.tiphys-image";
/// Where its pieces are mounted.
const PIECES: &str = "/.tiphys-pieces";
/// Names of the volumes, and of the init container.
pub(super) const NAME: &str = "tiphys-runner";
const IMAGE_NAME: &str = "tiphys-runner-image";
const PIECES_NAME: &str = "tiphys-runner-pieces";
/// A variable may be no longer: Linux has 128 KiB for one.
const INLINE: usize = 96 << 10;
/// The runner has so long to tell of a command that had to be killed.
const MARGIN: Duration = Duration::from_secs(2);

/// What became of a pod.
pub(super) enum Parcelled {
    /// It needs no runner.
    Plain,
    /// It has one.
    Runner {
        /// It must be connected to.
        relay: bool,
        /// What was too long for the pod, to be put into the store before.
        stored: Option<Vec<u8>>,
    },
}

/// Whether the runner is needed.
fn needed(spec: &PodSpec) -> bool {
    spec.script.is_some() || !spec.inputs.is_empty() || has_outputs(spec)
}

fn has_outputs(spec: &PodSpec) -> bool {
    spec.capture_result
        || spec.archive_logs
        || !spec.output_parameters.is_empty()
        || !spec.output_artifacts.is_empty()
}

/// The program in the main container.
fn program(config: &Config) -> String {
    match &config.runner {
        Some(RunnerSource::Image(runner)) if runner.volume == ImageVolume::Always => {
            format!("{IMAGE}{}", runner.program)
        }
        _ => format!("{VOLUME}/{PROGRAM}"),
    }
}

/// Puts the runner into a pod that needs it.
pub(super) fn wrap(
    spec: &PodSpec,
    config: &Config,
    now: Timestamp,
    pod: &mut Map<String, Value>,
) -> Result<Parcelled, LaunchError> {
    if !needed(spec) {
        return Ok(Parcelled::Plain);
    }
    let Some(main) = main_of(pod) else { return Ok(Parcelled::Plain) };
    let command = command(spec, config, main)?;
    let keys = Keys::new(&config.key);
    let (order, stored) = order(spec, config, &keys, parcel(spec, config, &keys, command, now))?;
    main.insert("command".into(), json!([program(config), "pod", FOLDER]));
    main.remove("args");
    main.insert("terminationMessagePath".into(), json!("/dev/termination-log"));
    add(main, "env", json!({"name": VARIABLE, "value": literal(&order)}));
    add(main, "volumeMounts", json!({"name": NAME, "mountPath": VOLUME}));
    bring(config, spec, pod)?;
    let fetches = stored.is_some()
        || spec.inputs.iter().any(|input| matches!(input.from, ArtifactSource::Stored { .. }));
    let relay = config.address.is_none() && (fetches || has_outputs(spec));
    Ok(Parcelled::Runner { relay, stored })
}

/// Adds the volumes, and what fills them.
fn bring(config: &Config, spec: &PodSpec, pod: &mut Map<String, Value>) -> Result<(), LaunchError> {
    let Some(source) = &config.runner else {
        return Err(LaunchError::NotAllowed(format!(
            "template {} has a script, inputs or outputs, for which its pod needs the runner, which this build of Tiphys \
             has not, and no image is set that holds it (`--runner-image`)",
            spec.template
        )));
    };
    add(pod, "volumes", json!({"name": NAME, "emptyDir": {}}));
    match source {
        RunnerSource::Image(runner) if runner.volume == ImageVolume::Always => mount(runner, pod),
        RunnerSource::Image(runner) => {
            let mut container =
                json!({"image": runner.image, "command": [runner.program, "install", VOLUME]});
            if let Some(policy) = &runner.pull_policy {
                container["imagePullPolicy"] = json!(policy);
            }
            install(config, container, pod);
        }
        RunnerSource::Packed(packed) => {
            add(pod, "volumes", packed.volume(PIECES_NAME));
            let pieces = json!({"name": PIECES_NAME, "mountPath": PIECES, "readOnly": true});
            let container = json!({
                "image": packed.image,
                "command": packed.command(PIECES, VOLUME),
                "volumeMounts": [pieces],
            });
            install(config, container, pod);
        }
    }
    Ok(())
}

/// Mounts the image that holds it.
fn mount(runner: &RunnerImage, pod: &mut Map<String, Value>) {
    let mut image = json!({"reference": runner.image});
    if let Some(policy) = &runner.pull_policy {
        image["pullPolicy"] = json!(policy);
    }
    add(pod, "volumes", json!({"name": IMAGE_NAME, "image": image}));
    if let Some(main) = main_of(pod) {
        add(main, "volumeMounts", json!({"name": IMAGE_NAME, "mountPath": IMAGE, "readOnly": true}));
    }
}

/// Lets a container bring it before all others.
fn install(config: &Config, mut container: Value, pod: &mut Map<String, Value>) {
    // As the step's user, where the pod may run as nobody else.
    let mut security = Map::new();
    let own = main_of(pod).and_then(|main| main.get("securityContext")).and_then(Value::as_object);
    for name in ["runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile"] {
        if let Some(value) = own.and_then(|own| own.get(name)) {
            security.insert(name.into(), value.clone());
        }
    }
    security.insert("allowPrivilegeEscalation".into(), json!(false));
    security.insert("readOnlyRootFilesystem".into(), json!(true));
    security.insert("capabilities".into(), json!({"drop": ["ALL"]}));
    if let Value::Object(container) = &mut container {
        container.insert("name".into(), json!(NAME));
        container.insert("securityContext".into(), Value::Object(security));
        add(container, "volumeMounts", json!({"name": NAME, "mountPath": VOLUME}));
        if !config.runner_resources.is_empty() {
            container.insert("resources".into(), json!(config.runner_resources));
        }
    }
    if let Value::Array(list) = pod.entry("initContainers").or_insert_with(|| json!([])) {
        list.insert(0, container);
    }
}

/// Command and arguments, which must be known: the runner takes their place.
fn command(spec: &PodSpec, config: &Config, main: &Map<String, Value>) -> Result<Vec<String>, LaunchError> {
    let texts = |name: &str| {
        let list = main.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
        list.map(|list| list.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect::<Vec<_>>())
    };
    let image = main.get("image").and_then(Value::as_str).unwrap_or_default();
    let known = config.images.get(image);
    let (mut command, arguments) = match (texts("command"), known) {
        (Some(command), _) => (command, texts("args").unwrap_or_default()),
        (None, Some(known)) => {
            (known.entrypoint.clone(), texts("args").unwrap_or_else(|| known.arguments.clone()))
        }
        (None, None) => {
            return Err(LaunchError::Missing(format!(
                "template {}: image {image} brings its own command, which is not known here, and the runner has to \
                 start it, as the step has a script, inputs or outputs; name it as `command:`, or list it in the \
                 file of `--images`",
                spec.template
            )));
        }
    };
    command.extend(arguments);
    Ok(command)
}

/// What the runner is started with, and what is to be put into the store before.
fn order(
    spec: &PodSpec,
    config: &Config,
    keys: &Keys,
    parcel: Parcel,
) -> Result<(String, Option<Vec<u8>>), LaunchError> {
    let told =
        |error: serde_json::Error| LaunchError::Missing(format!("the step cannot be written: {error}"));
    let mut order = Order {
        address: address(config),
        certificate: config.certificate.clone(),
        patience: u64::try_from(config.patience.as_millis()).unwrap_or(u64::MAX),
        parcel: Placed::Here(Box::new(parcel)),
    };
    let text = serde_json::to_string(&order).map_err(told)?;
    if literal(&text).len() <= INLINE {
        return Ok((text, None));
    }
    let shelf = Shelf::of(keys, &spec.key, spec.keeps.as_deref(), Thing::Parcel);
    let target = keys.target(Verb::Get, &spec.key, shelf.asked());
    let placed = std::mem::replace(&mut order.parcel, Placed::At(target));
    let stored = match placed {
        Placed::Here(parcel) => Some(serde_json::to_vec(&parcel).map_err(told)?),
        Placed::At(_) => None,
    };
    Ok((serde_json::to_string(&order).map_err(told)?, stored))
}

/// Whom the runner asks. A runner that knows of no encryption does not find what is written so, and tells no token.
fn address(config: &Config) -> Option<String> {
    let address = config.address.as_ref()?;
    Some(if config.certificate.is_some() { format!("https://{address}") } else { address.clone() })
}

fn parcel(spec: &PodSpec, config: &Config, keys: &Keys, command: Vec<String>, now: Timestamp) -> Parcel {
    let put = |key: &str| keys.target(Verb::Put, &spec.key, key);
    let shelf = |thing| Shelf::of(keys, &spec.key, spec.keeps.as_deref(), thing);
    let contents = spec.inputs.iter().map(|input| match &input.from {
        ArtifactSource::Raw(text) => Content::Raw(text.clone()),
        ArtifactSource::Stored { key, .. } => Content::At(keys.target(Verb::Get, &spec.key, key)),
    });
    let log_key = spec.log_key();
    Parcel {
        script: spec.script.clone(),
        inputs: contents.collect(),
        uploads: spec
            .output_artifacts
            .iter()
            .map(|wanted| put(&wanted.key))
            .chain(log_key.as_deref().map(put))
            .collect(),
        report: put(shelf(Thing::Report).asked()),
        log: config.address.is_some().then(|| put(shelf(Thing::Log).asked())),
        spec: runner_spec(spec, config, command, log_key, now),
    }
}

fn runner_spec(
    spec: &PodSpec,
    config: &Config,
    command: Vec<String>,
    log_key: Option<String>,
    now: Timestamp,
) -> Spec {
    let grace = spec.grace.saturating_sub(MARGIN.min(spec.grace / 5));
    Spec {
        key: spec.key.0.clone(),
        boot: String::new(),
        written: now,
        program: command.first().map(PathBuf::from).unwrap_or_default(),
        command,
        script: spec.script.is_some().then(|| Path::new(FOLDER).join(SCRIPT)),
        work: PathBuf::new(),
        contained: true,
        inputs: spec.inputs.iter().map(|input| input.told(PathBuf::from(&input.path))).collect(),
        environment: Vec::new(),
        parameters: spec.told_parameters(|path| path.into()),
        artifacts: spec.told_artifacts(|path| path.into()),
        log_key,
        capture: spec.capture_result,
        keep_log: config.address.is_some(),
        log_limit: config.log_limit,
        // The kubelet keeps the deadline.
        deadline: None,
        grace: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The command that connects to the runner of a pod.
pub(super) const fn relay(program: &str) -> [&str; 3] {
    [program, "relay", FOLDER]
}

/// The container in which the runner is.
pub(super) const CONTAINER: &str = MAIN;
