//! The door of the API, start and stop, bad input.

use std::process::Command;

use serde_json::json;
use tiphys_tests::{Server, binary, until};

const HOOK: &str = "
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: in}
spec: {webhook: {a: {endpoint: /a, method: POST}}}
---
apiVersion: v1
kind: Secret
metadata: {name: canary}
stringData: {key: canary-4711-of-the-test}
";

/// Every route of the API, with a method that it has.
const ROUTES: [(&str, &str); 39] = [
    ("GET", "/api/v1/workflows/"),
    ("GET", "/api/v1/workflows/default"),
    ("POST", "/api/v1/workflows/default"),
    ("POST", "/api/v1/workflows/default/submit"),
    ("GET", "/api/v1/workflows/default/x"),
    ("DELETE", "/api/v1/workflows/default/x"),
    ("GET", "/api/v1/workflows/default/x/log"),
    ("PUT", "/api/v1/workflows/default/x/stop"),
    ("GET", "/api/v1/workflow-events/default"),
    ("POST", "/api/v1/workflows/default/lint"),
    ("GET", "/api/v1/workflows/default/x/y/log"),
    ("GET", "/api/v1/workflow-events/"),
    ("GET", "/api/v1/info"),
    ("GET", "/api/v1/userinfo"),
    ("GET", "/api/v1/workflow-templates/"),
    ("POST", "/api/v1/workflow-templates/default"),
    ("POST", "/api/v1/workflow-templates/default/lint"),
    ("PUT", "/api/v1/workflow-templates/default/x"),
    ("DELETE", "/api/v1/cluster-workflow-templates/x"),
    ("GET", "/api/v1/cron-workflows/default"),
    ("PUT", "/api/v1/cron-workflows/default/x/suspend"),
    ("GET", "/api/v1/version"),
    ("POST", "/api/tiphys/v1/objects"),
    ("GET", "/api/tiphys/v1/objects/Secret"),
    ("GET", "/api/tiphys/v1/objects/Secret/default/canary"),
    ("DELETE", "/api/tiphys/v1/objects/Secret/default/canary"),
    ("GET", "/api/tiphys/v1/events"),
    ("GET", "/api/tiphys/v1/events/stream"),
    ("GET", "/api/tiphys/v1/events/x"),
    ("GET", "/api/tiphys/v1/events/x/trace"),
    ("POST", "/api/tiphys/v1/events/x/replay"),
    ("GET", "/api/tiphys/v1/dead-letters"),
    ("GET", "/api/tiphys/v1/dead-letters/1"),
    ("POST", "/api/tiphys/v1/dead-letters/1/retry"),
    ("POST", "/api/tiphys/v1/triggers/default/s/t/pause"),
    ("GET", "/api/tiphys/v1/cron"),
    ("GET", "/api/tiphys/v1/cron/default/x/next"),
    ("POST", "/api/tiphys/v1/cron/default/x/run"),
    ("GET", "/no/such/route"),
];

#[test]
fn no_route_opens_without_the_token() {
    let server = Server::on(HOOK);
    let token = server.token();
    for (method, path) in ROUTES {
        for bad in ["", "Bearer ", "Bearer nothing", "Basic eDp5", &format!("Bearer {token}x")] {
            let answer = server.send(method, path, &[("Authorization", bad)], b"").unwrap();
            assert_eq!(answer.status, 401, "{method} {path} with {bad:?}");
        }
    }
    let bearer = format!("Bearer {token}");
    let evil = format!(
        "GET /api/v1/version HTTP/1.1\r\nHost: evil.example\r\nAuthorization: {bearer}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(server.raw(evil.as_bytes()).unwrap().status, 403);
    let headers = [("Authorization", bearer.as_str()), ("Origin", "http://evil.example")];
    assert_eq!(server.send("GET", "/api/v1/version", &headers, b"").unwrap().status, 403);
    for open in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(server.send("GET", open, &[], b"").unwrap().status, 200, "{open}");
    }
    assert_eq!(server.post("in", "a", &json!({})).unwrap().status, 200);
    // Secrets are objects like others, without what they hold.
    let secret = server.ok(&["get", "secret/canary", "-o", "json"]);
    assert!(!secret.contains("4711"), "{secret}");
    assert!(!server.log().contains("4711"));
}

