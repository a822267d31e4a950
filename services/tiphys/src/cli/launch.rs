//! Where steps run, and as whom Tiphys acts in a cluster.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use http::uri::Authority;
use serde_json::{Map, Value};
use tiphys_executor::launcher::docker;
use tiphys_executor::launcher::kubernetes::ImageVolume;
use tiphys_kit::kubernetes::Accounts;

use crate::exit::{Code, Failure};

/// Where steps may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LauncherChoice {
    /// In containers where a Docker engine answers; on the host only where a manifest opts in by the annotation
    /// `tiphys.dev/launcher: process`
    Auto,
    /// Everything on the host
    Process,
    /// Everything in containers of a Docker engine
    Docker,
    /// Everything in pods of a Kubernetes cluster
    Kubernetes,
}

/// Whether the image with the runner is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunnerVolume {
    /// Where all nodes are known to be able to
    Auto,
    /// As a volume
    Always,
    /// Copied by an init container
    Never,
}

impl From<RunnerVolume> for ImageVolume {
    fn from(choice: RunnerVolume) -> Self {
        match choice {
            RunnerVolume::Auto => Self::Auto,
            RunnerVolume::Always => Self::Always,
            RunnerVolume::Never => Self::Never,
        }
    }
}

/// Where manifests come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CatalogChoice {
    /// The folder
    Directory,
    /// Objects of a Kubernetes cluster; workflows are shown there as objects, with their status
    Kubernetes,
}

/// Where manifests come from, and what is driven of them.
#[derive(Debug, Clone, Args)]
pub(crate) struct CatalogArgs {
    /// Where manifests come from
    #[arg(long, value_enum, default_value = "directory")]
    pub(crate) catalog: CatalogChoice,
    /// Drive also what a controller of Argo that runs in the cluster works on
    #[arg(long, requires = "catalog")]
    pub(crate) argo_too: bool,
}

impl CatalogArgs {
    /// Whether manifests are objects of the cluster.
    pub(crate) fn of_cluster(&self) -> bool {
        self.catalog == CatalogChoice::Kubernetes
    }
}

/// Where steps run, and what they may.
#[derive(Debug, Clone, Args)]
pub(crate) struct LaunchArgs {
    /// Where steps may run
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) launcher: LauncherChoice,
    /// At most so many steps run at once; others wait, Pending. If absent 256, and in a cluster as many as it takes
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<NonZeroUsize>,
    /// Containers and pods get a read-only root, no capabilities and no new privileges, whatever their manifests say
    #[arg(long)]
    pub(crate) restricted: bool,
    /// Address of the Docker engine, unix:// or tcp://; if absent the engine of this machine
    #[arg(long, env = "DOCKER_HOST", value_name = "URL")]
    pub(crate) docker_host: Option<String>,
    /// Containers may mount folders of the host (`hostPath`) and be `privileged`: who may write a workflow then owns the host
    #[arg(long)]
    pub(crate) trust_manifests: bool,
    /// How to reach the Kubernetes cluster; if absent KUBECONFIG, ~/.kube/config, or the pod's own account
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Another context of the kubeconfig than its current one
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Service accounts that workflows and sensors may act as when they change objects of the cluster, joined by commas;
    /// either part may end in `*`
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAMESPACE/NAME,…")]
    pub(crate) service_accounts: Accounts,
    /// Image that holds the runner, for pods with inputs, scripts or outputs. If absent Tiphys lays the runner down in
    /// ConfigMaps
    #[arg(long, env = "TIPHYS_RUNNER_IMAGE", value_name = "IMAGE")]
    pub(crate) runner_image: Option<String>,
    /// Whether that image is mounted as a volume, or else copied from by an init container
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(crate) runner_volume: RunnerVolume,
    /// Image with a shell, gzip and sha256sum, whose init container takes the runner out of ConfigMaps
    #[arg(long, env = "TIPHYS_UNPACK_IMAGE", default_value = "busybox:1", value_name = "IMAGE")]
    pub(crate) unpack_image: String,
    /// What the init container that brings the runner asks for and may take, as Kubernetes' `resources` in JSON; {} says
    /// nothing. If absent 10m and 16Mi, at most 200m and 64Mi
    #[arg(long, value_name = "JSON")]
    pub(crate) runner_resources: Option<Resources>,
    /// File that tells what images run by themselves, as Argo's setting `images`: NAME: {entrypoint: […], cmd: […]}
    #[arg(long, value_name = "FILE")]
    pub(crate) images: Option<PathBuf>,
    /// HOST:PORT under which pods reach this process (--host and --port), encrypted; http://HOST:PORT: not encrypted. If
    /// absent their results come through the API server
    #[arg(long, value_name = "[http://]HOST:PORT")]
    pub(crate) pods_reach: Option<Reach>,
    /// PEM file with the certificate that runners of pods see, for the host of --pods-reach, and those of its authorities
    /// behind it; if absent one is made
    #[arg(long, value_name = "FILE", requires = "pods_key", requires = "pods_reach")]
    pub(crate) pods_certificate: Option<PathBuf>,
    /// PEM file with the key of --pods-certificate
    #[arg(long, value_name = "FILE", requires = "pods_certificate")]
    pub(crate) pods_key: Option<PathBuf>,
}

