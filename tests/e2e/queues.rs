//! ticket-scan in full: a signed webhook, a queue, and from there a workflow, on each queue that is there.

use base64::Engine as _;
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
    ask_pubsub(authority, "PUT", &format!("projects/{project}/topics/{topic}"), "");
}

fn ask_pubsub(authority: &str, method: &str, path: &str, body: &str) {
    let request = format!(
        "{method} /v1/{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
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

/// The event source and the sensor of the published architecture: no project, no topic, and workflows in a namespace
/// of their own. Its template stands in `deploy/ticket-scan/templates`.
const PUBLISHED: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: gcp-pubsub-ticket-system}
spec:
  template: {serviceAccountName: argo-events}
  pubSub:
    jira_cloud: {jsonBody: true, subscriptionID: ticket_sub}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: sensor-ticketing}
spec:
  template: {serviceAccountName: argo-events}
  dependencies:
    - {name: dep-ticketing, eventSourceName: gcp-pubsub-ticket-system, eventName: jira_cloud}
  triggers:
    - template:
        conditions: "dep-ticketing"
        name: dep-ticketing
        argoWorkflow:
          operation: submit
          source:
            resource:
              apiVersion: argoproj.io/v1alpha1
              kind: Workflow
              metadata: {generateName: credentialscan-tickets-, namespace: argo-events-workflows}
              spec:
                workflowTemplateRef: {name: ticket-secrets-scan}
                arguments: {artifacts: [{name: message}]}
          parameters:
            - {src: {dependencyName: dep-ticketing, dataKey: body}, dest: spec.arguments.artifacts.0.raw.data}
"#;

/// The same as it was printed, where the article is at hand: its objects, without the digits that its notes refer to.
fn printed() -> Option<[String; 3]> {
    let text = std::fs::read_to_string(root().join("../shared/seeds/001_14c6617816cbd79b.txt")).ok()?;
    let object = |kind: &str| {
        let start = text.find(&format!("apiVersion: argoproj.io/v1alpha1\nkind: {kind}\n"))?;
        let lines = text[start..].lines().take_while(|line| !line.starts_with("1 "));
        let note = |last: &str| last.len() == 1 && last.as_bytes()[0].is_ascii_digit();
        let plain = lines.map(|line| match line.rsplit_once(' ') {
            Some((before, last)) if note(last) => before,
            _ => line,
        });
        Some(plain.collect::<Vec<_>>().join("\n"))
    };
    Some([object("EventSource")?, object("Sensor")?, object("WorkflowTemplate")?])
}

#[test]
fn the_published_way_runs_as_it_is() {
    let Some(emulator) = tiphys_servers::pubsub() else { return };
    let (authority, project, namespace) = (emulator.host(), "projects/p-tickets", "argo-events-workflows");
    create_pubsub_topic(&authority, "p-tickets", "tickets");
    let topic = format!("{project}/topics/tickets");
    let subscription = serde_json::json!({ "topic": topic }).to_string();
    ask_pubsub(&authority, "PUT", &format!("{project}/subscriptions/ticket_sub"), &subscription);
    let printed = printed();
    println!("as it was printed: {}", printed.is_some());
    let [source, sensor, template] = printed.unwrap_or_default();
    let manifests = manifests("pubsub", |_| match source.is_empty() {
        true => PUBLISHED.to_owned(),
        false => format!("{source}\n---\n{sensor}\n"),
    });
    let moved =
        |text: &str| text.replace("\nmetadata:\n", &format!("\nmetadata:\n  namespace: {namespace}\n"));
    for file in ["secrets.yaml", "scanners.yaml", "tools.yaml", "templates.yaml"] {
        let text = std::fs::read_to_string(manifests.path().join(file)).unwrap();
        let text = match text.split_once("\n---\n") {
            Some((_, rest)) if file == "templates.yaml" && !template.is_empty() => {
                format!("{template}\n---\n{rest}")
            }
            _ => text,
        };
        std::fs::write(manifests.path().join(format!("moved-{file}")), moved(&text)).unwrap();
    }
    let environment = [("PUBSUB_EMULATOR_HOST", authority.as_str()), ("GOOGLE_CLOUD_PROJECT", "p-tickets")];
    let server = Server::with(manifests.path(), &[], &environment);
    let data = base64::engine::general_purpose::STANDARD.encode(scan::ticket("SEC-7"));
    let message = serde_json::json!({"messages": [{"data": data}]}).to_string();
    ask_pubsub(&authority, "POST", &format!("{topic}:publish"), &message);
    let workflow = until("an ended workflow", || {
        let list = server.json(&["list", "-n", namespace]);
        list["items"].as_array()?.iter().find(|w| w["status"]["finishedAt"].is_string()).cloned()
    });
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    let name = workflow["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("credentialscan-tickets-"), "{name}");
    let findings =
        std::fs::read_to_string(server.data().join(format!("shared/findings/{name}.json"))).unwrap();
    assert!(findings.contains("sha256") && findings.contains("masked"), "{findings}");
}
