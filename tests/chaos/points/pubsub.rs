//! A subscription of Pub/Sub, on Google's emulator.

use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tiphys_servers::pubsub;
use tiphys_tests::server::exchange;

use super::{Queue, killed_at_each_point};
use crate::tap::{Tap, Trap};
use crate::wire::Wire;

struct PubSub {
    server: tiphys_servers::PubSub,
    tap: Tap,
}

const TOPIC: &str = "projects/chaos/topics/messages";
const SUBSCRIPTION: &str = "projects/chaos/subscriptions/messages";

impl PubSub {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (authority, body) = (self.server.host(), body.to_string());
        let request = format!(
            "{method} /v1/{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(&authority, request.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

impl Queue for PubSub {
    fn spec(&self) -> Value {
        json!({"pubSub": {"e": {
            "projectID": "chaos", "subscriptionID": "messages", "jsonBody": true,
            "endpoint": format!("http://127.0.0.1:{}", self.tap.port),
        }}})
    }

    fn send(&mut self, numbers: Range<usize>) -> Vec<String> {
        let messages: Vec<Value> =
            numbers.map(|n| json!({"data": STANDARD.encode(format!(r#"{{"n":{n}}}"#))})).collect();
        let answer = self.ask("POST", &format!("{TOPIC}:publish"), &json!({"messages": messages}));
        let ids = answer["messageIds"].as_array().unwrap();
        ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    fn id(native: &str) -> String {
        native.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// The emulator does not tell.
    fn unacked(&mut self) -> Option<usize> {
        None
    }
}

#[test]
fn pubsub_killed_at_each_point() {
    let Some(server) = pubsub() else { return };
    let trap = Arc::new(Trap::default());
    let port = server.host().rsplit(':').next().unwrap().parse().unwrap();
    let queue = PubSub { server, tap: Tap::to(port, Wire::PubSub, &trap) };
    queue.ask("PUT", TOPIC, &json!({}));
    queue.ask("PUT", SUBSCRIPTION, &json!({"topic": TOPIC, "ackDeadlineSeconds": 10}));
    killed_at_each_point(queue, &trap);
}
