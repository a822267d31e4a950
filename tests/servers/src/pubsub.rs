//! Google's emulator of Pub/Sub. It keeps everything in memory: a kill loses topics, subscriptions and messages.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Process, free_port, missing, program, until};

/// A running emulator.
#[derive(Debug)]
pub struct PubSub {
    process: Process,
    port: u16,
    folder: TempDir,
}

/// Starts an emulator.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn pubsub() -> Option<PubSub> {
    pubsub_at(free_port())
}

/// Starts an emulator on this port.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn pubsub_at(port: u16) -> Option<PubSub> {
    let (Some(java), Some(jar)) = (program("java"), jar()) else {
        missing("Google's Pub/Sub emulator, or java,");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = PubSub { process: launch(&java, &jar, &folder, port), port, folder };
    server.wait();
    Some(server)
}

/// The emulator itself: by its own variable, else below the folder of gcloud, which the wrapper lies in too.
fn jar() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("TIPHYS_PUBSUB_EMULATOR").map(PathBuf::from) {
        return Some(named).filter(|file| file.is_file());
    }
    let named = std::env::var_os("CLOUDSDK_ROOT").map(PathBuf::from);
    let command = program("gcloud").and_then(|file| file.canonicalize().ok());
    let around = command.and_then(|file| Some(file.parent()?.parent()?.to_owned()));
    let usual = ["/usr/lib/google-cloud-sdk", "/opt/google-cloud-sdk"].map(PathBuf::from);
    named.into_iter().chain(around).chain(usual).find_map(|root| jar_below(&root))
}

fn jar_below(root: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(root.join("platform/pubsub-emulator/lib")).ok()?;
    let mut jars = files.flatten().map(|entry| entry.path());
    jars.find(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("cloud-pubsub-emulator-") && name.ends_with("-all.jar")
    })
}

impl PubSub {
    /// Where it listens, as `PUBSUB_EMULATOR_HOST` wants it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port, empty; killed before, where it still runs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.process.kill();
        let (java, jar) = (program("java").expect("java"), jar().expect("the emulator"));
        self.process = launch(&java, &jar, &self.folder, self.port);
        self.wait();
    }

    fn wait(&mut self) {
        let (log, port, child) = (self.folder.path().join("log"), self.port, &mut self.process.0);
        until("the Pub/Sub emulator", || {
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("the emulator ended: {status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            answers(port)
        });
    }
}

/// Whether it says that it is well.
fn answers(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut first = [0; 12];
    stream.read_exact(&mut first).ok()?;
    (&first == b"HTTP/1.1 200").then_some(())
}

fn launch(java: &Path, jar: &Path, folder: &TempDir, port: u16) -> Process {
    let log = folder.path().join("log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
    let child = Command::new(java)
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar"])
        .arg(jar)
        .arg("--host=127.0.0.1")
        .arg(format!("--port={port}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("java starts");
    Process(child)
}
