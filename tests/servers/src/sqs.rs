//! Two that speak as Amazon SQS does: ElasticMQ keeps what it has over a kill, moto starts fast and can tell right keys
//! from wrong ones.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Process, free_port, missing, program, tools, until};

/// A running ElasticMQ.
#[derive(Debug)]
pub struct ElasticMq {
    process: Process,
    port: u16,
    folder: TempDir,
}

/// Starts an ElasticMQ; its queues and messages survive a kill.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn elasticmq() -> Option<ElasticMq> {
    let (Some(java), Some(jars)) = (program("java"), jars()) else {
        missing("ElasticMQ, or java,");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut server = ElasticMq { process: launch(&java, &jars, &folder, port), port, folder };
    server.wait();
    Some(server)
}

/// The folder of its jars.
fn jars() -> Option<PathBuf> {
    let named = std::env::var_os("ELASTICMQ_LIBS").map(PathBuf::from);
    named.or_else(|| Some(tools()?.join("elasticmq"))).filter(|folder| folder.is_dir())
}

impl ElasticMq {
    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
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
        let (java, jars) = (program("java").expect("java"), jars().expect("the jars"));
        self.process = launch(&java, &jars, &self.folder, self.port);
        self.wait();
    }

    fn wait(&mut self) {
        let (log, port, child) = (self.folder.path().join("log"), self.port, &mut self.process.0);
        until("ElasticMQ", || {
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("ElasticMQ ended: {status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            answers(port, "/?Action=ListQueues")
        });
    }
}

fn launch(java: &PathBuf, jars: &std::path::Path, folder: &TempDir, port: u16) -> Process {
    let at = folder.path();
    let config = at.join("elasticmq.conf");
    // With a write delay, which H2 has by default, a kill loses what was acknowledged last.
    let text = format!(
        "include classpath(\"application.conf\")
node-address {{ protocol = http, host = 127.0.0.1, port = {port}, context-path = \"\" }}
rest-sqs {{ enabled = true, bind-hostname = \"127.0.0.1\", bind-port = {port}, sqs-limits = strict }}
rest-stats {{ enabled = false }}
messages-storage {{ enabled = true, uri = \"jdbc:h2:{at}/db;WRITE_DELAY=0\", driver-class-name = \"org.h2.Driver\" }}
queues-storage {{ enabled = true, path = \"{at}/queues.conf\" }}
",
        at = at.display()
    );
    std::fs::write(&config, text).expect("the configuration is written");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(at.join("log")).expect("a log");
    let child = Command::new(java)
        .args(["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Dconfig.file={}", config.display()))
        .arg("-cp")
        .arg(jars.join("*"))
        .arg("org.elasticmq.server.Main")
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("java starts");
    Process(child)
}

/// A running moto.
#[derive(Debug)]
pub struct Moto {
    process: Process,
    port: u16,
    open: Option<u32>,
}

/// Starts a moto that lets everybody in.
#[must_use]
pub fn moto() -> Option<Moto> {
    start_moto(None)
}

/// Starts a moto that lets everybody in for so many requests, and then only those whose keys it knows.
#[must_use]
pub fn moto_with_keys(open: u32) -> Option<Moto> {
    start_moto(Some(open))
}

fn start_moto(open: Option<u32>) -> Option<Moto> {
    let Some(path) = program("moto_server") else {
        missing("moto_server");
        return None;
    };
    let port = free_port();
    let mut moto = Moto { process: launch_moto(path, port, open), port, open };
    moto.wait();
    Some(moto)
}

impl Moto {
    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Kills it at once, and with it all that it knows.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port, empty.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch_moto(program("moto_server").expect("moto_server"), self.port, self.open);
        self.wait();
    }

    fn wait(&mut self) {
        let (port, child) = (self.port, &mut self.process.0);
        until("moto", || {
            assert!(child.try_wait().expect("a status").is_none(), "moto ended");
            answers(port, "/moto-api/data.json")
        });
    }
}

fn launch_moto(path: PathBuf, port: u16, open: Option<u32>) -> Process {
    let mut command = Command::new(path);
    if let Some(open) = open {
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", open.to_string());
    }
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    Process(command.spawn().expect("moto starts"))
}

/// Whether a request is answered with 200.
fn answers(port: u16, path: &str) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").ok()?;
    let mut start = [0_u8; 12];
    stream.read_exact(&mut start).ok()?;
    start.ends_with(b" 200").then_some(())
}
