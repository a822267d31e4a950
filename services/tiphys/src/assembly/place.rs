//! Where steps run: processes, containers or pods, as the command line and the manifests say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tiphys_core::Clock;
use tiphys_executor::launcher::docker;
use tiphys_executor::launcher::kubernetes;
use tiphys_executor::launcher::process::{self, ProcessLauncher};
use tiphys_executor::launcher::resource::ResourceLauncher;
use tiphys_executor::launcher::several::{Opener, Places, Several};
use tiphys_executor::launcher::{ArtifactStore, Launcher};
use tiphys_kit::kubernetes::{Cluster, Settings};
use tiphys_kit::{CancellationToken, Health};

use super::certificate::{self, Certificate};
use super::contained::{self, Containers, Given, Pods, RunnerRoutes};
use crate::cli::{LaunchArgs, LauncherChoice};
use crate::data::DataFolder;

/// What steps find around them.
pub(crate) struct Surroundings<'a> {
    /// The data folder.
    pub(crate) data: &'a DataFolder,
    /// Folder of manifests.
    pub(crate) manifests: &'a Path,
    /// Address of the API.
    pub(crate) server: String,
    /// Address of the webhooks.
    pub(crate) webhooks: String,
    /// Where steps may run.
    pub(crate) args: &'a LaunchArgs,
    /// The cluster, where one is used.
    pub(crate) cluster: Option<&'a Cluster>,
    /// The namespace that pods are in, where there are no others.
    pub(crate) namespace: Option<&'a str>,
    /// Which Tiphys containers and pods belong to.
    pub(crate) installation: String,
    /// The namespace whose pods do, where those of all may not be seen.
    pub(crate) preferred: Option<&'a str>,
    /// Where the runners of pods ask.
    pub(crate) routes: RunnerRoutes,
    /// Where it is told whether the servers of containers and pods answer.
    pub(crate) health: Health,
}

/// The launchers of an executor.
pub(crate) struct Launchers {
    /// All as one.
    pub(crate) launcher: Arc<dyn Launcher>,
    /// So many steps may run at once.
    pub(crate) at_once: usize,
    process: Option<Arc<ProcessLauncher>>,
    watching: CancellationToken,
}

impl Launchers {
    /// Ends watching; the steps go on.
    pub(crate) async fn drain(&self, grace: Duration) {
        self.watching.cancel();
        if let Some(process) = &self.process {
            process.drain(grace).await;
        }
    }
}

/// The cluster that the command line asks for, if it does.
pub(crate) async fn cluster(args: &LaunchArgs, catalog: bool) -> anyhow::Result<Option<Cluster>> {
    if !catalog && !args.wants_cluster() {
        return Ok(None);
    }
    let settings = Settings {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        accounts: args.service_accounts.clone(),
    };
    Ok(Some(Cluster::open(settings).await.context("the Kubernetes cluster")?))
}

/// Where steps run, for a person. What does not answer may do so later.
pub(crate) fn where_steps_run(args: &LaunchArgs, cluster: Option<&Cluster>) -> String {
    let host = docker::Config::host(args.docker_host.as_deref());
    let engine = || {
        let there = contained::is_there(&host);
        (format!("containers of the Docker engine at {host}"), there)
    };
    match (args.launcher, cluster) {
        (LauncherChoice::Process, _) => "processes of this machine".to_owned(),
        (LauncherChoice::Docker, _) => match engine() {
            (containers, true) => containers,
            (containers, false) => format!("{containers}, which does not answer; they wait for it"),
        },
        (LauncherChoice::Auto, _) => match engine() {
            (containers, true) => format!("{containers}; processes of this machine where a manifest opts in"),
            (_, false) => format!(
                "processes of this machine where a manifest opts in; no Docker engine answers at {host}, so other steps are refused"
            ),
        },
        (LauncherChoice::Kubernetes, Some(cluster)) => {
            let context = args.context.as_ref().map(|name| format!(" (context {name})")).unwrap_or_default();
            format!(
                "pods of the cluster at {}{context}, in the namespaces of their workflows",
                cluster.server()
            )
        }
        (LauncherChoice::Kubernetes, None) => "pods".to_owned(),
    }
}

/// The certificate by which runners of pods know us, where pods reach us encrypted.
pub(crate) fn runner_certificate(
    data: &DataFolder,
    args: &LaunchArgs,
) -> anyhow::Result<Option<Certificate>> {
    let files = args.pods_certificate.as_deref().zip(args.pods_key.as_deref());
    certificate::of(&data.token()?, args.pods_reach.as_ref(), files)
}

