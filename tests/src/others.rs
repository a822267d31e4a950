//! Servers and programs of others, as `tests/run` installs them. One that is missing makes a test fail under CI,
//! and is skipped loudly elsewhere.
#![expect(clippy::expect_used, reason = "a test that cannot start its server has failed")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::until;

/// The folder of tools that `tests/run` fills.
fn tools() -> Option<PathBuf> {
    let folder = std::env::var_os("TIPHYS_TEST_TOOLS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/tiphys/tools"));
    folder.or(home).filter(|folder| folder.is_dir())
}

/// Says that a test cannot run here.
///
/// # Panics
/// Under CI.
pub fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing; `tests/run` installs it");
    eprintln!("SKIPPED: {what} is missing; `tests/run` installs it");
}

/// A program of the tools folder, or of PATH.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let folders = tools().into_iter().flat_map(|tools| [tools.join("bin"), tools.join("python/bin")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.chain(std::env::split_paths(&path)).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A port that was free a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

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

/// moto: an AWS-compatible API.
#[must_use]
pub fn moto() -> Option<Other> {
    let Some(program) = program("moto_server") else {
        missing("moto_server");
        return None;
    };
    let port = free_port();
    let child = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("moto starts");
    until("moto", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    Some(Other { child, _folder: None, url: format!("http://127.0.0.1:{port}") })
}

/// PostgreSQL on a folder of its own.
#[must_use]
pub fn postgres() -> Option<Other> {
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
    let child = as_postgres(&bin.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("postgres starts");
    until("PostgreSQL", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
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
