//! Falcosidekick: each of its outputs that we can read, as the real one was recorded, with the settings and manifests
//! that the documentation shows. The same alert comes out of all of them.

mod output;

use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use tiphys_tests::{Local, Server, root, until};

use self::output::{WEBHOOK, alert, cloudevents, kafka, nats, pubsub, reach, sqs, stream, webhook};
use crate::queues;

/// Falcosidekick's own settings for an output.
struct Settings(Value);

impl Settings {
    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}: {}", self.0))
    }
}

/// What the documentation shows for an output, with other addresses: Falcosidekick's settings, and the manifests.
fn shown(output: &str, addresses: &[(&str, &str)]) -> (Settings, tempfile::TempDir) {
    let deploy = root().join("deploy/falcosidekick");
    let read = |file: &str| {
        let text = std::fs::read_to_string(deploy.join(file)).unwrap();
        addresses.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{file} names {from}");
            text.replace(from, to)
        })
    };
    let settings = serde_saphyr::from_str(&read(&format!("config/{output}.yaml"))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("source.yaml"), read(&format!("sources/{output}.yaml"))).unwrap();
    std::fs::copy(deploy.join("respond.yaml"), folder.path().join("respond.yaml")).unwrap();
    (Settings(settings), folder)
}

/// A Secret of this name in the manifests.
fn secret(folder: &Path, name: &str, values: &Value) {
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values,
    });
    std::fs::write(folder.join("secret.yaml"), object.to_string()).unwrap();
}

/// The manifests of the webhook output on a port of this run, and the settings that belong to them.
fn on_port(output: &str) -> (Settings, tempfile::TempDir, String) {
    let port = tiphys_servers::free_port().to_string();
    let (settings, folder) = shown(output, &[("12000", &port)]);
    if let Some(key) = settings.0.pointer("/webhook/customheaders/X-Api-Key") {
        secret(folder.path(), "falco", &serde_json::json!({"api-key": key}));
    }
    (settings, folder, port)
}

/// A subscription or a group without a position gets only what comes after it was made.
fn receives(server: &Server, kind: &str) {
    let part = format!("/readyz/eventsource/{kind}/default/falco/alert");
    until("the source receives", || {
        let answer = server.send("GET", &part, &[], b"").ok()?;
        (answer.status == 200).then_some(())
    });
}

/// The one result that every output must have: the alert, in a workflow's parameters, to the digit.
fn arrived(server: &Server) {
    let workflows = server.ended(1);
    assert_eq!(workflows.len(), 1);
    assert_eq!(workflows[0]["status"]["phase"], "Succeeded", "{}", server.ok(&["logs", "@latest"]));
    let workflow = server.json(&["get", workflows[0]["metadata"]["name"].as_str().unwrap()]);
    let parameters = workflow["spec"]["arguments"]["parameters"].as_array().unwrap();
    let parameter = |name: &str| {
        let found = parameters.iter().find(|parameter| parameter["name"] == name);
        found.and_then(|parameter| parameter["value"].as_str()).unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(parameter("rule"), "Terminal shell in container");
    assert_eq!(parameter("pod"), "web-6d4cf56db6-xk2bp");
    assert_eq!(parameter("alert"), alert());
    let fields = parameter("fields");
    assert!(alert().contains(&format!("\"output_fields\":{fields},")), "{fields}");
    // A double would end in 000.
    assert!(fields.contains("\"evt.time.iso8601\":1795451516746609046"), "{fields}");
    let log = server.ok(&["logs", "@latest"]);
    assert!(log.contains("Terminal shell in container in web-6d4cf56db6-xk2bp"), "{log}");
    let events = server.json(&["events", "list", "falco"]);
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "{events:#}");
}

#[test]
fn the_webhook_output() {
    let (settings, manifests, port) = on_port("webhook");
    let server = Server::start(manifests.path());
    webhook(&settings, &port);
    arrived(&server);
}

#[test]
fn the_cloudevents_output() {
    let (settings, manifests, port) = on_port("cloudevents");
    let server = Server::start(manifests.path());
    cloudevents(&settings, &port);
    arrived(&server);
}

#[test]
fn the_nats_output() {
    let Some(broker) = tiphys_servers::nats() else { return };
    stream(&broker.url());
    let (settings, manifests) = shown("nats", &[("nats://127.0.0.1:4222", &broker.url())]);
    // Falcosidekick waits for nobody: the stream has the alert before anybody reads it.
    nats(&settings);
    arrived(&Server::start(manifests.path()));
}

