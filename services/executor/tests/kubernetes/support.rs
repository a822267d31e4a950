//! A launcher on the shared cluster, in a namespace of its own, and pods for it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde_json::{Value, json};
use tiphys_core::{PodKey, SystemClock};
use tiphys_executor::artifact::LocalStore;
use tiphys_executor::launcher::kubernetes::{
    Config, ImageVolume, KubernetesLauncher, RunnerImage, RunnerSource,
};
use tiphys_executor::launcher::{
    ArtifactStore, Launcher, LogLine, PodOptions, PodResult, PodSpec, PodState, Secrets,
};
use tiphys_kit::{CancellationToken, Tasks};
use tiphys_servers::Kubernetes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

/// Longer than anything takes, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// The image that holds the runner.
const RUNNER: &str = "tiphys.test/runner:1";

/// A namespace of a cluster.
pub(crate) struct Stage {
    pub(crate) cluster: &'static Kubernetes,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: Config,
}

/// A launcher as one run of Tiphys has it.
pub(crate) struct Run {
    pub(crate) launcher: Arc<KubernetesLauncher>,
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) changes: mpsc::Receiver<PodKey>,
    stop: CancellationToken,
}

impl Stage {
    /// On the cluster that all tests share. None where there is none.
    pub(crate) async fn new() -> Option<Self> {
        static RUNNER_IMAGE: OnceLock<()> = OnceLock::new();
        let cluster = tiphys_servers::kubernetes::shared()?;
        RUNNER_IMAGE.get_or_init(|| import_runner(cluster));
        Some(Self::on(cluster).await)
    }

    pub(crate) async fn on(cluster: &'static Kubernetes) -> Self {
        let namespace = cluster.namespace();
        let dir = tempfile::tempdir().unwrap();
        let mut config =
            Config::new(namespace.clone(), "secret of the installation".into(), dir.path().join("scratch"));
        config.namespaces = vec![namespace.clone()];
        config.runner = Some(RunnerSource::Image(RunnerImage {
            image: RUNNER.into(),
            program: "/tiphys-runner".into(),
            pull_policy: Some("Never".into()),
            volume: ImageVolume::Never,
        }));
        Self { cluster, client: cluster.client().await, namespace, dir, config }
    }

    /// The image that brings the runner.
    pub(crate) fn image(&mut self) -> &mut RunnerImage {
        match &mut self.config.runner {
            Some(RunnerSource::Image(image)) => image,
            other => panic!("no image: {other:?}"),
        }
    }

    pub(crate) async fn run(&self) -> Run {
        self.run_with(self.client.clone(), self.config.clone()).await
    }

    pub(crate) async fn run_with(&self, client: Client, config: Config) -> Run {
        let store = Arc::new(LocalStore::open(&self.dir.path().join("artifacts")).unwrap());
        self.run_on(client, config, store).await
    }

    /// With another store.
    pub(crate) async fn run_on(&self, client: Client, config: Config, store: Arc<dyn ArtifactStore>) -> Run {
        let stop = CancellationToken::new();
        let clock = Arc::new(SystemClock);
        let launcher = KubernetesLauncher::open(config, client, store.clone(), clock, stop.clone());
        let launcher = Arc::new(launcher.await.unwrap());
        let changes = launcher.changes().unwrap();
        Run { launcher, store, changes, stop }
    }

    /// Serves runners at an address, which the config names from then on; the launcher is there for it.
    pub(crate) async fn dialled(&mut self) -> Run {
        let listener = TcpListener::bind((self.cluster.gateway(), 0)).await.unwrap();
        self.config.address = Some(listener.local_addr().unwrap().to_string());
        self.dialled_on(listener).await
    }

