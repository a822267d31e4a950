//! Following events: trace, replay, dead letters, the sum rule against an outside ledger.

use serde_json::{Value, json};
use tiphys_tests::{Server, until};

const SENSOR: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: in}
spec:
  webhook:
    a: {endpoint: /a, method: POST, idHeader: X-Id}
    b: {endpoint: /b, method: POST}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: s}
spec:
  dependencies:
    - name: a
      eventSourceName: in
      eventName: a
      filters:
        data:
          - {path: body.priority, type: string, value: ["^Critical$", "^Error$"]}
    - {name: b, eventSourceName: in, eventName: b}
  triggers:
    - template: {name: single, conditions: a, log: {}}
    - template: {name: both, conditions: a && b, log: {}}
    - template:
        name: broken
        conditions: b
        http: {url: "http://127.0.0.1:9/never"}
      retryStrategy: {steps: 1}
"#;

fn sums(server: &Server) -> Vec<Value> {
    let status = server.json(&["status"]);
    let rows = status["triggers"].as_array().unwrap().clone();
    for row in &rows {
        let count = |bucket: &str| row[bucket].as_u64().unwrap();
        let parts =
            ["fired", "filtered", "superseded", "reset", "suppressed", "deadLettered", "inFlight"].map(count);
        assert_eq!(count("accepted"), parts.iter().sum::<u64>(), "{row}");
    }
    rows
}

fn row(rows: &[Value], trigger: &str, dependency: &str) -> Value {
    let found = rows.iter().find(|row| row["trigger"] == trigger && row["dependency"] == dependency);
    found.unwrap_or_else(|| panic!("{trigger}/{dependency} in {rows:#?}")).clone()
}

#[test]
fn every_event_is_accounted_for_and_can_be_followed() {
    let server = Server::on(SENSOR);
    let post = |event: &str, body: Value| server.post("in", event, &body).unwrap();
    // The outside ledger: 6 of a (4 pass the filter), 1 of b.
    let mut passed = String::new();
    for n in 0..6 {
        let priority = if n < 4 { "Critical" } else { "Notice" };
        let answer = post("a", json!({"n": n, "priority": priority}));
        assert_eq!(answer.status, 200);
        if n == 0 {
            answer.header("x-event-id").unwrap().clone_into(&mut passed);
        }
    }
    post("b", json!({}));
    let rows = until("settled sums", || {
        let rows = sums(&server);
        let settled = row(&rows, "both", "b")["fired"] == 1 && row(&rows, "broken", "b")["deadLettered"] == 1;
        (settled && row(&rows, "single", "a")["fired"] == 4).then_some(rows)
    });
    let single = row(&rows, "single", "a");
    assert_eq!(
        (&single["accepted"], &single["filtered"], &single["inFlight"]),
        (&json!(6), &json!(2), &json!(0))
    );
    let both = row(&rows, "both", "a");
    // Four passed; each displaced the one before, the last completed the condition.
    assert_eq!(
        (&both["fired"], &both["superseded"], &both["filtered"]),
        (&json!(1), &json!(3), &json!(2)),
        "{both}"
    );

    let story = server.ok(&["events", "get", &passed, "--trace"]);
    assert!(story.contains("body.priority"), "{story}");
    assert!(story.contains("Critical"), "{story}");
    let trace = server.json(&["events", "get", &passed, "--trace"]);
    assert_eq!(trace["event"]["data"]["body"]["priority"], "Critical");

    server.ok(&["replay", &passed]);
    until("the replayed firing", || (row(&sums(&server), "single", "a")["fired"] == 5).then_some(()));

    let letters = server.json(&["dlq", "list"]);
    assert_eq!(letters["items"].as_array().unwrap().len(), 1, "{letters:#}");
    let number = letters["items"][0]["sequence"].to_string();
    assert_eq!(server.json(&["dlq", "show", &number])["trigger"], "broken");

    let metrics = server.send("GET", "/metrics", &[], b"").unwrap().body;
    assert!(metrics.contains("argo_events_events_sent_total"), "{metrics}");
    assert!(metrics.contains(r#"tiphys_trigger_events{namespace="default",sensor="s",trigger="single",dependency="a",bucket="accepted"} 7"#), "{metrics}");
}

#[test]
fn the_same_id_is_the_same_event_and_with_another_body_a_new_one() {
    let server = Server::on(SENSOR);
    let send = |body: &str| {
        let headers = [("Content-Type", "application/json"), ("X-Id", "one")];
        let answer = server.send("POST", "/events/default/in/a", &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200);
        answer.header("x-event-id").unwrap().to_owned()
    };
    let first = send(r#"{"priority": "Critical"}"#);
    assert_eq!(send(r#"{"priority":"Critical"}"#).len(), first.len());
    assert_eq!(send(r#"{"priority": "Critical"}"#), first);
    assert_ne!(send(r#"{"priority": "Error"}"#), first);
}

#[test]
fn a_paused_trigger_keeps_its_firings_over_a_restart() {
    let mut server = Server::on(SENSOR);
    server.ok(&["trigger", "pause", "s/single", "--reason", "maintenance"]);
    server.post("in", "a", &json!({"priority": "Error"})).unwrap();
    until("the firing", || (row(&sums(&server), "single", "a")["inFlight"] == 1).then_some(()));
    server.kill();
    server.run();
    assert_eq!(row(&sums(&server), "single", "a")["inFlight"], 1);
    server.ok(&["trigger", "resume", "s/single"]);
    until("the effect", || (row(&sums(&server), "single", "a")["fired"] == 1).then_some(()));
}
