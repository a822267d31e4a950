//! A real Kubernetes: etcd, API server, controller manager and scheduler, and, where a test wants pods that run, a node
//! with containerd and a kubelet. It asks no registry for anything: images are made here.
//!
//! The node has namespaces of its own for processes, mounts and network, with one link to the machine. So tests, the API
//! server and pods reach each other, pods reach nothing else, and all of it is gone when the cluster is.

mod ask;
mod audit;
mod guard;
mod image;
mod keys;
mod kubectl;
mod node;
mod parts;
mod setup;
mod volume;

pub use audit::Request;
pub use image::{busybox_folder, image};
pub use node::NODE;
pub use parts::Part;
pub use setup::Setup;
pub use volume::Volumes;

pub(crate) use ask::wait_for;
pub(crate) use keys::kubeconfig;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use kube::{Client, Config};
use rustix::process::Signal;
use serde_json::{Value, json};

use guard::Guard;
use keys::Authority;
use node::Node;
use parts::Parts;

/// How long a part may take to start, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running cluster. It ends when it is dropped, or when the test's process has ended.
#[derive(Debug)]
pub struct Kubernetes {
    folder: PathBuf,
    url: String,
    authority: Authority,
    kubeconfig: Value,
    arguments: HashMap<Part, Vec<String>>,
    running: Mutex<Running>,
    node: Option<Node>,
    namespaces: AtomicU32,
}

#[derive(Debug)]
struct Running {
    parts: Parts,
    guard: Option<Guard>,
}

/// Starts a cluster without a node: pods are kept, and never run.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn kubernetes() -> Option<Kubernetes> {
    Setup::new().start()
}

/// Starts a cluster with a node, on which pods run; only root can.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn kubernetes_with_node() -> Option<Kubernetes> {
    Setup::new().node().start()
}

/// A cluster with a node and an audit log that all tests of a program share. Each has a [`Kubernetes::namespace`] of its
/// own there, and stops no part of it.
///
/// # Panics
/// When it does not start, or is missing under CI.
pub fn shared() -> Option<&'static Kubernetes> {
    static SHARED: OnceLock<Option<Kubernetes>> = OnceLock::new();
    // Who asks first tells for himself why there is none.
    let mut told = false;
    let shared = SHARED.get_or_init(|| {
        told = true;
        Setup::new().node().audited().start()
    });
    if shared.is_none() && !told {
        crate::skipped("no node of Kubernetes can run here, as another test of this suite says");
    }
    shared.as_ref()
}

impl Kubernetes {
    /// Where the API server answers, for tests and for pods that have no service account.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of who vouches for the API server, as PEM.
    #[must_use]
    pub fn authority(&self) -> String {
        self.authority.pem()
    }

    /// A kubeconfig of somebody who may do everything.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// A kubeconfig of a service account, with a token for an hour.
    ///
    /// # Panics
    /// When there is no such account.
    #[must_use]
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.ask(async |client| ask::token(client, namespace, account).await);
        let config = keys::kubeconfig(Some(&self.authority.pem()), &self.url, &json!({"token": token}));
        let file = self.folder.join(format!("{namespace}.{account}.kubeconfig"));
        std::fs::write(&file, config.to_string()).expect("a kubeconfig");
        file
    }

    /// For clients of somebody who may do everything.
    pub async fn config(&self) -> Config {
        ask::config(&self.kubeconfig).await
    }

    /// For clients of a user who may do everything, under a name by which [`Self::requests`] tells whose they are.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn config_as(&self, user: &str) -> Config {
        let shown = self.authority.client(user, Some("system:masters"));
        ask::config(&shown.kubeconfig(&self.authority, &self.url)).await
    }

    /// A client of somebody who may do everything. It belongs to the runtime that it was made in.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn client(&self) -> Client {
        Client::try_from(self.config().await).expect("a client")
    }

    /// Makes a namespace that nobody else has, with its service account `default`.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn namespace(&self) -> String {
        let name = format!("test-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.ask(async |client| ask::make_namespace(client, &name).await);
        self.await_account(&name);
        name
    }

    /// The address under which pods reach servers that a test starts on it, or on all addresses.
    ///
    /// # Panics
    /// When the cluster has no node.
    #[must_use]
    pub const fn gateway(&self) -> Ipv4Addr {
        self.node.as_ref().expect("a cluster with a node").machine()
    }

    /// Loads an archive of images into the node, such as [`image`] makes.
    ///
    /// # Panics
    /// When it cannot.
    pub fn import(&self, archive: &Path) {
        node::import(&self.folder, archive);
    }

    /// Makes an image of a folder and loads it into the node; see [`image`]. Pods that name it with the tag `latest`, or
    /// with none, have to say `imagePullPolicy: IfNotPresent`.
    ///
    /// # Panics
    /// When it cannot.
    pub fn import_folder(&self, name: &str, folder: &Path, config: &Value) {
        let place = tempfile::tempdir_in(&self.folder).expect("a folder");
        self.import(&image(place.path(), &[name], folder, config));
    }

    /// What was asked of the API server until now, where the cluster is audited.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        audit::read(&self.folder.join("audit.log"))
    }

    /// Where a part logs.
    #[must_use]
    pub fn log(&self, part: Part) -> PathBuf {
        self.running().parts.log(part)
    }

    /// The number of a part's process, unless it was killed.
    #[must_use]
    pub fn process(&self, part: Part) -> Option<u32> {
        self.running().parts.id(part)
    }

    /// Ends a part at once, as `kill -9` does. Containers and pods go on without theirs.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self, part: Part) {
        self.running().parts.kill(part);
    }

    /// Starts a part that was killed, where it was before.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub fn start(&self, part: Part) {
        let mut running = self.running();
        let node = self.node.as_ref().filter(|_| matches!(part, Part::Containerd | Part::Kubelet));
        let id = running.parts.start(part, &self.arguments[&part], node);
        // What runs in the node dies with it.
        if let (None, Some(guard)) = (node, running.guard.as_mut()) {
            guard.process(id);
        }
        drop(running);
        match part {
            Part::ApiServer => self.until("the API server", async |client| ask::ready(client).await),
            Part::Containerd => self.until("containerd", async |_| node::answers(&self.folder)),
            _ => {}
        }
    }

    /// Stops a part without ending it: it keeps its connections and is silent.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self, part: Part) {
        self.running().parts.signal(part, Signal::STOP);
    }

    /// Lets a part that was frozen go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self, part: Part) {
        self.running().parts.signal(part, Signal::CONT);
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn await_account(&self, namespace: &str) {
        self.until("a service account", async |client| ask::has_account(client, namespace).await);
    }

    fn ask<T: Send>(&self, question: impl AsyncFnOnce(&Client) -> T + Send) -> T {
        ask::wait_for(async || question(&ask::client(&self.kubeconfig).await).await)
    }

    /// Asks until the answer is yes, and every part still runs.
    fn until(&self, what: &str, question: impl AsyncFn(&Client) -> bool + Sync) {
        self.ask(async |client| {
            let deadline = Instant::now() + PATIENCE;
            while !question(client).await {
                self.running().parts.check();
                assert!(Instant::now() < deadline, "waited too long for: {what}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        drop(running.guard.take());
        running.parts.bury();
        if let Some(node) = &mut self.node {
            node.bury();
        }
    }
}
