//! What Falcosidekick sends: requests that were recorded of the real one, and for the queues the message that it hands
//! to its client library (no key, no attributes but those of its settings).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;
use tiphys_tests::server::{Answer, exchange};
use tiphys_tests::until;

use super::Settings;

pub(super) const WEBHOOK: &str = include_str!("../falcosidekick/webhook.http");
pub(super) const CLOUDEVENTS: &str = include_str!("../falcosidekick/cloudevents.http");
const NATS: &str = include_str!("../falcosidekick/nats.txt");

/// The alert that stands in each recording.
pub(super) fn alert() -> &'static str {
    let found = NATS.lines().find(|line| line.starts_with('{')).unwrap();
    for recording in [WEBHOOK, CLOUDEVENTS] {
        assert_eq!(recording.split_once("\r\n\r\n").unwrap().1.trim_end(), found);
    }
    found
}

/// Sends a recorded request, as it is.
pub(super) fn reach(port: &str, request: &str) -> Answer {
    let authority = format!("127.0.0.1:{port}");
    until("the port is open", || TcpStream::connect(&authority).ok());
    exchange(&authority, request.as_bytes()).unwrap()
}

/// Its client uses a connection again only after an empty body.
fn answered(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    assert_eq!(answer.header("content-length"), Some("0"), "{answer:?}");
    assert_eq!(answer.header("connection"), None, "{answer:?}");
}

pub(super) fn webhook(settings: &Settings, port: &str) {
    let path = settings.text("/webhook/address").split_once(port).unwrap().1;
    assert!(WEBHOOK.starts_with(&format!("POST {path}?token=abc HTTP/1.1\r\n")));
    let key = settings.text("/webhook/customheaders/X-Api-Key");
    assert!(WEBHOOK.contains(&format!("\r\nX-Api-Key: {key}\r\n")));
    answered(&reach(port, WEBHOOK));
}

pub(super) fn cloudevents(settings: &Settings, port: &str) {
    let path = settings.text("/cloudevents/address").split_once(port).unwrap().1;
    assert!(CLOUDEVENTS.starts_with(&format!("POST {path} HTTP/1.1\r\n")));
    answered(&reach(port, CLOUDEVENTS));
}

/// Says something to a NATS server, and listens until it has answered so.
fn say(url: &str, said: &str, answer: &str) {
    let mut connection = TcpStream::connect(url.trim_start_matches("nats://")).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    connection.write_all(format!("CONNECT {{\"verbose\":false}}\r\n{said}").as_bytes()).unwrap();
    let (mut heard, mut chunk) = (String::new(), [0; 4096]);
    while !heard.contains(answer) {
        let read = connection.read(&mut chunk).unwrap();
        heard += &String::from_utf8_lossy(&chunk[..read]);
        assert!(read > 0 && !heard.contains("-ERR") && !heard.contains("\"error\""), "{heard}");
    }
}

/// The stream that keeps what is published: `nats stream add FALCO --subjects 'falco.>' --defaults`.
pub(super) fn stream(url: &str) {
    let config = json!({"name": "FALCO", "subjects": ["falco.>"], "storage": "file", "retention": "limits"});
    let (config, create) = (config.to_string(), "$JS.API.STREAM.CREATE.FALCO");
    let said = format!("SUB made 1\r\nPUB {create} made {}\r\n{config}\r\n", config.len());
    say(url, &said, "stream_create_response");
}

/// A connection for each alert; nobody says that it was stored.
pub(super) fn nats(settings: &Settings) {
    let heard: Vec<&str> = NATS.lines().next().unwrap().split(' ').collect();
    let [_, subject, _, length] = heard[..] else { panic!("{heard:?}") };
    assert_eq!(length, alert().len().to_string());
    let said = format!("PUB {subject} {length}\r\n{}\r\nPING\r\n", alert());
    say(settings.text("/nats/hostport"), &said, "PONG");
}

pub(super) fn kafka(settings: &Settings) {
    assert_eq!(settings.text("/kafka/requiredacks"), "ALL");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", settings.text("/kafka/hostport"))
        .set("acks", "all")
        .create()
        .unwrap();
    let topic = settings.text("/kafka/topic");
    producer.send(BaseRecord::<(), str>::to(topic).payload(alert())).unwrap();
    producer.flush(Duration::from_secs(60)).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

fn post(authority: &str, path: &str, headers: &str, body: &str) -> Answer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let answer = exchange(authority, request.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

pub(super) fn sqs(settings: &Settings) {
    let url = settings.text("/aws/sqs/url");
    let (authority, _) = url.trim_start_matches("http://").split_once('/').unwrap();
    let headers = "Content-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AmazonSQS.SendMessage\r\n";
    let message = json!({"MessageBody": alert(), "QueueUrl": url});
    let answer = post(authority, "/", headers, &message.to_string());
    assert!(answer.body.contains("MessageId"), "{answer:?}");
}

pub(super) fn pubsub(settings: &Settings, authority: &str) {
    let (project, topic) = (settings.text("/gcp/pubsub/projectid"), settings.text("/gcp/pubsub/topic"));
    let data = base64::engine::general_purpose::STANDARD.encode(alert());
    let attributes = &settings.0["gcp"]["pubsub"]["customattributes"];
    let messages = json!({"messages": [{"data": data, "attributes": attributes}]});
    let path = format!("/v1/projects/{project}/topics/{topic}:publish");
    let answer = post(authority, &path, "Content-Type: application/json\r\n", &messages.to_string());
    assert!(answer.body.contains("messageIds"), "{answer:?}");
}

/// A connection that is used again, as Go's client does after an empty answer.
pub(super) struct Connection(TcpStream);

impl Connection {
    pub(super) fn open(port: &str) -> Self {
        let stream = until("the port is open", || TcpStream::connect(format!("127.0.0.1:{port}")).ok());
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(stream)
    }

    /// The status, and whether the answer ends with its headers.
    pub(super) fn send(&mut self, request: &str) -> String {
        self.0.write_all(request.as_bytes()).unwrap();
        let (mut heard, mut chunk) = (String::new(), [0; 4096]);
        while !heard.contains("\r\n\r\n") {
            let read = self.0.read(&mut chunk).unwrap();
            assert!(read > 0, "the connection was closed: {heard}");
            heard += &String::from_utf8_lossy(&chunk[..read]);
        }
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap_or_default();
        let empty = body.is_empty() && head.to_ascii_lowercase().contains("content-length: 0");
        if empty { format!("{status} and nothing more") } else { heard }
    }
}
