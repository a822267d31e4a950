//! What is told while it happens: streams, logs, findings.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead as _, Read as _};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::json;
use tiphys_tests::{Server, until};

const WATCHED: &str = "
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: in}
spec: {webhook: {a: {endpoint: /a, method: POST}, b: {endpoint: /b, method: POST}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: s}
spec:
  dependencies: [{name: a, eventSourceName: in, eventName: a}, {name: b, eventSourceName: in, eventName: b}]
  triggers:
    - template: {name: one, conditions: a, log: {}}
    - template: {name: two, conditions: a || b, log: {}}
---
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: held}
spec:
  entrypoint: main
  templates:
    - name: main
      suspend: {}
";

/// The tail tells an event, and what its sensors say of it later. Streams end with the server: none of them is cut
/// off when the time for open connections is over.
#[test]
fn the_tail_tells_verdicts_and_streams_end_with_the_server() {
    let mut server = Server::on(WATCHED);
    server.ok(&["submit", "--from", "wftmpl/held", "--name", "w"]);
    let mut tail = server.open("/api/tiphys/v1/events/stream?namespace=default&source=in").unwrap();
    let others =
        ["/api/v1/workflow-events/default", "/api/v1/workflows/default/w/log?logOptions.follow=true"]
            .map(|path| server.open(path).unwrap());
    let id = server.post("in", "a", &json!({})).unwrap();
    let id = id.header("x-event-id").unwrap();
    let mut told = String::new();
    for part in [format!("\"id\":\"{id}\""), "\"received\"".into(), "\"outcome\":\"fired\"".into()] {
        while !told.contains(&part) {
            let mut line = String::new();
            assert_ne!(tail.read_line(&mut line).unwrap(), 0, "{part} is missing in:\n{told}");
            told.push_str(&line);
        }
    }
    assert!(server.interrupt(), "{}", server.log());
    assert!(!server.log().contains("grace period is over"), "{}", server.log());
    for mut stream in [tail].into_iter().chain(others) {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("0\r\n\r\n"), "a stream was cut off: {rest:?}");
    }
}

#[test]
fn names_are_given_once_and_applied_objects_as_data() {
    let server = Server::on(WATCHED);
    let counted = |status: &serde_json::Value| status["triggers"].as_array().map_or(0, Vec::len);
    until("a row for each dependency", || (counted(&server.json(&["status"])) == 3).then_some(()));
    assert_eq!(server.ok(&["status", "-o", "name"]), "trigger/s/one\ntrigger/s/two\n");
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let path = file.path().to_str().unwrap();
    std::fs::write(file.path(), WATCHED.replace("name: in}", "name: new}")).unwrap();
    let applied = server.json(&["apply", path]);
    assert_eq!(applied["items"].as_array().unwrap().len(), 3, "{applied}");
    let findings = applied["diagnostics"].as_array().unwrap();
    let hidden: Vec<_> = findings.iter().filter(|finding| finding["code"] == "TIP-MAN-011").collect();
    assert_eq!(hidden.len(), 2, "{applied}");
    assert!(
        hidden.iter().all(|finding| finding["file"] == path && finding["line"].as_u64() > Some(1)),
        "{applied}"
    );
}

/// A template that can never run is told of when it is saved, with its place, and stops nothing else.
#[test]
fn a_bad_graph_is_told_of_when_it_is_saved() {
    let server = Server::on(WATCHED);
    let template = "apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: lost}
spec:
  templates:
    - name: main
      dag:
        tasks:
          - {name: a, template: b, depends: nobody}
    - {name: b, suspend: {}}
";
    std::fs::write(server.manifests().join("lost.yaml"), template).unwrap();
    until("the finding", || {
        let status = server.json(&["status"]);
        let found = status["diagnostics"].as_array()?.iter().find(|d| d["code"] == "TIP-MAN-033")?.clone();
        assert_eq!((&found["line"], &found["severity"]), (&json!(9), &json!("error")), "{found}");
        Some(())
    });
    assert!(server.log().contains("lost.yaml:9:"), "{}", server.log());
    assert_eq!(server.post("in", "b", &json!({})).unwrap().status, 200);
}

/// JSON in which no object has a key twice: who reads such a log takes one of the values, or none.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a key that is there twice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, _)) = map.next_entry::<String, Self>()? {
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format!("`{twice}` is there twice")));
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[test]
fn logs_are_json_with_each_key_once_and_a_bad_filter_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), WATCHED).unwrap();
    let wrong = ("TIPHYS_LOG", "tiphys_bus=loud");
    let mut server = Server::with(folder.path(), &["--log-format", "json"], &[wrong]);
    assert_eq!(server.post("in", "a", &json!({})).unwrap().status, 200);
    until("the firing in the log", || server.log().contains("\"triggered\"").then_some(()));
    assert!(server.interrupt());
    let log = server.log();
    assert!(log.contains(wrong.1) && log.contains("TIPHYS_LOG"), "{log}");
    assert!(!log.contains("fjall") && !log.contains("lsm_tree"), "the storage is quiet all the same: {log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert!(lines.iter().any(|line| line.contains("\"task\":\"executor\"")), "{log}");
    for line in lines {
        if let Err(wrong) = serde_json::from_str::<Unambiguous>(line) {
            panic!("{wrong}: {line}");
        }
    }
}