#[test]
fn the_kafka_output() {
    let Some(broker) = tiphys_servers::kafka() else { return };
    let (settings, manifests) = shown("kafka", &[("127.0.0.1:9092", &broker.url())]);
    queues::create_topic(&broker.url(), settings.text("/kafka/topic"));
    let server = Server::start(manifests.path());
    receives(&server, "kafka");
    kafka(&settings);
    arrived(&server);
}

#[test]
fn the_sqs_output() {
    let Some(queue) = tiphys_servers::sqs::elasticmq() else { return };
    let (settings, manifests) = shown("sqs", &[("http://127.0.0.1:9324", &queue.url())]);
    secret(manifests.path(), "aws", &serde_json::json!({"access-key": "demo", "secret-key": "demo"}));
    let (_, name) = settings.text("/aws/sqs/url").rsplit_once('/').unwrap();
    queues::create_queue(&queue.url(), name);
    let server = Server::start(manifests.path());
    sqs(&settings);
    arrived(&server);
}

#[test]
fn the_pubsub_output() {
    let Some(emulator) = tiphys_servers::pubsub() else { return };
    let (settings, manifests) = shown("pubsub", &[]);
    queues::create_pubsub_topic(
        &emulator.host(),
        settings.text("/gcp/pubsub/projectid"),
        settings.text("/gcp/pubsub/topic"),
    );
    let environment = [("PUBSUB_EMULATOR_HOST", &*emulator.host())];
    let server = Server::with(manifests.path(), &[], &environment);
    receives(&server, "pubSub");
    pubsub(&settings, &emulator.host());
    arrived(&server);
}

/// CloudEvents are sent without headers of one's own; an extension is a header all the same.
#[test]
fn an_extension_lets_the_cloudevents_output_in() {
    let (_, manifests, port) = on_port("cloudevents");
    secret(manifests.path(), "falco", &serde_json::json!({"api-key": "s3cret"}));
    let file = manifests.path().join("source.yaml");
    let source = std::fs::read_to_string(&file).unwrap();
    let auth = "      auth: {apiKey: {header: Ce-Apikey, secrets: [{name: falco, key: api-key}]}}\n";
    std::fs::write(&file, source + auth).unwrap();
    let server = Server::start(manifests.path());
    let recorded = output::CLOUDEVENTS;
    assert_eq!(reach(&port, recorded).status, 401);
    let known = recorded.replacen("Ce-Hostname", "Ce-Apikey: s3cret\r\nCe-Hostname", 1);
    assert_eq!(reach(&port, &known).status, 200);
    arrived(&server);
    let id = server.ok(&["events", "list", "falco", "-o", "name"]);
    let told = server.ok(&["events", "get", id.trim().rsplit('/').next().unwrap(), "-o", "json"]);
    assert!(!told.contains("s3cret"), "{told}");
}

/// By default Falcosidekick has one request under way, and an alert that is not answered 2xx is gone. So the answer
/// comes from the spool, also while NATS is away, and is empty: with a body, its client would connect for each alert.
#[test]
fn the_spool_answers_at_once_while_nats_is_away() {
    let (_, manifests, port) = on_port("webhook");
    let Some(local) = Local::start(manifests.path()) else { return };
    local.kill("nats");
    let mut connection = output::Connection::open(&port);
    let mut times: Vec<_> = (0..100)
        .map(|n| {
            let began = Instant::now();
            // Of one length: only the digits at the end differ.
            let answer = connection.send(&WEBHOOK.replace("6c00472", &format!("{n:07}")));
            assert_eq!(answer, "200 and nothing more");
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    eprintln!("answered while NATS is away: p50 {:?}, slowest {:?}", times[50], times[99]);
    assert!(times[50].as_millis() < 100, "nobody waits for the bus: {times:?}");
    assert_eq!(local.up(), ["nats-server"]);
    let workflows = local.ended(100);
    assert_eq!(workflows.len(), 100);
    assert!(workflows.iter().all(|workflow| workflow["status"]["phase"] == "Succeeded"));
}

#[test]
fn the_page_shows_what_is_tested_here() {
    let page = std::fs::read_to_string(root().join("docs/sources/falcosidekick.md")).unwrap();
    for output in ["webhook", "cloudevents", "nats", "kafka", "sqs", "pubsub"] {
        for folder in ["config", "sources"] {
            let file = root().join("deploy/falcosidekick").join(folder).join(output).with_extension("yaml");
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(page.contains(&format!("```yaml\n{text}```\n")), "{} is not on the page", file.display());
        }
    }
}
