//! An API server that misbehaves: a real one behind a proxy that refuses, delays, loses and forgets as a test says.
//! Clients talk plain HTTP to it, and may do everything.

mod fault;
mod serve;
mod stream;

pub use fault::Fault;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::kubernetes::{Request, kubeconfig, wait_for};
use crate::{Kubernetes, free_port};
use stream::Ending;

/// A proxy in front of an API server. Its watches end and its port is closed when it is dropped.
#[derive(Debug)]
pub struct Flaky {
    port: u16,
    shared: Arc<Shared>,
    mood: Option<watch::Sender<Mood>>,
    thread: Option<JoinHandle<()>>,
    folder: TempDir,
}

/// What a test has told the proxy to be like.
#[derive(Clone, Copy, Debug, Default)]
struct Mood {
    /// Nobody may connect, and nobody is connected.
    away: bool,
    /// Nothing of a watch passes.
    held: bool,
    /// Requests that are held pass.
    lets_go: bool,
    /// How many times watches were ended, and how they were the last time.
    ended: u64,
    ending: Ending,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Request>>,
}

struct Rule {
    left: usize,
    fault: Fault,
    concerns: Box<dyn Fn(&Request) -> bool + Send>,
}

impl Flaky {
    /// Stands in front of a cluster's API server, and passes everything on.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn before(cluster: &Kubernetes) -> Self {
        let mut config = wait_for(async || cluster.config().await);
        // What the server refuses is the client's business.
        config.default_retry = false;
        let (port, shared) = (free_port(), Arc::new(Shared::default()));
        let folder = tempfile::tempdir().expect("a folder");
        let told = kubeconfig(None, &format!("http://127.0.0.1:{port}"), &json!({}));
        std::fs::write(folder.path().join("kubeconfig"), told.to_string()).expect("a kubeconfig");
        let (mood, hears) = watch::channel(Mood::default());
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port");
        listener.set_nonblocking(true).expect("a port");
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let behind = Client::try_from(config).expect("a client");
                serve::serve(listener, behind, serving, hears).await;
            });
        });
        Self { port, shared, mood: Some(mood), thread: Some(thread), folder }
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A kubeconfig that leads to it.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// For clients that go through it. A client retries 429, 503 and 504 by itself, unless `default_retry` is `false`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn config(&self) -> Config {
        let told = kube::config::Kubeconfig::read_from(self.kubeconfig()).expect("a kubeconfig");
        Config::from_custom_kubeconfig(told, &KubeConfigOptions::default()).await.expect("a kubeconfig")
    }

    /// A client that goes through it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn client(&self) -> Client {
        Client::try_from(self.config().await).expect("a client")
    }

    /// Lets the next `times` requests that a test is concerned with meet a fault. Of several rules the first counts that
    /// has times left.
    pub fn inject(&self, times: usize, fault: Fault, concerns: impl Fn(&Request) -> bool + Send + 'static) {
        self.shared.rules().push(Rule { left: times, fault, concerns: Box::new(concerns) });
    }

    /// Forgets all rules.
    pub fn behave(&self) {
        self.shared.rules().clear();
    }

    /// Ends all watches, as a server does that wants the client to come again.
    pub fn close_watches(&self) {
        self.change(|mood| (mood.ended, mood.ending) = (mood.ended + 1, Ending::Quiet));
    }

    /// Ends all watches with 410 Gone: the client has to begin with a list.
    pub fn expire_watches(&self) {
        self.change(|mood| (mood.ended, mood.ending) = (mood.ended + 1, Ending::Gone));
    }

    /// Keeps back what watches tell, until [`Self::let_watches_go`]: clients know an older state than there is.
    pub fn hold_watches(&self) {
        self.change(|mood| mood.held = true);
    }

    /// Passes on what watches told meanwhile.
    pub fn let_watches_go(&self) {
        self.change(|mood| mood.held = false);
    }

    /// Passes on the requests that are [`Fault::Held`], and keeps none back any more.
    pub fn let_requests_go(&self) {
        self.change(|mood| mood.lets_go = true);
    }

    /// Breaks every connection, and takes none any more, as a machine does whose server has died.
    pub fn go_away(&self) {
        self.change(|mood| mood.away = true);
    }

    /// Takes connections again.
    pub fn come_back(&self) {
        self.change(|mood| mood.away = false);
    }

    /// What clients asked until now, and the status that they got; 0 where none came.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.shared.seen().clone()
    }

    fn change(&self, change: impl FnOnce(&mut Mood)) {
        if let Some(mood) = &self.mood {
            mood.send_modify(change);
        }
    }
}

impl Drop for Flaky {
    fn drop(&mut self) {
        drop(self.mood.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy has panicked");
        }
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Request>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that a request meets.
    fn fault(&self, request: &Request) -> Option<Fault> {
        let mut rules = self.rules();
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && (rule.concerns)(request))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    /// Takes note of a request; gives its place in the list.
    fn note(&self, request: &Request) -> usize {
        let mut seen = self.seen();
        seen.push(request.clone());
        seen.len() - 1
    }

    fn answered(&self, place: usize, status: u16) {
        self.seen()[place].status = status;
    }
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Rule")
            .field("left", &self.left)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
