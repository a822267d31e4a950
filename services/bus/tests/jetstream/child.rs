//! A client that is killed: this test binary once more, told by its environment what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tiphys_bus::jetstream::{JetStreamConfig, open};
use tiphys_bus::{Bus, ConsumerConfig, Options, Publish, Start};
use tiphys_servers::nats;

const SERVER: &str = "TIPHYS_TEST_NATS";
const FOLDER: &str = "TIPHYS_TEST_FOLDER";
const EVENTS: usize = 600;
const LONG: Duration = Duration::from_secs(60);

/// Each line is written at once, so that a kill leaves whole lines.
fn note(folder: &Path, name: &str, line: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(folder.join(name)).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn notes(folder: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn connect(url: &str) -> Arc<dyn Bus> {
    open(JetStreamConfig::new(url, "test"), Options::default()).await.unwrap()
}

fn start(url: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::child", "--nocapture"])
        .env(SERVER, url)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Publishes from where its notes end, and takes what there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(url), Ok(folder)) = (std::env::var(SERVER), std::env::var(FOLDER)) else { return };
    let (bus, folder) = (connect(&url).await, Path::new(&folder));
    let config = ConsumerConfig {
        name: "c".into(),
        filters: vec![],
        start: Start::All,
        ack_wait: Duration::from_secs(1),
        max_ack_pending: 50,
    };
    let consumer = bus.consumer("T", config).await.unwrap();
    let publisher = async {
        for number in notes(folder, "stored").len()..EVENTS {
            let message = Publish::new("t.a", number.to_string()).id(number.to_string());
            let acked = bus.publish(message).await.unwrap();
            note(folder, "stored", &acked.sequence.to_string());
        }
    };
    let taker = async {
        loop {
            for delivery in consumer.fetch(10, Duration::from_secs(1)).await.unwrap() {
                note(folder, "taken", &String::from_utf8_lossy(&delivery.message().payload));
                delivery.ack().await.unwrap();
            }
        }
    };
    tokio::join!(publisher, taker);
}

/// Tests are selected by this name.
mod jetstream {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_killed_client_loses_and_doubles_nothing() {
        let Some(server) = nats() else { return };
        let folder = tempfile::tempdir().unwrap();
        let bus = connect(&server.url()).await;
        bus.ensure_stream(&crate::jetstream::stream()).await.unwrap();
        let deadline = Instant::now() + LONG;
        let until = async |name: &str, count: usize| {
            while notes(folder.path(), name).len() < count {
                assert!(Instant::now() < deadline, "never: {count} {name}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        for part in 1..=4 {
            let mut child = start(&server.url(), folder.path());
            until("stored", EVENTS * part / 4).await;
            if part < 4 {
                child.kill().unwrap();
                child.wait().unwrap();
                continue;
            }
            let all = || notes(folder.path(), "taken").into_iter().collect::<BTreeSet<_>>().len() == EVENTS;
            while !all() || bus.consumer_info("T", "c").await.unwrap().unwrap().ack_floor < EVENTS as u64 {
                assert!(Instant::now() < deadline, "something is never taken and acked");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let stored = bus.read("T", "", 1, EVENTS * 2).await.unwrap();
        let found: BTreeMap<u64, String> =
            stored.iter().map(|m| (m.sequence, String::from_utf8_lossy(&m.payload).into_owned())).collect();
        assert_eq!(stored.len(), EVENTS, "each is stored once");
        for (number, sequence) in notes(folder.path(), "stored").iter().enumerate() {
            assert_eq!(found[&sequence.parse().unwrap()], number.to_string(), "it stands where it was told");
        }
    }
}
