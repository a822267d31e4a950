//! Apache Kafka, one node.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{Process, free_port, missing, program, tools, until};

/// A user that may log in where the server asks for one.
pub const USER: (&str, &str) = ("ci", "ci-secret");

/// A running broker, on a plain port, on one that asks for a user (SASL SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN, without
/// TLS), and, where it was started with certificates, on one with TLS.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    port: u16,
    asking: u16,
    secret: u16,
    folder: TempDir,
}

/// Starts a broker; what it has survives a kill.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn kafka() -> Option<Kafka> {
    start(None, None)
}

/// Starts a broker that listens on a further port, for clients that come through `proxy`, a port that leads to it.
///
/// # Panics
/// As [`kafka`].
#[must_use]
pub fn kafka_behind(proxy: u16, port: u16) -> Option<Kafka> {
    start(None, Some(Behind { proxy, port }))
}

/// Starts a broker that has a port with TLS, too, and lets in only who shows a certificate of the authority there. All
/// PEM: its key, followed by its certificate; the authority.
///
/// # Panics
/// As [`kafka`].
#[must_use]
pub fn kafka_with_tls(identity: &str, authority: &str) -> Option<Kafka> {
    start(Some((identity, authority)), None)
}

/// A port of the broker that it tells clients by another number.
struct Behind {
    proxy: u16,
    port: u16,
}

fn start(tls: Option<(&str, &str)>, behind: Option<Behind>) -> Option<Kafka> {
    let (Some(java), Some(jars)) = (program("java"), jars()) else {
        missing("Kafka, or java,");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (port, asking, secret) = (free_port(), free_port(), free_port());
    configure(folder.path(), port, asking, tls.map(|tls| (secret, tls)), behind.as_ref());
    let formatted = jvm(&java, &jars)
        .args(["kafka.tools.StorageTool", "format", "-t", "dGlwaHlzdGVzdGNsdXN0ZQ", "-c"])
        .arg(folder.path().join("server.properties"))
        .args(["--add-scram", &scram("SCRAM-SHA-256"), "--add-scram", &scram("SCRAM-SHA-512")])
        .output()
        .expect("java starts");
    assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
    let mut server = Kafka { process: launch(&java, &jars, folder.path()), port, asking, secret, folder };
    server.wait();
    Some(server)
}

fn scram(mechanism: &str) -> String {
    format!("{mechanism}=[name={},password={}]", USER.0, USER.1)
}

fn jars() -> Option<PathBuf> {
    let named = std::env::var_os("KAFKA_LIBS").map(PathBuf::from);
    named.or_else(|| Some(tools()?.join("kafka"))).filter(|folder| folder.is_dir())
}

impl Kafka {
    /// `HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `HOST:PORT` of the port that asks for a user.
    #[must_use]
    pub fn asking(&self) -> String {
        format!("127.0.0.1:{}", self.asking)
    }

    /// `HOST:PORT` of the port with TLS.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("127.0.0.1:{}", self.secret)
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports and folder; killed before, where it still runs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.process.kill();
        let (java, jars) = (program("java").expect("java"), jars().expect("the jars"));
        self.process = launch(&java, &jars, self.folder.path());
        self.wait();
    }

    /// It listens only once it can serve.
    fn wait(&mut self) {
        let (log, port, child) = (self.folder.path().join("log"), self.port, &mut self.process.0);
        until("Kafka", || {
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("Kafka ended: {status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }
}

fn configure(
    folder: &Path,
    port: u16,
    asking: u16,
    tls: Option<(u16, (&str, &str))>,
    behind: Option<&Behind>,
) {
    let (data, control) = (folder.join("data"), free_port());
    let (listener, settings) = tls.map_or_else(Default::default, |(port, (identity, authority))| {
        let files = [("key", identity), ("trust", authority)].map(|(store, pem)| {
            let file = folder.join(format!("{store}store.pem"));
            std::fs::write(&file, pem).expect("a certificate is written");
            let of = format!("listener.name.secret.ssl.{store}store");
            format!("{of}.type=PEM\n{of}.location={}\n", file.display())
        });
        (
            format!(",SECRET://127.0.0.1:{port}"),
            files.concat() + "listener.name.secret.ssl.client.auth=required\n",
        )
    });
    let further = |port: &u16| format!(",BEHIND://127.0.0.1:{port}");
    let listeners = listener.clone() + &behind.map(|behind| further(&behind.port)).unwrap_or_default();
    let advertised = listener + &behind.map(|behind| further(&behind.proxy)).unwrap_or_default();
    let text = format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{control}
controller.listener.names=CONTROL
listeners=PLAINTEXT://127.0.0.1:{port},ASKING://127.0.0.1:{asking},CONTROL://127.0.0.1:{control}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},ASKING://127.0.0.1:{asking}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROL:PLAINTEXT,ASKING:SASL_PLAINTEXT,SECRET:SSL,BEHIND:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.asking.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.asking.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.asking.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\";
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
log.segment.bytes=16777216
num.network.threads=2
num.io.threads=2
auto.create.topics.enable=false
{settings}",
        user = USER.0,
        password = USER.1,
        data = data.display(),
    );
    std::fs::write(folder.join("server.properties"), text).expect("the configuration is written");
}

fn jvm(java: &Path, jars: &Path) -> Command {
    let mut command = Command::new(java);
    command
        .args(["-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-cp")
        .arg(jars.join("*"));
    command
}

fn launch(java: &Path, jars: &Path, folder: &Path) -> Process {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a log");
    let child = jvm(java, jars)
        .arg("kafka.Kafka")
        .arg(folder.join("server.properties"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("java starts");
    Process(child)
}
