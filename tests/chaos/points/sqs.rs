//! A queue of SQS, on ElasticMQ.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};
use tiphys_servers::{ElasticMq, elasticmq};
use tiphys_tests::server::exchange;

use super::{Queue, killed_at_each_point};
use crate::tap::{Tap, Trap};
use crate::wire::Wire;

struct Sqs {
    server: ElasticMq,
    tap: Tap,
}

impl Sqs {
    /// One question of the query protocol; the answer is XML.
    fn ask(&self, path: &str, question: &str) -> String {
        let authority = self.server.url().trim_start_matches("http://").to_owned();
        let request =
            format!("GET {path}?{question} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        let answer = exchange(&authority, request.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

/// What stands between two tags, each time.
fn between<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).collect()
}

const QUEUE: &str = "/000000000000/messages";

impl Queue for Sqs {
    fn spec(&self) -> Value {
        json!({"sqs": {"e": {
            "region": "eu-west-1", "queue": "messages", "jsonBody": true, "waitTimeSeconds": 1,
            "endpoint": format!("http://127.0.0.1:{}", self.tap.port),
            "accessKey": {"name": "aws", "key": "key"}, "secretKey": {"name": "aws", "key": "key"},
        }}})
    }

    fn send(&mut self, numbers: Range<usize>) -> Vec<String> {
        let sent = numbers.map(|n| {
            let answer = self.ask(QUEUE, &format!("Action=SendMessage&MessageBody=%7B%22n%22%3A{n}%7D"));
            between(&answer, "MessageId")[0].to_owned()
        });
        sent.collect()
    }

    fn id(native: &str) -> String {
        native.to_owned()
    }

    fn unacked(&mut self) -> Option<usize> {
        let answer = self.ask(QUEUE, "Action=GetQueueAttributes&AttributeName.1=All");
        let values = between(&answer, "Name").into_iter().zip(between(&answer, "Value"));
        let counts = values.filter(|(name, _)| {
            matches!(*name, "ApproximateNumberOfMessages" | "ApproximateNumberOfMessagesNotVisible")
        });
        Some(counts.map(|(_, count)| count.parse::<usize>().unwrap()).sum())
    }
}

#[test]
fn sqs_killed_at_each_point() {
    let Some(server) = elasticmq() else { return };
    let trap = Arc::new(Trap::default());
    let port = server.url().rsplit(':').next().unwrap().parse().unwrap();
    let queue = Sqs { server, tap: Tap::to(port, Wire::Sqs, &trap) };
    queue.ask("/", "Action=CreateQueue&QueueName=messages");
    killed_at_each_point(queue, &trap);
}