impl Surroundings<'_> {
    /// The launchers.
    pub(crate) async fn launchers(
        &self,
        store: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Launchers> {
        let watching = CancellationToken::new();
        let given = Given { store: store.clone(), clock: clock.clone(), stop: watching.clone() };
        let process = match self.args.launcher {
            LauncherChoice::Auto | LauncherChoice::Process => {
                Some(self.process(store.clone(), clock.clone(), watching.clone()).await?)
            }
            LauncherChoice::Docker | LauncherChoice::Kubernetes => None,
        };
        let resource = self.cluster.map(|cluster| {
            let made = ResourceLauncher::new(cluster.clone(), store.clone(), clock.clone(), watching.clone());
            Arc::new(made) as Arc<dyn Launcher>
        });
        let places = Places {
            host: process.clone().map(|process| process as Arc<dyn Launcher>),
            all_on_host: self.args.launcher == LauncherChoice::Process,
            contained: self.contained(&given)?,
            resource,
        };
        let launcher = Arc::new(Several::open(places, watching.clone()).await);
        Ok(Launchers { launcher, at_once: self.args.at_once(), process, watching })
    }

    /// The launcher of containers or pods, opened later.
    fn contained(&self, given: &Given) -> anyhow::Result<Option<Box<dyn Opener>>> {
        match (self.args.launcher, self.cluster) {
            (LauncherChoice::Kubernetes, Some(cluster)) => Ok(Some(Box::new(self.pods(cluster, given)?))),
            (LauncherChoice::Auto | LauncherChoice::Docker, _) => Ok(Some(Box::new(self.containers(given)?))),
            (LauncherChoice::Kubernetes | LauncherChoice::Process, _) => Ok(None),
        }
    }

    fn containers(&self, given: &Given) -> anyhow::Result<Containers> {
        let runner = tiphys_payload::runner().unwrap_or_default();
        let host = docker::Config::host(self.args.docker_host.as_deref());
        let folder = self.data.path().join("docker");
        let config = docker::Config::new(host, runner.into(), folder, self.installation.clone());
        let reached = config.host_name.as_ref().map(|name| format!("{name}:{}", self.port()));
        let config = docker::Config {
            environment: self.reached_at(reached.as_deref()),
            restricted: self.args.restricted,
            trust_manifests: self.args.trust_manifests,
            health: self.health.clone(),
            ..config
        };
        Ok(Containers { config, given: given.clone(), wanted: self.args.launcher == LauncherChoice::Docker })
    }

    /// The port of the API.
    fn port(&self) -> u16 {
        let uri = self.server.parse::<http::Uri>().ok();
        uri.and_then(|uri| uri.port_u16()).unwrap_or(80)
    }

    fn pods(&self, cluster: &Cluster, given: &Given) -> anyhow::Result<Pods> {
        let args = self.args;
        let reach = args.pods_reach.as_ref().map(|reach| reach.authority.to_string());
        let images = args.images.as_deref().map(contained::images).transpose()?;
        // Whoever has it may start steps; what is made of it serves one step each, and no other purpose.
        let key = format!("{}/runners", self.data.token()?);
        let installation = self.installation.clone();
        let usual = kubernetes::Config::new(installation, key.into(), self.data.path().join("on-the-way"));
        let resources = args.runner_resources.clone().map(|resources| resources.0);
        let config = kubernetes::Config {
            runner: contained::runner_source(args)?,
            runner_resources: resources.unwrap_or(usual.runner_resources),
            images: images.unwrap_or_default(),
            environment: self.reached_at(reach.as_deref()),
            address: reach,
            certificate: runner_certificate(self.data, args)?.map(|certificate| certificate.text),
            restricted: args.restricted,
            health: self.health.clone(),
            namespaces: self.namespace.map(str::to_owned).into_iter().collect(),
            ..usual
        };
        let routes = self.routes.clone();
        let preferred = self.preferred.map(str::to_owned);
        Ok(Pods { config, cluster: cluster.clone(), given: given.clone(), routes, preferred })
    }

    /// What steps elsewhere are told: where they reach us, if they do.
    fn reached_at(&self, authority: Option<&str>) -> BTreeMap<String, String> {
        let mut all = self.variables(None);
        if let Some(authority) = authority {
            for address in all.values_mut() {
                *address = format!("http://{authority}");
            }
        }
        all
    }

    /// What every step is told. Paths are those of this machine, and so only for steps that run on it.
    fn variables(&self, shared: Option<&Path>) -> BTreeMap<String, String> {
        let mut all =
            vec![("TIPHYS_SERVER", self.server.clone()), ("TIPHYS_WEBHOOKS", self.webhooks.clone())];
        if let Some(shared) = shared {
            all.push(("TIPHYS_MANIFESTS", self.manifests.display().to_string()));
            all.push(("TIPHYS_SHARED", shared.display().to_string()));
        }
        all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Reads the logs of steps, wherever they run, and starts none. Where it may not look at pods, `health` tells why.
    pub(crate) async fn reader(
        &self,
        store: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
        health: &Health,
    ) -> anyhow::Result<Arc<dyn Launcher>> {
        let given = Given { store, clock, stop: stop.clone() };
        let contained: Option<Box<dyn Opener>> = match (self.args.launcher, self.cluster) {
            (LauncherChoice::Kubernetes, Some(cluster)) => {
                let mut pods = self.pods(cluster, &given)?;
                pods.config.only_reads = true;
                pods.config.health = health.clone();
                Some(Box::new(pods))
            }
            _ => self.contained(&given)?,
        };
        let places = Places {
            host: Some(Arc::new(process::LogReader::new(self.data.steps()))),
            all_on_host: false,
            contained,
            resource: None,
        };
        Ok(Arc::new(Several::open(places, stop).await))
    }

    /// The launcher of processes.
    async fn process(
        &self,
        store: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<ProcessLauncher>> {
        let shared = self.data.path().join("shared");
        std::fs::create_dir_all(&shared)?;
        let variable =
            |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
        let exe = std::env::current_exe()?;
        let exe = exe.to_str().ok_or_else(|| anyhow!("the path of this program is not UTF-8"))?;
        let config = process::Config {
            policy: match self.args.launcher {
                LauncherChoice::Process => process::Policy::Process,
                _ => process::Policy::Auto,
            },
            extra_path: Some(self.data.bin()?),
            environment: self.variables(Some(&shared)),
            inheritable: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?.into()))
                })
                .collect(),
            ..process::Config::new(
                self.data.steps(),
                vec![exe.to_owned(), "runner".to_owned()],
                variable("PATH", "/usr/local/bin:/usr/bin:/bin"),
                variable("HOME", "/"),
                tiphys_runner::proc::boot_id()?,
            )
        };
        Ok(Arc::new(ProcessLauncher::open(config, store, clock, stop).await?))
    }
}
