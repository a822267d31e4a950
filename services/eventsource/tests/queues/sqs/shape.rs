//! The payload, member by member, and what stands beside it.

use std::collections::BTreeMap;

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use base64::Engine as _;
use serde::Deserialize;
use serde_json::json;

use super::site::{Site, bodies, manifest, shared};
use crate::stage::Stage;
use crate::wait::events;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    name: String,
    json_body: bool,
    body: String,
    #[serde(default)]
    attributes: BTreeMap<String, Attribute>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    payload: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<String>,
}

impl Attribute {
    fn value(self) -> MessageAttributeValue {
        let binary = self.binary_value.map(|text| base64::engine::general_purpose::STANDARD.decode(text));
        MessageAttributeValue::builder()
            .data_type(self.data_type)
            .set_string_value(self.string_value)
            .set_binary_value(binary.map(|bytes| Blob::new(bytes.unwrap())))
            .build()
            .unwrap()
    }
}

#[tokio::test]
async fn payloads_have_argos_shape() {
    let Some(server) = shared() else { return };
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../data/sqs.json")).unwrap();
    for (at, vector) in vectors.into_iter().enumerate() {
        let queue = format!("shape-{at}");
        let site = Site::make(&server.url(), &queue, &[]).await;
        let more =
            format!("      jsonBody: {}\n      metadata: {}", vector.json_body, json!(vector.metadata));
        let stage = Stage::start(&manifest(&server.url(), &queue, &more)).await;
        let attributes = vector.attributes.into_iter().map(|(name, value)| (name, value.value()));
        let id = site.send_with(&vector.body, attributes.collect()).await;
        let event = events(&stage, 1).await.remove(0);
        let payload = std::str::from_utf8(&event.data).unwrap();
        assert_eq!(payload, vector.payload.replace("\"ID\"", &json!(id).to_string()), "{}", vector.name);
        assert_eq!((event.kind.as_str(), event.attributes["nativeid"].as_str()), ("sqs", id.as_str()));
        assert!(event.occurred.unwrap() <= event.received);
        site.until(0, 0).await;
        stage.end().await;
    }
}

#[tokio::test]
async fn a_filter_refuses_and_a_trace_goes_on() {
    let Some(server) = shared() else { return };
    let site = Site::make(&server.url(), "filtered", &[]).await;
    let more = "      jsonBody: true\n      filter: {expression: body.n > 1}";
    let stage = Stage::start(&manifest(&server.url(), "filtered", more)).await;
    site.send(r#"{"n": 1}"#).await;
    site.until(0, 0).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let value = MessageAttributeValue::builder().data_type("String").string_value(trace).build().unwrap();
    site.send_with(r#"{"n": 2}"#, vec![("traceparent".into(), value)]).await;
    let stored = events(&stage, 1).await;
    site.until(0, 0).await;
    assert_eq!(stage.events().await.len(), 1);
    assert_eq!(stored[0].attributes["traceparent"], trace);
    stage.end().await;
}

#[tokio::test]
async fn a_trusted_senders_id_tells_what_was_sent_twice() {
    let Some(server) = shared() else { return };
    let site = Site::make(&server.url(), "trusted", &[]).await;
    let more = "      jsonBody: true\n      idAttribute: Tiphys-Firing-Id";
    let stage = Stage::start(&manifest(&server.url(), "trusted", more)).await;
    let id = |id: &str| {
        let value = MessageAttributeValue::builder().data_type("String").string_value(id).build().unwrap();
        vec![("Tiphys-Firing-Id".to_owned(), value)]
    };
    for (body, attributes) in
        [("1", id("a")), ("1", id("a")), ("2", id("b")), ("3", id("b")), ("4", Vec::new()), ("4", Vec::new())]
    {
        site.send_with(body, attributes).await;
        site.until(0, 0).await;
    }
    let stored = stage.events().await;
    assert_eq!(bodies(&stored), ["1", "2", "3", "4", "4"]);
    assert_eq!(stored[0].attributes["nativeid"], "a");
    assert_eq!(stored[2].attributes["conflictswith"], stored[1].id.0);
    stage.end().await;
}