    /// The same, where somebody listens already; the server ends with the launcher.
    pub(crate) async fn dialled_on(&self, listener: TcpListener) -> Run {
        let run = self.run().await;
        let (routes, stop) = (run.launcher.runner_routes(), run.stop.clone());
        Tasks::new(stop.clone()).spawn("serve", async move {
            tokio::select! {
                served = axum::serve(listener, routes) => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        run
    }

    /// The same, encrypted.
    pub(crate) async fn encrypted(&mut self) -> Run {
        let (listener, certificate) = Tls::listen(self.cluster.gateway()).await;
        self.config.address = Some(listener.address().to_string());
        self.config.certificate = Some(certificate);
        let run = self.run().await;
        let routes = run.launcher.runner_routes();
        Tasks::new(run.stop.clone()).spawn("serve", async move {
            axum::serve(listener, routes).await.unwrap();
        });
        run
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pod of an attempt as the cluster has it.
    pub(crate) async fn object(&self, pod: &PodSpec) -> Option<Value> {
        self.pods().get_opt(&pod.name).await.unwrap().map(|pod| json!(pod))
    }

    /// A pod that runs a shell script, without a runner.
    pub(crate) fn pod(&self, name: &str, script: &str) -> PodSpec {
        self.pod_of(name, json!({"image": "busybox:1", "command": ["sh", "-c"], "args": [script]}))
    }

    pub(crate) fn pod_of(&self, name: &str, container: Value) -> PodSpec {
        PodSpec {
            key: PodKey::derive(&self.namespace, name, 0),
            name: format!("wf-{name}-1"),
            namespace: self.namespace.clone(),
            workflow: "wf".into(),
            workflow_uid: format!("uid-{}", self.namespace),
            node_id: format!("wf-{name}"),
            template: name.into(),
            labels: BTreeMap::from([("app".into(), "scan".into())]),
            container,
            pod: PodOptions { node_name: format!("wf.{name}"), ..PodOptions::default() },
            grace: Duration::from_secs(5),
            ..PodSpec::default()
        }
    }

    /// Requests of this client about the namespace, as `verb resource`, watches and lists left out.
    pub(crate) fn requests(&self) -> Vec<String> {
        let all = self.cluster.requests();
        let own = all.iter().filter(|request| request.namespace == self.namespace && request.user == "admin");
        let own = own.filter(|request| !matches!(request.verb.as_str(), "watch" | "list"));
        own.map(|request| format!("{} {}", request.verb, request.resource)).collect()
    }
}

/// Accepts connections by TLS.
pub(crate) struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Listens with a certificate that is made for it, and tells that in PEM.
    pub(crate) async fn listen(host: Ipv4Addr) -> (Self, String) {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let made = rcgen::generate_simple_self_signed(vec![host.to_string()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        (Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) }, made.cert.pem())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn import_runner(cluster: &Kubernetes) {
    let folder = tempfile::tempdir().unwrap();
    let runner = tiphys_payload::runner().expect("a runner that is linked statically");
    let place = folder.path().join("tiphys-runner");
    std::fs::write(&place, runner).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
    cluster.import_folder(RUNNER, folder.path(), &json!({}));
}

impl Run {
    pub(crate) async fn start(&self, pod: &PodSpec) {
        self.launcher.start(pod, Secrets::default()).await.unwrap();
    }

    /// Starts a pod and waits for what comes of it.
    pub(crate) async fn through(&mut self, pod: &PodSpec) -> PodResult {
        self.start(pod).await;
        self.end_of(&pod.key).await
    }

    /// Waits for the end of a pod.
    pub(crate) async fn end_of(&mut self, key: &PodKey) -> PodResult {
        let ended = |state| if let PodState::Ended(result) = state { Some(*result) } else { None };
        self.until(key, "its end", ended).await
    }

    pub(crate) async fn running(&mut self, key: &PodKey) {
        let runs = |state| matches!(state, PodState::Running { .. }).then_some(());
        self.until(key, "that it runs", runs).await;
    }

    /// Waits for a state of a pod, looking at it when it changed.
    pub(crate) async fn until<T>(
        &mut self,
        key: &PodKey,
        what: &str,
        wanted: impl Fn(PodState) -> Option<T>,
    ) -> T {
        let mut last = PodState::Unknown;
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                last = self.launcher.observe(key).await.unwrap();
                if let Some(found) = wanted(last.clone()) {
                    return found;
                }
                self.changes.recv().await.unwrap();
            }
        });
        let waited = waited.await;
        waited.unwrap_or_else(|_| panic!("waited too long for {what}: {last:?}"))
    }

    /// What Tiphys does when it ends; the pods go on.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        assert!(self.launcher.drain(PATIENCE).await);
    }

    pub(crate) async fn lines(&self, key: &PodKey) -> Vec<LogLine> {
        self.launcher.logs(key, 0, usize::MAX).await.unwrap()
    }

    pub(crate) async fn texts(&self, key: &PodKey) -> Vec<String> {
        self.lines(key).await.into_iter().map(|line| line.text).collect()
    }
}

/// Asks until there is an answer; for what the cluster tells nobody.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited too long: {what}"))
}

/// An address where nobody listens.
pub(crate) fn nowhere() -> String {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().to_string()
}
