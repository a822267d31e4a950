//! Servers and programs of others, as `tests/run` installs them. One that is missing makes a test fail under CI,
//! and is skipped loudly elsewhere.
#![expect(clippy::expect_used, reason = "a test that cannot start its server has failed")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub use tiphys_servers::sqs::{Moto, moto};
pub use tiphys_servers::{free_port, missing, program};

use crate::until;

/// A process of another, killed when it is dropped.
pub struct Other {
    child: Child,
    _folder: Option<tempfile::TempDir>,
    /// Where it listens.
    pub url: String,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// PostgreSQL on a folder of its own.
#[must_use]
pub fn postgres() -> Option<Other> {
    postgres_at("127.0.0.1")
}

/// The same, listening on an address of this machine at which others reach it, who are believed to be who they say.
#[must_use]
pub fn postgres_at(address: &str) -> Option<Other> {
    let Some(bin) = postgres_bin() else {
        missing("PostgreSQL");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let port = free_port();
    if rustix::process::geteuid().is_root() {
        // It refuses to run as root.
        let status = Command::new("chown").arg("postgres").arg(folder.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "the folder is given to postgres");
    }
    let initialised = as_postgres(&bin.join("initdb"))
        .args(["--auth=trust", "--username=postgres", "--no-sync", "-D"])
        .arg(&data)
        .stdout(Stdio::null())
        .status();
    assert!(initialised.is_ok_and(|status| status.success()), "initdb");
    let rule = format!("host all all {address}/8 trust\n");
    let rules = std::fs::OpenOptions::new().append(true).open(data.join("pg_hba.conf"));
    rules.and_then(|mut file| file.write_all(rule.as_bytes())).expect("a rule for who may connect");
    let child = as_postgres(&bin.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-h", address, "-p", &port.to_string(), "-k"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("postgres starts");
    until("PostgreSQL", || std::net::TcpStream::connect((address, port)).ok());
    let url = format!("postgres://postgres@{address}:{port}/postgres");
    Some(Other { child, _folder: Some(folder), url })
}

fn postgres_bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").is_file())
}

fn as_postgres(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}
