//! The separate services, as `deploy/local/up` starts them.
#![expect(clippy::expect_used, reason = "a test that cannot start its services has failed")]

use std::ops::Deref;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::server::copy_folder;
use crate::{Server, binary, others, root};

/// A set of services in a folder of their own, stopped when it is dropped.
pub struct Local {
    server: Server,
    environment: Vec<(String, String)>,
}

impl Deref for Local {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.script("down").output();
    }
}

impl Local {
    /// Starts the set on a copy of these manifests. `None`: there is no NATS server here.
    #[must_use]
    pub fn start(manifests: &Path) -> Option<Self> {
        Self::with(manifests, &[])
    }

    /// The same with further variables.
    #[must_use]
    pub fn with(manifests: &Path, environment: &[(&str, &str)]) -> Option<Self> {
        if others::program("nats-server").is_none() {
            others::missing("nats-server");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        copy_folder(manifests, &folder.path().join("manifests"));
        let environment = environment.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let local = Self { server: Server::elsewhere(folder), environment };
        local.up();
        Some(local)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(root().join("deploy/local").join(name));
        command.arg(self.server.data()).env("TIPHYS_BIN", binary()).env_remove("NATS_URL");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("NATS_SERVER", others::program("nats-server").unwrap_or_default());
        command
    }

    /// Starts what does not run. Returns what was started.
    ///
    /// # Panics
    /// When something does not start.
    pub fn up(&self) -> Vec<String> {
        let output = self.script("up").output().expect("the script runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "up: {out}{err}\n{}", self.logs());
        out.lines().filter_map(|line| Some(line.strip_prefix("started ")?.to_owned())).collect()
    }

    /// Starts a role alone while the NATS server of before is away: nobody starts that, and not everything may become
    /// ready.
    ///
    /// # Panics
    /// When the script cannot be run.
    pub fn up_without_nats(&self, role: &str) {
        let mut script = self.script("up");
        script.envs(self.environment(role)).env("TIPHYS_PATIENCE", "2");
        script.output().expect("the script runs");
    }

    /// The variables that a further process of a role needs to reach NATS as the first does.
    #[must_use]
    pub fn environment(&self, role: &str) -> Vec<(String, String)> {
        let run = self.server.data().join("run");
        let read = |name: &str| std::fs::read_to_string(run.join(name)).unwrap_or_default().trim().to_owned();
        vec![
            ("NATS_URL".into(), format!("nats://127.0.0.1:{}", read("nats.port"))),
            ("NATS_USER".into(), format!("tiphys-{role}")),
            ("NATS_PASSWORD".into(), read(&format!(".{role}.password"))),
        ]
    }

    /// The process of a role, or of `nats`.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn pid(&self, role: &str) -> Pid {
        let file = self.server.data().join(format!("run/{role}.pid"));
        let text = std::fs::read_to_string(file).expect("a pid file");
        text.trim().parse().ok().and_then(Pid::from_raw).expect("a pid")
    }

    /// Sends a signal to a role.
    ///
    /// # Panics
    /// When it has no process.
    pub fn signal(&self, role: &str, signal: Signal) {
        kill_process(self.pid(role), signal).expect("a signal");
    }

    /// `kill -9` of a role, or of `nats`.
    pub fn kill(&self, role: &str) {
        self.signal(role, Signal::KILL);
    }

    /// What a role's own probe answers.
    #[must_use]
    pub fn ready(&self, role: &str) -> Option<(u16, String)> {
        let file = self.server.data().join(format!("run/{role}.json"));
        let said: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let authority = said["admin"].as_str()?.trim_start_matches("http://").to_owned();
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        let answer = crate::server::exchange(&authority, request.as_bytes()).ok()?;
        Some((answer.status, answer.body))
    }

    /// Everything that the services printed.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for role in ["bus", "server", "eventsource", "sensor", "trigger", "executor", "nats"] {
            let file = self.server.data().join(format!("run/{role}.log"));
            all += &format!("--- {role}\n{}\n", std::fs::read_to_string(file).unwrap_or_default());
        }
        all
    }
}
