//! The payload, member by member.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tiphys_servers::kafka;

use super::site::{producer, topic};
use crate::stage::Stage;
use crate::wait::{events, letters};

#[derive(Deserialize)]
struct Vector {
    name: String,
    config: Value,
    key: Option<String>,
    value: Option<String>,
    time: i64,
    headers: Vec<(String, String)>,
    /// None: a dead letter.
    payload: Option<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_have_argos_shape() {
    let Some(server) = kafka() else { return };
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../data/kafka.json")).unwrap();
    let sender = producer(&server);
    let mut all = Map::new();
    for (at, vector) in vectors.iter().enumerate() {
        let name = format!("v{at}");
        topic(&server, &name, 1).await;
        let headers = vector.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: Some(value.as_bytes()) })
        });
        let mut record = FutureRecord::<str, str>::to(&name).timestamp(vector.time).headers(headers);
        record.key = vector.key.as_deref();
        record.payload = vector.value.as_deref();
        sender.send(record, Duration::from_secs(20)).await.unwrap();
        let mut event = vector.config.clone();
        event["url"] = json!(server.url());
        event["topic"] = json!(name);
        event["consumerGroup"] = json!({"groupName": name, "oldest": true});
        all.insert(name, event);
    }
    let manifest = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": "k"}, "spec": {"kafka": all},
    });
    let good = vectors.iter().filter(|vector| vector.payload.is_some()).count();
    let stage = Stage::start(&manifest.to_string()).await;
    let stored = events(&stage, good).await;
    let letters = letters(&stage, vectors.len() - good).await;
    let stored: BTreeMap<&str, _> = stored.iter().map(|event| (event.origin.event.as_str(), event)).collect();
    for (at, vector) in vectors.iter().enumerate() {
        let name = format!("v{at}");
        let Some(payload) = &vector.payload else {
            let letter = letters.iter().find(|letter| letter.reason.starts_with(&format!("k/{name}: ")));
            assert!(
                letter.is_some_and(|letter| letter.code == "TIP-SRC-009"),
                "{}: {letters:?}",
                vector.name
            );
            continue;
        };
        let event = stored[name.as_str()];
        assert_eq!(std::str::from_utf8(&event.data).unwrap(), payload, "{}", vector.name);
        assert_eq!(event.occurred.unwrap().as_millisecond(), vector.time);
        let id = &event.attributes["nativeid"];
        assert!(id.ends_with(&format!("/{name}/0/0/{}", vector.time)) && !id.starts_with('/'), "{id}");
        assert_eq!(event.kind, "kafka");
    }
    stage.end().await;
}
