//! NATS with JetStream.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{Process, missing, program, until};

/// A running server.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    port: u16,
    folder: TempDir,
    more: String,
}

/// Starts a server that lets everybody in.
#[must_use]
pub fn nats() -> Option<Nats> {
    nats_with("")
}

/// Starts a server with more lines in its configuration.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn nats_with(more: &str) -> Option<Nats> {
    if program("nats-server").is_none() {
        missing("nats-server");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let process = launch(&folder, -1, more);
    let mut server = Nats { process, port: 0, folder, more: more.to_owned() };
    server.port = server.wait_for_port();
    Some(server)
}

impl Nats {
    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port and folder; killed before, where it still runs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.folder, self.port.into(), &self.more);
        self.wait_for_port();
    }

    /// Starts it again with other lines in its configuration.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_with(&mut self, more: &str) {
        more.clone_into(&mut self.more);
        self.restart();
    }

    /// The server writes its ports into a file once it listens.
    fn wait_for_port(&mut self) -> u16 {
        let file = self.folder.path().join(format!("nats-server_{}.ports", self.process.0.id()));
        let log = self.folder.path().join("log");
        let child = &mut self.process.0;
        until("nats-server", || {
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("nats-server ended: {status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
            ports.pointer("/nats/0")?.as_str()?.rsplit(':').next()?.parse().ok()
        })
    }
}

fn launch(folder: &TempDir, port: i32, more: &str) -> Process {
    let config = folder.path().join("nats.conf");
    let store = folder.path().join("store");
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?}, sync_interval: always, max_mem: 64MB, max_file: 1GB }}\n{more}\n"
    );
    std::fs::write(&config, text).expect("the configuration is written");
    let child = Command::new(program("nats-server").expect("nats-server"))
        .arg("--config")
        .arg(&config)
        .arg("--ports_file_dir")
        .arg(folder.path())
        .arg("--log")
        .arg(folder.path().join("log"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server starts");
    Process(child)
}
