//! `docker-compose.yml` as it stands, and the image of `deploy/images`, on a Docker engine of its own. Only where the
//! binary, Debian and NATS come from is another: no registry is asked.

use std::process::Command;

use serde_json::Value;
use tiphys_servers::Docker;
use tiphys_servers::docker::run;
use tiphys_tests::server::exchange;
use tiphys_tests::{Server, binary, root, until};

use crate::scan;

const ROLES: [&str; 6] = ["bus", "server", "eventsource", "sensor", "trigger", "executor"];
const ALERT: &str = include_str!("falcosidekick/webhook.http");

/// The set, and the passwords that it was started with.
struct Set {
    engine: Docker,
    passwords: tempfile::NamedTempFile,
}

impl Set {
    fn start(engine: Docker) -> Self {
        engine.import_public();
        image(&engine);
        let passwords = tempfile::NamedTempFile::new().unwrap();
        let made = run(&mut Command::new(root().join("deploy/nats/passwords")));
        std::fs::write(passwords.path(), made).unwrap();
        let set = Self { engine, passwords };
        set.compose(&["up", "-d", "--no-build"]);
        set.healthy();
        set
    }

    fn compose(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.engine.compose(&["--env-file"]);
        let file = root().join("docker-compose.yml");
        command.arg(self.passwords.path()).arg("-f").arg(file).args(["-p", "tiphys"]);
        // Whoever runs the tests may have these for an installation of their own.
        command.env_remove("TIPHYS_MANIFESTS").env_remove("COMPOSE_FILE");
        command.args(arguments);
        command
    }

