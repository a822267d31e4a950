//! A kubelet that runs nothing: it says of each pod what the test wants said, at once. So tests of faults and benches
//! have thousands of pods, on a cluster without a node.

mod fate;
mod requests;
mod status;

pub use fate::Fate;

use std::collections::HashSet;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Config};
use tokio::sync::watch;

use crate::Kubernetes;
use crate::kubernetes::wait_for;
use requests::{Requests, Subject};

/// How often a node says that it is there. One that is silent is given up; see [`crate::kubernetes::Setup::hasty`].
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How a stub is put together.
#[derive(Clone, Debug)]
pub struct Stub {
    node: String,
    binds: bool,
}

/// A stub that runs. It is silent as soon as it is dropped, as a node is that has lost its network.
pub struct Kubelet {
    node: String,
    /// Whether pods may end that wait for a word; ends the stub when it is dropped.
    released: Option<watch::Sender<bool>>,
    taken: Arc<Mutex<Vec<Taken>>>,
    thread: Option<JoinHandle<()>>,
}

/// A pod that was given to the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taken {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What tells it from an earlier one of its name.
    pub uid: String,
}

impl Stub {
    /// What its thread is called, so that a bench can tell what it takes.
    pub const THREAD: &'static str = "stub-kubelet";

    /// A node with a name, to which the scheduler gives pods.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self { node: node.to_owned(), binds: false }
    }

    /// It takes every pod that has no node yet, and needs no scheduler.
    #[must_use]
    pub const fn binding(mut self) -> Self {
        self.binds = true;
        self
    }

    /// Makes the node, and takes its pods from now on; `fate` is asked once for each.
    ///
    /// # Panics
    /// When the node cannot be made.
    #[must_use]
    pub fn start(self, cluster: &Kubernetes, fate: impl Fn(&Pod) -> Fate + Send + Sync + 'static) -> Kubelet {
        let config = wait_for(async || {
            let config = cluster.config().await;
            register(&client(&config), &self.node).await;
            config
        });
        let (released, hears) = watch::channel(false);
        let taken = Arc::default();
        let node = self.node.clone();
        let work = Work { stub: self, fate: Box::new(fate), hears, taken: Arc::clone(&taken) };
        let run = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { work.run(&client(&config)).await });
        };
        let thread = std::thread::Builder::new().name(Self::THREAD.to_owned());
        let thread = thread.spawn(run).expect("a thread");
        Kubelet { node, released: Some(released), taken, thread: Some(thread) }
    }
}

impl Kubelet {
    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Ends the pods that wait for it, now and from now on.
    pub fn release(&self) {
        if let Some(released) = &self.released {
            released.send_replace(true);
        }
    }

    /// Every pod that the node was given until now, in the order in which it was.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        drop(self.released.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the stub has panicked");
        }
    }
}

impl fmt::Debug for Kubelet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kubelet").field("node", &self.node).finish_non_exhaustive()
    }
}

fn client(config: &Config) -> Client {
    Client::try_from(config.clone()).expect("a client")
}

async fn register(client: &Client, name: &str) {
    let nodes = Api::<Node>::all(client.clone());
    let made = serde_json::from_value(status::node(name)).expect("a node");
    match nodes.create(&PostParams::default(), &made).await {
        Err(kube::Error::Api(answer)) if answer.code == 409 => {}
        made => drop(made.expect("a node")),
    }
    beat(client, name).await.expect("the node's status");
}

async fn beat(client: &Client, name: &str) -> kube::Result<()> {
    let nodes = Api::<Node>::all(client.clone());
    nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(status::heartbeat())).await.map(drop)
}

struct Work {
    stub: Stub,
    fate: Box<dyn Fn(&Pod) -> Fate + Send + Sync>,
    hears: watch::Receiver<bool>,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// What the node knows of its pods, by uid.
#[derive(Default)]
struct Known {
    taken: HashSet<String>,
    deleted: HashSet<String>,
    bound: HashSet<String>,
}

impl Work {
    /// Runs until the handle is dropped.
    async fn run(self, client: &Client) {
        let node = self.stub.node.clone();
        let beats = async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                // A server that is away is no reason to stop: the next beat tells.
                let _ = beat(client, &node).await;
            }
        };
        let mut hears = self.hears.clone();
        let dropped = async { while hears.changed().await.is_ok() {} };
        tokio::select! {
            () = dropped => {}
            () = beats => {}
            () = self.watch(client) => {}
        }
    }

    async fn watch(&self, client: &Client) {
        let config = watcher::Config::default();
        let mine = format!("spec.nodeName={}", self.stub.node);
        let config = if self.stub.binds { config } else { config.fields(&mine) };
        let mut events = pin!(watcher(Api::<Pod>::all(client.clone()), config));
        let mut known = Known::default();
        let requests = Requests::new(client);
        let mut working = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(event) = events.next() => match event {
                    Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                        if let Some(work) = self.take_up(&mut known, &requests, &pod) {
                            working.push(work);
                        }
                    }
                    Ok(watcher::Event::Delete(pod)) => known.forget(&pod),
                    Ok(_) => {}
                    // The watcher begins again by itself, and in a hurry.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
                Some(()) = working.next() => {}
            }
        }
    }

    /// What is to be done about a pod, once.
    fn take_up<'a>(
        &'a self,
        known: &mut Known,
        requests: &'a Requests<'a>,
        pod: &Pod,
    ) -> Option<futures::future::LocalBoxFuture<'a, ()>> {
        let subject = Subject::of(pod)?;
        let uid = subject.taken.uid.clone();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        if node.is_none() && self.stub.binds {
            let node = &self.stub.node;
            return known
                .bound
                .insert(uid)
                .then(|| async move { requests.bind(&subject, node).await }.boxed_local());
        }
        if node != Some(&self.stub.node) {
            return None;
        }
        if pod.metadata.deletion_timestamp.is_some() {
            let runs = known.taken.contains(&uid) && !subject.ended;
            return known
                .deleted
                .insert(uid)
                .then(|| async move { requests.delete(&subject, runs).await }.boxed_local());
        }
        if subject.ended || !known.taken.insert(uid) {
            return None;
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(subject.taken.clone());
        let (fate, hears) = ((self.fate)(pod), self.hears.clone());
        Some(async move { requests.live(&subject, &fate, hears).await }.boxed_local())
    }
}

impl Known {
    fn forget(&mut self, pod: &Pod) {
        if let Some(uid) = &pod.metadata.uid {
            for known in [&mut self.taken, &mut self.deleted, &mut self.bound] {
                known.remove(uid);
            }
        }
    }
}
