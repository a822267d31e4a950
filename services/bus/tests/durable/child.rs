//! The process that is killed or watched: this test binary once more, told by its environment what to do.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tiphys_bus::{Bus, Publish};

use crate::{LONG, open, reader};

const FOLDER: &str = "TIPHYS_TEST_FOLDER";
const ROLE: &str = "TIPHYS_TEST_ROLE";

/// What a child does.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// Publishes and consumes until it is killed, and notes what it was answered.
    Busy,
    /// Publishes a little, and notes each question and each answer.
    Noted,
}

/// Starts a child on a folder, below `launcher` if that is given.
pub(crate) fn start(role: Role, folder: &Path, launcher: &[&str]) -> Child {
    let test = std::env::current_exe().unwrap();
    let mut words: Vec<PathBuf> = launcher.iter().map(PathBuf::from).collect();
    words.push(test);
    let mut command = Command::new(words.remove(0));
    command
        .args(words)
        .args(["--exact", "child::child", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROLE, role.name())
        .stdout(Stdio::null());
    command.spawn().unwrap()
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Noted => "noted",
        }
    }
}

/// Where a child finds the bus.
pub(crate) fn bus_folder(folder: &Path) -> PathBuf {
    folder.join("bus")
}

/// A file to which a child appends lines, each by one write.
pub(crate) struct Notes(Mutex<std::fs::File>);

impl Notes {
    fn open(folder: &Path, name: &str) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(folder.join(name));
        Self(Mutex::new(file.unwrap()))
    }

    fn write(&self, line: &str) {
        let mut file = self.0.lock().unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// The whole lines of a file of notes.
pub(crate) fn notes(folder: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(Into::into).collect()
}

/// Does nothing, unless it was started by another test.
#[test]
fn child() {
    let (Ok(folder), Ok(role)) = (std::env::var(FOLDER), std::env::var(ROLE)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = PathBuf::from(folder);
    match role.as_str() {
        "busy" => runtime.block_on(busy(&folder)),
        _ => runtime.block_on(noted(&folder)),
    }
}

async fn busy(folder: &Path) {
    let bus = open(&bus_folder(folder)).await;
    let consumer = bus.consumer("T", reader()).await.unwrap();
    let acknowledged = Arc::new(Notes::open(folder, "acknowledged"));
    let consumed = Notes::open(folder, "consumed");
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let mine = format!("{writer}-");
        let known = notes(folder, "acknowledged");
        let next = known.iter().filter(|line| line.starts_with(&mine)).count();
        let (bus, acknowledged) = (Arc::clone(&bus), Arc::clone(&acknowledged));
        tasks.spawn(async move {
            // The first may have been stored before the last death: the same id stores it once.
            for number in next.. {
                let id = format!("{mine}{number}");
                let text = format!("{id} {}", "x".repeat(number % 700));
                let message = Publish::new(format!("t.w{writer}"), text).id(id.clone());
                let acked = bus.publish(message).await.unwrap();
                acknowledged.write(&format!("{id} {}", acked.sequence));
            }
        });
    }
    tasks.spawn(async move {
        loop {
            for delivery in consumer.fetch(100, LONG).await.unwrap() {
                consumed.write(&delivery.message().sequence.to_string());
                delivery.ack().await.unwrap();
            }
        }
    });
    tasks.join_next().await.unwrap().unwrap();
}

async fn noted(folder: &Path) {
    let bus: Arc<dyn Bus> = open(&bus_folder(folder)).await;
    let notes = Arc::new(Notes::open(folder, "notes"));
    let publisher = Arc::clone(&bus);
    let publish = move |name: String| {
        let (bus, notes) = (Arc::clone(&publisher), Arc::clone(&notes));
        async move {
            notes.write(&format!("ask {name}"));
            bus.publish(Publish::new("t.a", name.clone())).await.unwrap();
            notes.write(&format!("got {name}"));
        }
    };
    for number in 0..20 {
        publish(format!("alone-{number}")).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..6 {
        let publish = publish.clone();
        tasks.spawn(async move {
            for number in 0..20 {
                publish(format!("together-{writer}-{number}")).await;
            }
        });
    }
    tasks.join_all().await;
    bus.close().await;
}
