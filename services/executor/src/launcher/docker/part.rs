//! One container of a pod, as the engine is asked for it.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig};
use k8s_openapi::api::core::v1::{Container, PodSecurityContext};

use super::files::Upload;
use super::image::Policy;
use super::network::Network;
use super::security::Contexts;
use super::volumes::Volumes;
use super::{Config, LaunchError, PodSpec, Secrets, environment, labels, limits, refused};

/// What a pod is made from.
pub(super) struct Scene<'a> {
    pub(super) config: &'a Config,
    pub(super) pod: &'a PodSpec,
    pub(super) secrets: &'a Secrets,
    /// Name of the engine's host.
    pub(super) node: &'a str,
}

/// What the containers of a pod have in common.
pub(super) struct Common<'a> {
    pub(super) volumes: &'a Volumes,
    pub(super) network: &'a Network,
    pub(super) security: Option<&'a PodSecurityContext>,
    /// Seconds between TERM and KILL.
    pub(super) grace: i64,
}

/// A container to be made.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Its name at the engine.
    pub(super) name: String,
    /// Its name in the manifest.
    pub(super) called: String,
    pub(super) image: String,
    pub(super) policy: Policy,
    pub(super) body: ContainerCreateBody,
    pub(super) uploads: Vec<Upload>,
    /// Whether it may not be root, and nothing says who else it is: the image has to.
    pub(super) not_root: bool,
}

impl Part {
    /// Refuses by name what a container of Docker cannot be given.
    pub(super) fn of(
        scene: &Scene<'_>,
        container: &Container,
        role: &str,
        common: &Common<'_>,
    ) -> Result<Self, LaunchError> {
        possible(container)?;
        let config = scene.config;
        let image = container.image.clone().unwrap_or_default();
        if image.is_empty() {
            let text =
                format!("container {} of template {} names no image", container.name, scene.pod.template);
            return Err(LaunchError::Missing(text));
        }
        let contexts = Contexts { own: container.security_context.as_ref(), pod: common.security };
        let variables = environment::of(scene, container)?;
        let mounted = common.volumes.mounted(container, contexts.read_only(config))?;
        let mut host = HostConfig {
            mounts: (!mounted.mounts.is_empty()).then_some(mounted.mounts),
            log_config: Some(log(config)),
            ..HostConfig::default()
        };
        limits::put(config, container.resources.as_ref(), &mut host)?;
        contexts.put(config, &mut host)?;
        common.network.put(config, &mut host);
        let expanded = |texts: &Option<Vec<String>>| {
            let texts = texts.as_ref().filter(|texts| !texts.is_empty())?;
            Some(texts.iter().map(|text| variables.put_in(text)).collect())
        };
        let user = contexts.user();
        let not_root = contexts.must_not_be_root();
        if not_root && user.as_ref().is_some_and(|user| user == "0" || user.starts_with("0:")) {
            return Err(LaunchError::NotAllowed(root(&container.name)));
        }
        let body = ContainerCreateBody {
            image: Some(image.clone()),
            hostname: common.network.hostname(scene.pod),
            env: Some(variables.lines()),
            entrypoint: expanded(&container.command),
            cmd: expanded(&container.args),
            working_dir: container.working_dir.clone().filter(|folder| !folder.is_empty()),
            ..ContainerCreateBody::default()
        };
        Ok(Self {
            name: name(config, scene.pod, role, &container.name),
            called: container.name.clone(),
            policy: Policy::of(container.image_pull_policy.as_deref())?,
            not_root: not_root && user.is_none(),
            body: ContainerCreateBody {
                user,
                labels: Some(labels::of_pod(config, scene.pod, role)),
                stop_timeout: Some(common.grace),
                // A cluster does not ask the image for its health either.
                healthcheck: Some(HealthConfig {
                    test: Some(vec!["NONE".to_owned()]),
                    ..HealthConfig::default()
                }),
                open_stdin: container.stdin,
                host_config: Some(host),
                ..body
            },
            image,
            uploads: mounted.uploads,
        })
    }

    pub(super) fn host(&mut self) -> &mut HostConfig {
        self.body.host_config.get_or_insert_default()
    }

    pub(super) fn label(&mut self, name: &str, value: String) {
        self.body.labels.get_or_insert_default().insert(name.to_owned(), value);
    }
}

/// The name of a pod's container at the engine.
fn name(config: &Config, pod: &PodSpec, role: &str, called: &str) -> String {
    let main = main_name(config, &pod.key);
    if role == labels::MAIN { main } else { format!("{main}-{called}") }
}

/// The name of a pod's main container at the engine.
pub(super) fn main_name(config: &Config, key: &tiphys_core::PodKey) -> String {
    format!("{}{key}", config.prefix)
}

/// Why a container that must not be root is not started.
pub(super) fn root(container: &str) -> String {
    format!(
        "container {container} has runAsNonRoot and would run as root; say who it is by securityContext.runAsUser"
    )
}

/// Said by name, whatever the engine's own default is: so the log can be read again.
fn log(config: &Config) -> HostConfigLogConfig {
    let options = [("max-size", config.log_limit.to_string()), ("max-file", "1".to_owned())];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(
            options.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<HashMap<_, _>>(),
        ),
    }
}

fn possible(container: &Container) -> Result<(), LaunchError> {
    let rows = [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("restartPolicy of a container", container.restart_policy.is_some()),
        ("tty", container.tty == Some(true)),
    ];
    match rows.into_iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((what, _)) => Err(LaunchError::NotAllowed(refused(what))),
    }
}