    /// The command line, as the file says it is used; nothing while it finds no server.
    fn tiphys(&self, arguments: &[&str]) -> Option<Value> {
        let before = ["exec", "-T", "server", "tiphys", "--data", "/data", "-o", "json"];
        let output = self.command(&[&before, arguments].concat()).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    fn id(&self, service: &str) -> String {
        self.compose(&["ps", "-q", service]).trim().to_owned()
    }

    fn inspect(&self, service: &str, what: &str) -> String {
        let mut inspect = self.engine.docker(&["inspect", "--format", what, &self.id(service)]);
        run(&mut inspect).trim().to_owned()
    }

    fn healthy(&self) {
        for service in ROLES.into_iter().chain(["nats"]) {
            until(&format!("{service} is healthy"), || {
                let state = self.inspect(service, "{{.State.Health.Status}}");
                (state == "healthy").then_some(())
            });
        }
    }

    /// Kills the process: who asks Docker to kill a container does not get it back.
    fn kill(&self, service: &str) {
        let (pid, started) =
            (self.inspect(service, "{{.State.Pid}}"), self.inspect(service, "{{.State.StartedAt}}"));
        run(Command::new("kill").args(["-9", &pid]));
        until(&format!("{service} is started again"), || {
            let again = self.inspect(service, "{{.State.Running}} {{.State.StartedAt}}");
            (again.starts_with("true") && !again.ends_with(&started)).then_some(())
        });
    }

    /// Posts alert `n` to a published port until it is answered 200.
    fn post(&self, n: usize, port: u16, path: &str) {
        let request = ALERT.replace("6c00472", &format!("{n:07}")).replace("/falco?token=abc", path);
        until("a 200", || {
            let answer = self.engine.within(|| exchange(&format!("127.0.0.1:{port}"), request.as_bytes()));
            answer.is_ok_and(|answer| (answer.status, answer.body.as_str()) == (200, "")).then_some(())
        });
    }

    fn ended(&self, count: usize) {
        let list = until(&format!("{count} ended workflows"), || {
            let list = self.tiphys(&["list"])?["items"].as_array()?.clone();
            let ended = list.iter().filter(|workflow| workflow["status"]["finishedAt"].is_string()).count();
            (ended >= count && ended == list.len()).then_some(list)
        });
        assert_eq!(list.len(), count, "each alert once");
        assert!(list.iter().all(|workflow| workflow["status"]["phase"] == "Succeeded"), "{list:#?}");
    }

    fn all_are_known(&self) {
        until("every part is well", || {
            let parts = self.tiphys(&["status"])?["parts"].clone();
            let all = ROLES.map(|role| format!("role/{role}"));
            all.iter().all(|part| parts.get(part).is_some_and(Value::is_null)).then_some(())
        });
    }
}

/// The image of the Dockerfile around the binary that these tests run.
fn image(engine: &Docker) {
    let folder = tempfile::tempdir().unwrap();
    let certificates = folder.path().join("out/etc/ssl/certs");
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::create_dir_all(folder.path().join("out/usr/local/bin")).unwrap();
    let system = "/etc/ssl/certs/ca-certificates.crt";
    std::fs::copy(system, certificates.join("ca-certificates.crt")).unwrap();
    let to = folder.path().join("out/usr/local/bin/tiphys");
    run(Command::new("strip").arg("-o").arg(to).arg(binary()));
    engine.import_folder(folder.path(), "tiphys-binary", &[]);
    let mut build = engine.docker(&["build", "--build-arg", "BINARY=tiphys-binary", "-t", "tiphys", "-f"]);
    run(build.arg(root().join("deploy/images/Dockerfile")).arg(root()));
}

#[test]
fn each_service_is_a_container_and_may_be_killed() {
    let Some(engine) = tiphys_servers::docker() else { return };
    let set = Set::start(engine);
    set.all_are_known();
    set.post(0, 12000, "/falco");
    set.ended(1);
    set.post(1, 2748, "/events/default/falco/alert");
    set.ended(2);
    set.post(2, 2746, "/events/default/falco/alert");
    set.ended(3);
    for (n, service) in ROLES.into_iter().chain(["nats"]).enumerate() {
        set.kill(service);
        set.post(n + 3, 12000, "/falco");
        set.ended(n + 4);
    }
    set.all_are_known();
    // The event source answers for NATS, and keeps what it answered.
    set.compose(&["stop", "nats"]);
    set.post(10, 12000, "/falco");
    set.compose(&["kill", "eventsource"]);
    set.compose(&["start", "nats", "eventsource"]);
    set.ended(11);
    // Containers are no place for anything: what was there is in the volumes.
    set.compose(&["down"]);
    set.compose(&["up", "-d", "--no-build"]);
    set.healthy();
    set.ended(11);
}

#[test]
fn two_jobs_run_in_containers_of_the_images_that_their_pages_build() {
    let Some(engine) = tiphys_servers::docker() else { return };
    engine.import_public();
    image(&engine);
    // What the scanners are built of is on the net; without them the steps look for plain patterns.
    let mut build = engine.docker(&["build", "--build-arg", "SCANNERS=tiphys", "-t", "tiphys-examples"]);
    run(build.arg(root().join("examples")));
    let host = engine.host();
    // The files as they stand, and a server where containers reach it, as the pages say.
    engine.within(|| {
        let bridge = ["--launcher", "docker", "--host", tiphys_servers::docker::BRIDGE];
        let server = |example: &str| {
            let manifests = root().join("examples").join(example);
            Server::with(&manifests, &bridge, &[("DOCKER_HOST", &host)])
        };
        let scanning = server("ticket-scan");
        let body = scan::ticket("SEC-7");
        let signature = scan::signed(&body);
        assert_eq!(scan::post(&scanning, &body, &scan::demo("api-key"), &signature), 200);
        let ended = &scanning.ended(1)[0];
        let log = scanning.ok(&["logs", "@latest"]);
        assert_eq!(ended["status"]["phase"], "Succeeded", "{log}");
        assert!(log.contains("findings of SEC-7 published"), "{log}");
        for secret in scan::secrets_of_the_fixture() {
            assert!(!log.contains(&secret), "{secret} in the logs");
        }
        drop(scanning);

        let collecting = server("asset-inventory");
        collecting.ok(&["cron", "run", "asset-inventory", "--wait"]);
        let log = collecting.ok(&["logs", "@latest"]);
        assert!(log.contains("7 new, 0 seen before"), "{log}");
    });
}
