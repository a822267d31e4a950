//! A step folder and the real runner for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tiphys_runner::{DONE, Exit, Spec, Variable, log, proc};

pub(crate) struct Step {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) spec: Spec,
}

impl Step {
    pub(crate) fn sh(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec {
            key: "0123456789abcdef".into(),
            boot: proc::boot_id().unwrap(),
            written: Timestamp::now(),
            program: "/bin/sh".into(),
            command: ["sh", "-c", script].map(String::from).into(),
            script: None,
            work: dir.path().to_path_buf(),
            contained: false,
            inputs: Vec::new(),
            environment: vec![variable("PATH", Some("/usr/bin:/bin"))],
            parameters: Vec::new(),
            artifacts: Vec::new(),
            log_key: None,
            capture: true,
            keep_log: false,
            log_limit: 1 << 20,
            deadline: None,
            grace: 10_000,
        };
        Self { dir, spec }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn runner(&self) -> Command {
        fs::write(self.path("spec.json"), serde_json::to_vec(&self.spec).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiphys-runner"));
        command.arg(self.dir.path()).env_clear().stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self) -> Exit {
        assert_eq!(self.runner().status().unwrap().code(), Some(DONE));
        Exit::read(self.dir.path()).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<(String, String)> {
        let bytes = fs::read(self.path("log")).unwrap();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| log::parse(line).unwrap())
            .map(|(_, stream, text)| (stream.name().to_owned(), text))
            .collect()
    }
}

pub(crate) fn variable(name: &str, value: Option<&str>) -> Variable {
    Variable { name: name.into(), value: value.map(String::from) }
}

pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "waited too long: {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn ended(child: &mut Child) -> Option<i32> {
    let status = until("the runner ends", || child.try_wait().unwrap());
    status.code()
}

pub(crate) fn number(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.strip_suffix('\n')?.parse().ok()
}

pub(crate) fn runs(pid: i32) -> bool {
    proc::stat(pid).is_some_and(|stat| stat.state != 'Z')
}
