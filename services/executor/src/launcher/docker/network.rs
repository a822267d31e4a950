//! Whose network a pod has.
//!
//! A network costs more than all the rest of a container. So the pods of a workflow join that of one container that does
//! nothing, the pause container, as the containers of a pod do in Kubernetes. They have one address then, and one set of
//! ports: a pod that listens (a daemon, one with sidecars or `ports`) gets a network of its own.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig};
use k8s_openapi::api::core::v1::PodSpec as Kubernetes;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::security::needs;
use super::{Config, LaunchError, PodSpec, labels, refused};

/// Longest name of a host.
const LONGEST_NAME: usize = 63;

/// The network of a pod.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Network {
    /// The host's.
    Host,
    /// The main container's own.
    Own(Names),
    /// That of a pause container.
    Joined(Box<Pause>),
}

/// A pause container.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pause {
    pub(super) name: String,
    pub(super) labels: HashMap<String, String>,
    pub(super) names: Names,
    /// Name of the host as its processes see it.
    hostname: Option<String>,
}

/// Where names are looked up.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Names {
    hosts: Vec<String>,
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

impl Network {
    /// Decides. `listens` says whether the pod has sidecars or ports; `alone` that it is one container.
    pub(super) fn of(
        config: &Config,
        pod: &PodSpec,
        spec: &Kubernetes,
        (listens, alone): (bool, bool),
    ) -> Result<Self, LaunchError> {
        if spec.host_network == Some(true) {
            return if config.trust_manifests && !config.restricted {
                Ok(Self::Host)
            } else {
                Err(LaunchError::NotAllowed(needs("hostNetwork")))
            };
        }
        let names = Names::of(config, spec)?;
        let shared = config.shared_network && !config.runner.is_empty() && !listens && !pod.pod.daemon;
        if shared {
            let told = json!([names.hosts, names.servers, names.searches, names.options]);
            let sum = Sha256::digest(format!("{} {told}", pod.workflow_uid));
            let pause = Pause {
                name: format!("{}pause-{}", config.prefix, hex::encode(&sum[..8])),
                labels: labels::of_workflow(config, pod, labels::PAUSE),
                names,
                hostname: None,
            };
            return Ok(Self::Joined(Box::new(pause)));
        }
        if alone {
            return Ok(Self::Own(names));
        }
        if config.runner.is_empty() {
            return Err(LaunchError::NotAllowed(format!(
                "template {} has sidecars or initContainers, and this tiphys was built without the static runner that \
                 holds a network for them (see docs/launchers/docker.md)",
                pod.template
            )));
        }
        let pause = Pause {
            name: format!("{}{}-pause", config.prefix, pod.key),
            labels: labels::of_pod(config, pod, labels::PAUSE),
            names,
            hostname: Some(host_name(pod)),
        };
        Ok(Self::Joined(Box::new(pause)))
    }

    /// Puts it into the settings of a container of the pod.
    pub(super) fn put(&self, config: &Config, host: &mut HostConfig) {
        match self {
            Self::Host => host.network_mode = Some("host".to_owned()),
            Self::Own(names) => names.put(config, host),
            Self::Joined(pause) => host.network_mode = Some(format!("container:{}", pause.name)),
        }
    }

    pub(super) fn hostname(&self, pod: &PodSpec) -> Option<String> {
        matches!(self, Self::Own(_)).then(|| host_name(pod))
    }

    pub(super) fn pause(&self) -> Option<&Pause> {
        match self {
            Self::Joined(pause) => Some(pause),
            _ => None,
        }
    }
}

/// As in a cluster: the pod's name, cut.
fn host_name(pod: &PodSpec) -> String {
    let name = pod.name.get(..LONGEST_NAME).unwrap_or(&pod.name);
    name.trim_end_matches('-').to_owned()
}

impl Pause {
    /// As the engine is asked for it. It may nothing but wait.
    pub(super) fn body(&self, config: &Config, image: &str) -> ContainerCreateBody {
        let mut host = HostConfig {
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
            pids_limit: Some(16),
            ..HostConfig::default()
        };
        self.names.put(config, &mut host);
        ContainerCreateBody {
            image: Some(image.to_owned()),
            hostname: self.hostname.clone(),
            entrypoint: Some(vec!["/tiphys-runner".to_owned(), "pause".to_owned()]),
            user: Some("65534:65534".to_owned()),
            labels: Some(self.labels.clone()),
            stop_timeout: Some(1),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        }
    }
}

impl Names {
    fn of(config: &Config, spec: &Kubernetes) -> Result<Self, LaunchError> {
        let aliases = spec.host_aliases.iter().flatten();
        let mut hosts: Vec<String> = aliases
            .flat_map(|alias| alias.hostnames.iter().flatten().map(|name| format!("{name}:{}", alias.ip)))
            .collect();
        hosts.extend(config.host_name.iter().map(|name| format!("{name}:host-gateway")));
        let mut names = Self { hosts, ..Self::default() };
        if let Some(dns) = &spec.dns_config {
            names.servers = dns.nameservers.clone().unwrap_or_default();
            names.searches = dns.searches.clone().unwrap_or_default();
            let options = dns.options.iter().flatten().filter_map(|option| {
                let name = option.name.clone()?;
                Some(option.value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}:{value}")))
            });
            names.options = options.collect();
        }
        if spec.dns_policy.as_deref() == Some("None") && names.servers.is_empty() {
            return Err(LaunchError::Missing(
                "dnsPolicy None needs nameservers in dnsConfig: name some, or leave it out".into(),
            ));
        }
        if spec.hostname.is_some() || spec.subdomain.is_some() {
            return Err(LaunchError::NotAllowed(refused("hostname and subdomain")));
        }
        Ok(names)
    }

    fn put(&self, config: &Config, host: &mut HostConfig) {
        let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        host.network_mode = config.network.clone();
        host.extra_hosts = some(&self.hosts);
        host.dns = some(&self.servers);
        host.dns_search = some(&self.searches);
        host.dns_options = some(&self.options);
    }
}