#[test]
fn a_second_instance_and_a_taken_port_are_told_what_to_do() {
    let server = Server::on(HOOK);
    let again = |port: &str, data: &std::path::Path| {
        let output = Command::new(binary())
            .arg("dev")
            .arg(server.manifests())
            .arg("--data")
            .arg(data)
            .args(["--port", port])
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let second = again("0", server.data());
    assert!(second.contains("in use by another process") && second.contains("--data"), "{second}");
    let port = server.authority().rsplit_once(':').unwrap().1.to_owned();
    let other = tempfile::tempdir().unwrap();
    let taken = again(&port, other.path());
    assert!(taken.contains("in use") && taken.contains("--port"), "{taken}");
    assert_eq!(server.post("in", "a", &json!({})).unwrap().status, 200, "the first one is not disturbed");
}

#[test]
fn manifests_are_read_again_when_they_are_saved_and_a_bad_save_loses_nothing() {
    let server = Server::on(HOOK);
    let file = server.manifests().join("all.yaml");
    let more = HOOK.replace(
        "a: {endpoint: /a, method: POST}",
        "a: {endpoint: /a, method: POST}, b: {endpoint: /b, method: POST}",
    );
    std::fs::write(&file, &more).unwrap();
    until("the new webhook", || (server.post("in", "b", &json!({})).ok()?.status == 200).then_some(()));
    until("the change in the log", || server.log().contains("changed EventSource default/in").then_some(()));
    std::fs::write(&file, more.replace("spec:", "spec: [")).unwrap();
    until("the finding", || {
        let status = server.json(&["status"]);
        status["diagnostics"].as_array()?.iter().any(|d| d["severity"] == "error").then_some(())
    });
    assert_eq!(server.post("in", "b", &json!({})).unwrap().status, 200, "the last good manifest stays");
}

#[test]
fn bad_requests_get_the_documented_answer() {
    let server = Server::on(HOOK);
    let path = "/events/default/in/a";
    let json = [("Content-Type", "application/json")];
    for (method, path, body, status) in [
        ("POST", path, b"{".as_slice(), 400),
        ("POST", path, b"".as_slice(), 400),
        ("PUT", path, b"{}".as_slice(), 405),
        ("POST", "/events/default/in/none", b"{}".as_slice(), 404),
        ("POST", path, "[".repeat(100_000).as_bytes(), 400),
    ] {
        assert_eq!(server.send(method, path, &json, body).unwrap().status, status, "{method} {path}");
    }
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    assert_eq!(
        server.send("POST", path, &json, large.as_bytes()).map(|answer| answer.status).unwrap_or(413),
        413
    );
    assert_eq!(server.post("in", "a", &json!({})).unwrap().status, 200);
    assert_eq!(server.json(&["events", "list"])["items"].as_array().unwrap().len(), 1);
    let behind_all = format!("/api/tiphys/v1/events?after={}", u64::MAX);
    assert_eq!(server.api(&behind_all)["items"].as_array().unwrap().len(), 0);
}

#[test]
fn one_ctrl_c_drains_and_what_was_applied_is_there_at_the_next_start() {
    let mut server = Server::on(HOOK);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("more.yaml");
    std::fs::write(&file, HOOK.replace("name: in", "name: more")).unwrap();
    server.ok(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(server.post("more", "a", &json!({"n": 1})).unwrap().status, 200);
    assert!(server.interrupt(), "{}", server.log());
    assert!(!server.log().contains("grace period is over"), "every task ends by itself: {}", server.log());
    assert!(!server.data().join("server.json").exists());
    server.run();
    assert_eq!(server.post("more", "a", &json!({"n": 2})).unwrap().status, 200);
    assert_eq!(server.json(&["events", "list", "more"])["items"].as_array().unwrap().len(), 2);
    server.ok(&["delete", "eventsource/more"]);
    until("the end of the webhook", || {
        (server.post("more", "a", &json!({})).ok()?.status == 404).then_some(())
    });
}
