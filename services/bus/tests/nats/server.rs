//! A NATS server of a test's own, on a port and in a folder that nobody else has.
#![allow(dead_code, reason = "each suite uses a part")]

use std::future::Future;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tiphys_bus::jetstream::{self, JetStreamConfig};
use tiphys_bus::{Bus, Options};

const START: Duration = Duration::from_secs(30);

/// Rules that a NATS server cannot keep, and why.
const LEFT_OUT: [(&str, &str); 5] = [
    ("ids_are_forgotten_after_the_window", CLOCK),
    ("stored_time_never_runs_backwards", CLOCK),
    ("old_messages_go", CLOCK),
    ("a_jump_of_the_clock_removes_nothing", CLOCK),
    ("full_by_bytes", "the server counts subjects, headers and its own overhead as bytes too"),
];
const CLOCK: &str = "the server goes by its own clock, which no test can move";

/// Whether a rule is left out; says why.
pub(crate) fn leaves_out(rule: &str) -> bool {
    if let Some((_, why)) = LEFT_OUT.iter().find(|(left_out, _)| *left_out == rule) {
        eprintln!("LEFT OUT for JetStream: {rule}: {why}");
        return true;
    }
    is_missing()
}

/// Whether there is no server to start. That fails under CI, and is said loudly elsewhere.
pub(crate) fn is_missing() -> bool {
    if program().is_some() {
        return false;
    }
    assert!(std::env::var_os("CI").is_none(), "nats-server is missing; `tests/run` installs it");
    eprintln!("SKIPPED: nats-server is missing; `tests/run` installs it");
    true
}

/// Waits for a future where nothing may be awaited.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// The server's program, of the tools folder or of PATH.
fn program() -> Option<PathBuf> {
    let tools = std::env::var_os("TIPHYS_TEST_TOOLS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache/tiphys/tools"));
    let tools = tools.or(home).map(|tools| tools.join("python/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = tools.into_iter().chain(std::env::split_paths(&path));
    folders.find_map(|folder| Some(folder.join("nats-server")).filter(|file| file.is_file()))
}

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
    more: &'static str,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// Starts a server that syncs each write, on an empty folder.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with more lines in its configuration.
    pub(crate) fn start_with(more: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = launch(&folder, -1, more);
        let mut server = Self { child, port: 0, folder, more };
        server.port = server.wait_for_port();
        server
    }

    /// Starts it again on the same port and folder.
    pub(crate) fn revive(&mut self) {
        self.child = launch(&self.folder, self.port.into(), self.more);
        self.wait_for_port();
    }

    /// Kills it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A bus on this server.
    pub(crate) async fn open(&self, options: Options) -> Arc<dyn Bus> {
        let config = JetStreamConfig::new(self.url(), "test");
        jetstream::open(config, options).await.unwrap()
    }

    /// The server writes its ports into a file once it listens.
    fn wait_for_port(&mut self) -> u16 {
        let deadline = Instant::now() + START;
        loop {
            let file = format!("nats-server_{}.ports", self.child.id());
            let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
            let ports: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let url = ports.pointer("/nats/0").and_then(serde_json::Value::as_str);
            if let Some(port) = url.and_then(|url| url.rsplit(':').next()?.parse().ok()) {
                return port;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                panic!("nats-server ended: {status}: {}", log.unwrap_or_default());
            }
            assert!(Instant::now() < deadline, "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn launch(folder: &TempDir, port: i32, more: &str) -> Child {
    let config = folder.path().join("nats.conf");
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {:?}, sync_interval: always, max_mem: 64MB, max_file: 1GB }}\n{more}\n",
        folder.path().join("store")
    );
    std::fs::write(&config, text).unwrap();
    Command::new(program().unwrap())
        .arg("--config")
        .arg(&config)
        .arg("--ports_file_dir")
        .arg(folder.path())
        .arg("--log")
        .arg(folder.path().join("log"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
