//! The servers of `deploy/nats/cluster.conf`, as that file is: they come together, and nothing about them is unsafe.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tiphys_bus::jetstream::{Credentials, JetStreamConfig, open, users};
use tiphys_bus::{Options, Publish, streams};
use tiphys_servers::{Process, free_port, missing, program};

use crate::jetstream::trusting;
use crate::keys::Authority;

const LONG: Duration = Duration::from_secs(60);
const CONFIG: &str = include_str!("../../../../deploy/nats/cluster.conf");

struct Deployed {
    _servers: Vec<Process>,
    _folder: TempDir,
    urls: String,
    monitors: Vec<String>,
    authority: String,
}

fn deploy() -> Option<Deployed> {
    let Some(program) = program("nats-server") else {
        missing("nats-server");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ports: Vec<[u16; 3]> = (0..3).map(|_| [free_port(), free_port(), free_port()]).collect();
    let servers = (0..3).map(|number| {
        let own = folder.path().join(format!("nats-{number}"));
        lay_out(&own, &authority);
        let others = (0..3).filter(|other| *other != number);
        let routes: Vec<String> =
            others.map(|other| format!("\"nats-route://127.0.0.1:{}\"", ports[other][1])).collect();
        let [client, route, monitor] = ports[number];
        let mut command = Command::new(&program);
        // What tells them apart on one machine, where each would have one of its own.
        command
            .args(["--config", "cluster.conf", "--addr", "127.0.0.1", "--log", "log"])
            .args(["--port", &client.to_string(), "--http_port", &monitor.to_string()])
            .args(["--cluster", &format!("nats://127.0.0.1:{route}")])
            .current_dir(&own)
            .env("NATS_NAME", format!("nats-{number}"))
            .env("NATS_DATA", own.join("data"))
            .env("NATS_STORE_KEY", "key-of-the-test")
            .env("NATS_ROUTES", format!("[{}]", routes.join(", ")));
        for role in ["BUS", "EVENTSOURCE", "SENSOR", "TRIGGER", "EXECUTOR", "SERVER"] {
            command.env(format!("TIPHYS_{role}_PASSWORD"), "secret");
        }
        Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    });
    let address = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}");
    Some(Deployed {
        _servers: servers.collect(),
        urls: ports.iter().map(|ports| address("tls", ports[0])).collect::<Vec<_>>().join(","),
        monitors: ports.iter().map(|ports| address("http", ports[2])).collect(),
        authority: authority.certificate(),
        _folder: folder,
    })
}

fn lay_out(folder: &Path, authority: &Authority) {
    let certs = folder.join("certs");
    std::fs::create_dir_all(&certs).unwrap();
    authority.server(&certs, "127.0.0.1");
    std::fs::rename(certs.join("127.0.0.1.crt"), certs.join("server.crt")).unwrap();
    std::fs::rename(certs.join("127.0.0.1.key"), certs.join("server.key")).unwrap();
    std::fs::write(certs.join("ca.crt"), authority.certificate()).unwrap();
    std::fs::write(folder.join("cluster.conf"), CONFIG).unwrap();
    std::fs::write(folder.join("users.conf"), users(&JetStreamConfig::new("", "tiphys"))).unwrap();
}

/// Tests are selected by this name.
mod jetstream {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_unsafe_about_what_we_recommend() {
        let Some(deployed) = deploy() else { return };
        let of = |role: &str| JetStreamConfig {
            role: Some(role.into()),
            credentials: Credentials::Password { user: format!("tiphys-{role}"), password: "secret".into() },
            tls: trusting(&deployed.authority),
            replicas: 3,
            monitors: deployed.monitors.clone(),
            ..JetStreamConfig::new(&deployed.urls, "tiphys")
        };
        let deadline = Instant::now() + LONG;
        let keeper = loop {
            // Until the three have found each other there are no streams.
            let failure = match open(of("bus"), Options::default()).await {
                Ok(keeper) => {
                    let mut made = Ok(());
                    for stream in streams::all() {
                        made = made.and(keeper.ensure_stream(&stream).await);
                    }
                    match made {
                        Ok(()) => break keeper,
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            assert!(Instant::now() < deadline, "{failure}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let source = open(of("eventsource"), Options::default()).await.unwrap();
        source.publish(Publish::new("events.ns.s.e", "x").id("1")).await.unwrap();
        let found = loop {
            // A server that has just come is behind for a moment.
            let found = keeper.findings().await;
            if found.is_empty() || Instant::now() > deadline {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(found, []);
    }
}
