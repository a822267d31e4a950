//! ticket-scan in full: a signed webhook, a queue, and from there a workflow, on each queue that is there.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tiphys_tests::{Server, root, until};

use crate::scan;

/// The manifests: the steps and sources of the example, and the way through this queue.
fn manifests(queue: &str, change: impl Fn(String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let example = root().join("examples/ticket-scan");
    for file in ["eventsource.yaml", "secrets.yaml", "scanners.yaml", "tools.yaml"] {
        std::fs::copy(example.join(file), folder.path().join(file)).unwrap();
    }
    let fixtures = std::process::Command::new("cp")
        .arg("-r")
        .arg(example.join("fixtures"))
        .arg(folder.path().join("fixtures"))
        .status();
    assert!(fixtures.unwrap().success());
    let deploy = root().join("deploy/ticket-scan");
    std::fs::copy(deploy.join("templates/templates.yaml"), folder.path().join("templates.yaml")).unwrap();
    let tickets = std::fs::read_to_string(deploy.join(queue).join("tickets.yaml")).unwrap();
    std::fs::write(folder.path().join("tickets.yaml"), change(tickets)).unwrap();
    folder
}

/// Posts a ticket to the public webhook, and looks at what comes out at the other end.
fn scanned(server: &Server, queue: &str) {
    // A subscription or a group without a position gets only what comes after it was made.
    let part = format!("/readyz/eventsource/{queue}/default/ticket-system/jira_cloud");
    until("the source receives", || {
        let answer = server.send("GET", &part, &[], b"").ok()?;
        (answer.status == 200).then_some(())
    });
    let body = scan::ticket("SEC-7");
    assert_eq!(scan::post(server, &body, &scan::demo("api-key"), &scan::signed(&body)), 200);
    let workflows = server.ended(1);
    let workflow = &workflows[0];
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{}", server.ok(&["logs", "@latest"]));
    let name = workflow["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("credentialscan-tickets-"), "{name}");
    let nodes = workflow["status"]["nodes"].as_object().unwrap();
    assert_eq!(
        nodes.values().filter(|node| node["type"] == "Pod").count(),
        5,
        "fetch, two scanners, merge, publish"
    );
    let file = server.data().join(format!("shared/findings/{name}.json"));
    let findings = std::fs::read_to_string(file).unwrap();
    assert!(findings.contains("sha256") && findings.contains("masked"), "{findings}");
    for secret in scan::secrets_of_the_fixture() {
        assert!(!findings.contains(&secret) && !server.log().contains(&secret), "{secret}");
    }
    // Two events: the webhook's, and the queue's.
    let events = server.json(&["events", "list", "ticket-system"]);
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "{events:#}");
    let kind = events["items"][0]["kind"].as_str().unwrap();
    assert!(kind.eq_ignore_ascii_case(queue), "Argo writes pubsub: {kind}");
    let story = server.ok(&["events", "get", events["items"][0]["id"].as_str().unwrap(), "--trace"]);
    assert!(story.contains("sensor-ticketing"), "{story}");
}

/// Makes a topic of three partitions in Kafka.
pub(crate) fn create_topic(url: &str, name: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", url).create().unwrap();
    let topic = [NewTopic::new(name, 3, TopicReplication::Fixed(1))];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let made = runtime.block_on(admin.create_topics(&topic, &AdminOptions::new())).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// Makes a queue in what speaks as SQS does.
pub(crate) fn create_queue(url: &str, name: &str) {
    let authority = url.trim_start_matches("http://");
    let request = format!(
        "GET /?Action=CreateQueue&QueueName={name} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
    );
    let made = tiphys_tests::server::exchange(authority, request.as_bytes()).unwrap();
    assert_eq!(made.status, 200, "{}", made.body);
}

/// Makes a topic in the Pub/Sub emulator.
pub(crate) fn create_pubsub_topic(authority: &str, project: &str, topic: &str) {
    let request = format!(
        "PUT /v1/projects/{project}/topics/{topic} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    let made = tiphys_tests::server::exchange(authority, request.as_bytes()).unwrap();
    assert_eq!(made.status, 200, "{}", made.body);
}

#[test]
fn a_ticket_goes_through_kafka() {
    let Some(broker) = tiphys_servers::kafka() else { return };
    create_topic(&broker.url(), "tickets");
    let manifests = manifests("kafka", |text| text.replace("127.0.0.1:9092", &broker.url()));
    scanned(&Server::start(manifests.path()), "kafka");
}

#[test]
fn a_ticket_goes_through_sqs() {
    let Some(queue) = tiphys_servers::sqs::elasticmq() else { return };
    create_queue(&queue.url(), "tickets");
    let manifests = manifests("sqs", |text| text.replace("http://127.0.0.1:9324", &queue.url()));
    scanned(&Server::start(manifests.path()), "sqs");
}

#[test]
fn a_ticket_goes_through_pubsub() {
    let Some(emulator) = tiphys_servers::pubsub() else { return };
    let authority = emulator.host();
    create_pubsub_topic(&authority, "security-automation", "tickets");
    let manifests = manifests("pubsub", |text| text);
    let environment = [("PUBSUB_EMULATOR_HOST", authority.as_str())];
    scanned(&Server::with(manifests.path(), &[], &environment), "pubSub");
}
