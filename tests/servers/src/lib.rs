//! Servers of others for tests, as `tests/run` installs them: on a port and in a folder that nobody else has, killed
//! when dropped. One that is missing makes a test fail under CI, and is skipped loudly elsewhere: `tests/run` lists what was skipped.
#![expect(clippy::expect_used, reason = "a test that cannot start its server has failed")]

pub mod azurite;
pub mod cluster;
pub mod docker;
pub mod flaky;
pub mod kafka;
pub mod kubelet;
pub mod kubernetes;
pub mod nats;
pub mod proxy;
pub mod pubsub;
pub mod sqs;

pub use azurite::{Azurite, azurite};
pub use cluster::{Cluster, cluster};
pub use docker::{Docker, docker};
pub use flaky::{Fault, Flaky};
pub use kafka::{Kafka, kafka, kafka_behind, kafka_with_tls};
pub use kubelet::{Fate, Kubelet, Stub};
pub use kubernetes::{Kubernetes, kubernetes, kubernetes_with_node};
pub use nats::{Nats, nats, nats_with};
pub use proxy::Proxy;
pub use pubsub::{PubSub, pubsub, pubsub_at};
pub use sqs::{ElasticMq, Moto, elasticmq, moto, moto_with_keys};

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::net::TcpListener;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// Ports for servers.
const PORTS: Range<u16> = 20_000..32_000;

/// Says that a test cannot run here.
///
/// # Panics
/// Under CI.
pub fn missing(what: &str) {
    forbidden(&format!("{what} is missing; `tests/run` installs it"));
}

/// Says that a test may not run here, where nothing that could be installed helps.
///
/// # Panics
/// Under CI.
pub fn forbidden(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    skipped(why);
}

/// Says that a test is left out, under CI too. Of a test that passes nobody sees what it prints, so it is also written into the file that
/// `TIPHYS_TEST_SKIPPED` names: suite, test and why, with tabs between.
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
    let Some(list) = std::env::var_os("TIPHYS_TEST_SKIPPED") else { return };
    let program = std::env::current_exe().unwrap_or_default();
    let suite = program.file_stem().unwrap_or_default().to_string_lossy();
    // Cargo puts a hash behind the name.
    let suite = suite.rsplit_once('-').map_or(&*suite, |(name, _)| name);
    let thread = std::thread::current();
    let line = format!("{suite}\t{}\t{why}\n", thread.name().unwrap_or("a test"));
    let list = std::fs::File::options().create(true).append(true).open(list);
    // One write, as tests run at the same time.
    let _ = list.and_then(|mut list| list.write_all(line.as_bytes()));
}

/// The folder of tools that `tests/run` fills.
#[must_use]
pub fn tools() -> Option<PathBuf> {
    let folder = std::env::var_os("TIPHYS_TEST_TOOLS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/tiphys/tools"));
    folder.or(home).filter(|folder| folder.is_dir())
}

/// A program of the tools folder, or of PATH.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let folders = tools().into_iter().flat_map(|tools| [tools.join("bin"), tools.join("python/bin")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.chain(std::env::split_paths(&path)).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A port that was free a moment ago, for servers that cannot pick one. It lies below those from which the system takes
/// ports for connections, so that none of these has it by the time the server wants it.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let port = || {
        let number = RandomState::new().build_hasher().finish() % u64::from(PORTS.end - PORTS.start);
        PORTS.start + u16::try_from(number).expect("a small number")
    };
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(port).take(1000).find(free).expect("a port")
}

/// Looks until there is something, for at most 60 s.
///
/// # Panics
/// When the time is over; `what` says what was waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub struct Process(pub Child);

impl Process {
    /// Kills it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
