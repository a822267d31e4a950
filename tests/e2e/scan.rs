//! ticket-scan: a signed ticket webhook is scanned by two scanners, and nothing secret leaves in clear.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tiphys_tests::{Local, Server, others, root};

/// The demo values of the example's Secret.
pub(crate) fn demo(key: &str) -> String {
    let text = std::fs::read_dir(root().join("examples/ticket-scan"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect::<String>();
    let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{key}:"))).unwrap();
    line.split_once(':').unwrap().1.trim().trim_matches('"').to_owned()
}

pub(crate) fn signed(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(demo("hmac").as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

pub(crate) fn post(server: &Server, body: &str, key: &str, signature: &str) -> u16 {
    let headers = [("Content-Type", "application/json"), ("X-Api-Key", key), ("X-Hub-Signature", signature)];
    server.send("POST", "/events/default/jira/issue", &headers, body.as_bytes()).unwrap().status
}

pub(crate) fn ticket(key: &str) -> String {
    json!({"webhookEvent": "jira:issue_created", "timestamp": 1_795_348_800_123_u64,
           "issue": {"id": "10001", "key": key, "fields": {"summary": "x"}}})
    .to_string()
}

#[test]
fn plain_patterns_scan_a_ticket_and_what_is_found_is_masked() {
    scan(
        &Server::with(&root().join("examples/ticket-scan"), &[], &[("PATH", "/usr/bin:/bin")]),
        "patterns-tokens",
    );
}

#[test]
fn real_scanners_scan_a_ticket_and_what_is_found_is_masked() {
    let programs = ["detect-secrets", "ripsecrets"].map(|name| (name, others::program(name)));
    let mut path = String::from("/usr/bin:/bin");
    for (name, program) in programs {
        let Some(program) = program else { return others::missing(name) };
        path = format!("{}:{path}", program.parent().unwrap().display());
    }
    scan(&Server::with(&root().join("examples/ticket-scan"), &[], &[("PATH", &path)]), "ripsecrets");
}

#[test]
fn separate_services_scan_a_ticket() {
    let example = root().join("examples/ticket-scan");
    let Some(local) = Local::with(&example, &[("PATH", "/usr/bin:/bin")]) else { return };
    scan(&local, "patterns-tokens");
}

/// Posts a ticket, and looks at everything that comes of it.
fn scan(server: &Server, scanner: &str) {
    let body = ticket("SEC-7");
    let key = demo("api-key");
    assert_eq!(post(server, &body, "wrong", &signed(&body)), 401);
    assert_eq!(post(server, &body, &key, "sha256=00"), 401);
    assert_eq!(post(server, &format!("{body} "), &key, &signed(&body)), 401, "one byte more");
    assert_eq!(post(server, &body, &key, &signed(&body)), 200);
    let workflows = server.ended(1);
    let workflow = &workflows[0];
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{}", server.ok(&["logs", "@latest"]));
    let nodes = workflow["status"]["nodes"].as_object().unwrap();
    let pods = nodes.values().filter(|node| node["type"] == "Pod").count();
    assert!(pods >= 5, "fetch, two scanners, merge, publish: {pods}");

    let file = server.data().join("shared/findings/SEC-7.json");
    let findings: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let text = findings.to_string();
    assert!(text.contains("sha256") && text.contains("masked") && text.contains(scanner), "{text}");
    let found = findings.as_array().or_else(|| findings["findings"].as_array()).unwrap();
    assert!(found.len() >= 3, "{text}");

    // What the fixture hides appears in nothing that leaves a step.
    let secrets = secrets_of_the_fixture();
    assert!(!secrets.is_empty());
    let events = server.json(&["events", "list", "findings"]);
    let report = server.json(&["events", "get", events["items"][0]["id"].as_str().unwrap()]).to_string();
    for secret in &secrets {
        for (place, content) in [("findings", &text), ("report", &report), ("log", &server.log())] {
            assert!(!content.contains(secret), "{secret} in {place}");
        }
        assert!(!server.ok(&["logs", "@latest"]).contains(secret), "{secret} in the logs");
        assert!(!workflow.to_string().contains(secret), "{secret} in the workflow");
    }
}

/// The secrets of the fixture, one per line of a file that stands beside it for this test.
pub(crate) fn secrets_of_the_fixture() -> Vec<String> {
    let list = root().join("examples/ticket-scan/fixtures/SECRETS.txt");
    std::fs::read_to_string(list)
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_clean_ticket_has_no_findings() {
    let server = Server::start(&root().join("examples/ticket-scan"));
    let body = ticket("CLEAN-1");
    assert_eq!(post(&server, &body, &demo("api-key"), &signed(&body)), 200);
    let workflows = server.ended(1);
    assert_eq!(workflows[0]["status"]["phase"], "Succeeded", "{}", server.ok(&["logs", "@latest"]));
    let file = server.data().join("shared/findings/CLEAN-1.json");
    let findings: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let found = findings.as_array().or_else(|| findings["findings"].as_array()).unwrap();
    assert!(found.is_empty(), "{findings}");
}