/// Where pods reach us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    /// `HOST:PORT`.
    pub(crate) authority: Authority,
    /// Whether they ask by TLS.
    pub(crate) encrypted: bool,
}

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let encrypted = match scheme {
            "https" => true,
            "http" => false,
            _ => {
                return Err(format!("`{scheme}` is no way to reach us; name HOST:PORT, or http://HOST:PORT"));
            }
        };
        let authority = rest.trim_end_matches('/').parse::<Authority>().ok();
        let authority = authority.filter(|found| found.port_u16().is_some() && !found.as_str().contains('@'));
        let authority = authority.ok_or("name host and port, as in tiphys.argo.svc:2746")?;
        Ok(Self { authority, encrypted })
    }
}

/// Kubernetes' ResourceRequirements.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resources(pub(crate) Map<String, Value>);

impl FromStr for Resources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted =
            r#"name requests and limits, as in {"requests": {"cpu": "10m"}, "limits": {"memory": "64Mi"}}"#;
        let table: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("{error}; {wanted}"))?;
        let known = |(name, value): (&String, &Value)| {
            matches!(name.as_str(), "requests" | "limits") && value.is_object()
        };
        if table.iter().all(known) { Ok(Self(table)) } else { Err(wanted.to_owned()) }
    }
}

impl LaunchArgs {
    /// How many steps may run at once. A machine has its limits; in a cluster the scheduler knows better.
    pub(crate) fn at_once(&self) -> usize {
        const OF_A_MACHINE: usize = 256;
        match self.steps {
            Some(steps) => steps.get(),
            None if self.launcher == LauncherChoice::Kubernetes => usize::MAX,
            None => OF_A_MACHINE,
        }
    }

    /// Whether containers may be started.
    pub(crate) const fn wants_engine(&self) -> bool {
        matches!(self.launcher, LauncherChoice::Auto | LauncherChoice::Docker)
    }

    /// Refuses what could not be done however long it is tried.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if !self.wants_engine() {
            return Ok(());
        }
        let host = docker::Config::host(self.docker_host.as_deref());
        docker::Config::check_host(&host).map_err(|told| {
            let other = "or choose another --launcher";
            Failure::new(Code::Usage, format!("{told}, {other}"))
        })
    }

    /// Whether a cluster is used at all: nobody's is without being asked for.
    pub(crate) fn wants_cluster(&self) -> bool {
        self.launcher == LauncherChoice::Kubernetes
            || self.kubeconfig.is_some()
            || self.context.is_some()
            || !self.service_accounts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_reach_us_encrypted_unless_said_otherwise() {
        for (text, authority, encrypted) in [
            ("tiphys:2746", "tiphys:2746", true),
            ("https://192.0.2.7:443/", "192.0.2.7:443", true),
            ("http://[2001:db8::7]:80", "[2001:db8::7]:80", false),
        ] {
            let reach: Reach = text.parse().unwrap();
            assert_eq!((reach.authority.as_str(), reach.encrypted), (authority, encrypted));
        }
        for text in ["tiphys", "ftp://tiphys:21", "https://tiphys:443/path", "me@tiphys:2746", ""] {
            assert!(text.parse::<Reach>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_engine_is_asked_only_where_it_can_be() {
        use clap::Parser as _;
        for (host, launcher, good) in [
            ("unix:///run/docker.sock", "docker", true),
            ("tcp://127.0.0.1:2375", "auto", true),
            ("http://127.0.0.1:2375", "auto", true),
            ("", "docker", true),
            ("ssh://me@there", "docker", false),
            ("ssh://me@there", "auto", false),
            ("https://there:2376", "docker", false),
            ("/run/docker.sock", "docker", false),
            ("ssh://me@there", "process", true),
            ("ssh://me@there", "kubernetes", true),
        ] {
            let words = ["tiphys", "dev", "--launcher", launcher, "--docker-host", host];
            let crate::cli::Command::Dev(args) = crate::cli::Cli::parse_from(words).command else { panic!() };
            let checked = args.launch.check();
            assert_eq!(checked.is_ok(), good, "{host} {launcher}");
            if let Err(failure) = checked {
                assert_eq!(failure.code, Code::Usage);
                assert!(failure.message.contains("DOCKER_HOST"), "{}", failure.message);
            }
        }
    }

    #[test]
    fn resources_are_requests_and_limits() {
        for (text, good) in
            [("{}", true), (r#"{"limits": {"cpu": 1}}"#, true), (r#"{"cpu": 1}"#, false), ("1Gi", false)]
        {
            assert_eq!(text.parse::<Resources>().is_ok(), good, "{text}");
        }
    }
}
