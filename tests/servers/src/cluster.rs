//! Three NATS servers that keep each message together, and whose network can be cut.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Process, Proxy, free_port, missing, program, until};

/// Servers.
pub const NODES: usize = 3;

/// Ends the server when the standard input ends. A test that only kills it says so before; else the test itself has
/// ended, and its folder goes too.
const GUARD: &str = r#""$@" </dev/null & server=$!; read -r kept; kill -9 "$server"; wait "$server"
[ -n "$kept" ] || rm -rf "$0""#;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    /// Between each two servers, and who they are.
    links: Vec<(usize, usize, Proxy)>,
    folder: TempDir,
    more: String,
}

#[derive(Debug)]
struct Node {
    process: Option<Process>,
    client: u16,
    route: u16,
    monitor: u16,
    /// How clients reach it.
    front: Proxy,
}

/// Starts a cluster on an empty folder; `more` stands in the configuration of each server.
///
/// # Panics
/// When it does not start, or is missing under CI.
#[must_use]
pub fn cluster(more: &str) -> Option<Cluster> {
    if program("nats-server").is_none() {
        missing("nats-server");
        return None;
    }
    let nodes: Vec<Node> = (0..NODES)
        .map(|_| {
            let client = free_port();
            let (route, monitor, front) = (free_port(), free_port(), Proxy::to(client));
            Node { process: None, client, route, monitor, front }
        })
        .collect();
    // The later one calls the earlier one.
    let pairs = (0..NODES).flat_map(|caller| (0..caller).map(move |called| (caller, called)));
    let links = pairs.map(|(caller, called)| (caller, called, Proxy::to(nodes[called].route))).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster { nodes, links, folder, more: more.to_owned() };
    for node in 0..NODES {
        cluster.launch(node);
    }
    cluster.wait_until_ready();
    Some(cluster)
}

impl Cluster {
    /// Addresses of all servers.
    #[must_use]
    pub fn urls(&self) -> String {
        (0..NODES).map(|node| self.url(node)).collect::<Vec<_>>().join(",")
    }

    /// Address of one server.
    #[must_use]
    pub fn url(&self, node: usize) -> String {
        format!("nats://127.0.0.1:{}", self.nodes[node].front.port())
    }

    /// Address of a server's monitoring.
    #[must_use]
    pub fn monitor(&self, node: usize) -> String {
        format!("http://127.0.0.1:{}", self.nodes[node].monitor)
    }

    /// The server that leads a stream, named as on the server. Waits for one.
    #[must_use]
    pub fn leader(&self, stream: &str) -> usize {
        until("a leader", || {
            let answers = self.nodes.iter().filter(|node| node.process.is_some());
            let mut leaders = answers.filter_map(|node| {
                let answer = get(node.monitor, "/jsz?streams=true")?;
                let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
                let accounts = answer["account_details"].as_array()?.iter();
                let mut streams = accounts.flat_map(|account| account["stream_detail"].as_array()).flatten();
                let found = streams.find(|found| found["name"] == stream)?;
                found["cluster"]["leader"].as_str()?.strip_prefix('n')?.parse::<usize>().ok()
            });
            leaders.find(|leader| self.nodes[*leader].process.is_some())
        })
    }

    /// Kills a server at once, as `kill -9` does.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.take() {
            if let Some(mut guard) = process.0.stdin.take() {
                let _ = guard.write_all(b"kept\n");
            }
            let _ = process.0.wait();
        }
    }

    /// Starts a server again on the same ports and folder.
    pub fn revive(&mut self, node: usize) {
        self.launch(node);
    }

    /// Cuts a server off from the others and from every client.
    pub fn isolate(&self, node: usize) {
        self.nodes[node].front.cut();
        for link in self.links_of(node) {
            link.cut();
        }
    }

    /// Undoes [`Self::isolate`].
    pub fn rejoin(&self, node: usize) {
        self.nodes[node].front.mend();
        for link in self.links_of(node) {
            link.mend();
        }
    }

    /// Waits until every server that runs says that it is well.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait_until_ready(&self) {
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.process.is_some()) {
            let what =
                format!("server {number} of the cluster; see its log in {}", self.folder.path().display());
            until(&what, || get(node.monitor, "/healthz").filter(|answer| answer.contains("\"ok\"")));
        }
    }

    fn links_of(&self, node: usize) -> impl Iterator<Item = &Proxy> {
        let of = self.links.iter().filter(move |(caller, called, _)| [*caller, *called].contains(&node));
        of.map(|(_, _, link)| link)
    }

    fn launch(&mut self, number: usize) {
        let folder = self.folder.path().join(format!("n{number}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        // A server that calls nobody must still name somebody.
        let mut routes = String::from("\"nats-route://127.0.0.1:1\"");
        for (_, _, link) in self.links.iter().filter(|(caller, _, _)| *caller == number) {
            let _ = write!(routes, ", \"nats-route://127.0.0.1:{}\"", link.port());
        }
        let node = &self.nodes[number];
        // Nobody hears of an address that goes round the proxies; the one that is advertised leads nowhere.
        let text = format!(
            "server_name: n{number}\nlisten: \"127.0.0.1:{}\"\nhttp: \"127.0.0.1:{}\"\n\
             jetstream {{ store_dir: {:?}, sync_interval: always, max_mem: 64MB, max_file: 4GB }}\n\
             cluster {{ name: c, listen: \"127.0.0.1:{}\", routes: [{routes}], no_advertise: true, pool_size: -1, \
             advertise: \"127.0.0.1:1\", ping_interval: \"1s\" }}\n{}\n",
            node.client,
            node.monitor,
            folder.join("store"),
            node.route,
            self.more,
        );
        let config = folder.join("nats.conf");
        std::fs::write(&config, text).expect("the configuration is written");
        let child = Command::new("sh")
            .args(["-c", GUARD])
            .arg(self.folder.path())
            .arg(program("nats-server").expect("nats-server"))
            .arg("--config")
            .arg(&config)
            .arg("--log")
            .arg(folder.join("log"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        self.nodes[number].process = Some(Process(child));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..NODES {
            self.kill(node);
        }
    }
}

/// The body of an answer.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: monitor\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}
