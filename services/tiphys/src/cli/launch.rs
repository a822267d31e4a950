//! Where steps run, and as whom Tiphys acts in a cluster.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tiphys_kit::kubernetes::Accounts;

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

/// Where manifests come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CatalogChoice {
    /// The folder
    Directory,
    /// Objects of a Kubernetes cluster; the status of Workflows is written back
    Kubernetes,
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
    /// Image that holds the runner, for pods with inputs, scripts or outputs
    #[arg(long, env = "TIPHYS_RUNNER_IMAGE", value_name = "IMAGE")]
    pub(crate) runner_image: Option<String>,
    /// HOST:PORT under which pods reach this process (--host and --port); if absent their results come through the API
    /// server
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) pods_reach: Option<String>,
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

    /// Whether a cluster is used at all: nobody's is without being asked for.
    pub(crate) fn wants_cluster(&self) -> bool {
        self.launcher == LauncherChoice::Kubernetes
            || self.kubeconfig.is_some()
            || self.context.is_some()
            || !self.service_accounts.is_empty()
    }
}
