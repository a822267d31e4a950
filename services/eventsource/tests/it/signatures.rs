//! Who is let in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::Sha256;
use tiphys_core::Timestamp;
use tiphys_eventsource::raw;

use crate::stage::{Stage, body_of, raw as send_raw};

const SECRETS: &str = "
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {old: old-secret, new: new-secret, std: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz}
---
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: s}
spec:
  webhook:
    jira:
      auth: {preset: jira, secrets: [{name: keys, key: old}, {name: keys, key: new}]}
    both:
      auth:
        apiKey: {header: X-Api-Key, secrets: [{name: keys, key: old}]}
        hmac: {header: X-Sig, algorithm: sha1, encoding: base64, prefix: 'v=', secrets: [{name: keys, key: new}]}
    bearer:
      auth: {bearer: {secrets: [{name: keys, key: old}, {name: keys, key: new}]}}
    std:
      auth: {preset: standard-webhooks, secrets: [{name: keys, key: std}]}
    falco:
      auth: {preset: falcosidekick, secrets: [{name: keys, key: new}]}
    open-by-mistake:
      auth: {preset: jira}
";

/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// Odd spacing, CRLF, a 19-digit integer, escapes.
const BODY: &str = "{ \"a\":\t[1 ,2],\r\n  \"n\": 1795348800123456789, \"e\": \"\\u003c x \\\" \" }\r\n";
const COMPACT: &str = r#"{"a":[1,2],"n":1795348800123456789,"e":"\u003c x \" "}"#;

fn sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn hub(key: &str, body: &str) -> String {
    format!("sha256={}", hex::encode(sha256(key.as_bytes(), &[body.as_bytes()])))
}

fn sha1(key: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("v={}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn standard(id: &str, seconds: i64, body: &str) -> String {
    let time = seconds.to_string();
    let parts = [id.as_bytes(), b".", time.as_bytes(), b".", body.as_bytes()];
    format!("v1,{}", STANDARD.encode(sha256(b"012345678901234567890123", &parts)))
}

/// Sends `BODY`; gives the status.
async fn status(stage: &Stage, event: &str, headers: Headers<'_>, body: &str) -> u16 {
    let mut request = stage.client.post(stage.canonical("s", event)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_signature_must_fit_the_bytes() {
    let stage = Stage::start(SECRETS).await;
    let (old, new) = (hub("old-secret", BODY), hub("new-secret", BODY));
    let mut altered = BODY.to_owned();
    altered.replace_range(9..10, "3");
    let cases: &[(Headers<'_>, &str, u16)] = &[
        (&[("x-hub-signature", &old)], BODY, 200),
        (&[("x-hub-signature", &new)], BODY, 200),
        (&[("x-hub-signature", &old.to_uppercase().replace("SHA", "sha"))], BODY, 200),
        (&[("x-hub-signature", &hub("other", BODY))], BODY, 401),
        (&[("x-hub-signature", &old)], &altered, 401),
        (&[("x-hub-signature", &old)], COMPACT, 401),
        (&[("x-hub-signature", &old[7..])], BODY, 401),
        (&[("x-hub-signature", "sha256=")], BODY, 401),
        (&[("x-hub-signature", "sha256=zz")], BODY, 401),
        (&[("x-hub-signature", &old[..old.len() - 2])], BODY, 401),
        (&[("x-hub-signature-256", &old)], BODY, 401),
        (&[], BODY, 401),
    ];
    for (headers, body, expected) in cases {
        assert_eq!(status(&stage, "jira", headers, body).await, *expected, "{headers:?}");
    }
    let events = stage.events().await;
    assert_eq!(events.len(), 3);
    assert_eq!(body_of(&events[0]), COMPACT);
    let bytes = raw::original(&events[0], stage.bus.as_ref()).await.unwrap();
    assert_eq!(bytes.unwrap(), BODY);
    stage.end().await;
}

#[tokio::test]
async fn each_scheme_that_is_configured_must_pass() {
    let stage = Stage::start(SECRETS).await;
    let (good, bad) = (sha1("new-secret", BODY), sha1("old-secret", BODY));
    let cases: &[(Headers<'_>, u16)] = &[
        (&[("x-api-key", "old-secret"), ("x-sig", &good)], 200),
        (&[("x-api-key", "old-secret"), ("x-sig", &bad)], 401),
        (&[("x-api-key", "new-secret"), ("x-sig", &good)], 401),
        (&[("x-sig", &good)], 401),
        (&[("x-api-key", "old-secret")], 401),
        (&[("x-api-key", "old-secret"), ("x-api-key", "x"), ("x-sig", &good)], 401),
    ];
    for (headers, expected) in cases {
        assert_eq!(status(&stage, "both", headers, BODY).await, *expected, "{headers:?}");
    }
    let cases = [
        ("Bearer old-secret", 200),
        ("bearer new-secret", 200),
        ("Bearer old-secret2", 401),
        ("Bearer ", 401),
        ("old-secret", 401),
        ("Basic old-secret", 401),
    ];
    for (value, expected) in cases {
        assert_eq!(status(&stage, "bearer", &[("authorization", value)], BODY).await, expected, "{value}");
    }
    assert_eq!(status(&stage, "open-by-mistake", &[], BODY).await, 500);
    for event in stage.events().await {
        let text = String::from_utf8(event.data.to_vec()).unwrap();
        assert!(!text.contains("-secret") && !text.contains(&good), "{text}");
    }
    stage.end().await;
}

#[tokio::test]
async fn standard_webhooks_sign_id_and_time_too() {
    let stage = Stage::start(SECRETS).await;
    let now = Timestamp::now().as_second();
    let good = standard("m1", now, BODY);
    let list = format!("v1,AAAA v1a,zzz {good}");
    let dotted = standard("m.1", now, BODY);
    let (old, early) = (standard("m1", now - 400, BODY), standard("m1", now + 400, BODY));
    let cases = [
        ("m1", now, &good, 200),
        ("m1", now, &list, 200),
        ("m2", now, &good, 401),
        ("m1", now + 1, &good, 401),
        ("m.1", now, &dotted, 401),
        ("m1", now - 400, &old, 401),
        ("m1", now + 400, &early, 401),
    ];
    for (id, time, signature, expected) in cases {
        let time = time.to_string();
        let headers = [("webhook-id", id), ("webhook-timestamp", &time), ("webhook-signature", signature)];
        assert_eq!(status(&stage, "std", &headers, BODY).await, expected, "{id} {time} {signature}");
    }
    assert_eq!(stage.events().await.len(), 1, "the second one is a duplicate");
    stage.end().await;
}

#[tokio::test]
async fn a_falcosidekick_request_survives_byte_for_byte() {
    let stage = Stage::start(&SECRETS.replace("new-secret", "s3cret")).await;
    let request = include_str!("../data/falcosidekick.http");
    let request = request.replace("{path}", "/events/default/s/falco");
    let body = request.split_once("\r\n\r\n").unwrap().1;
    for _ in 0..2 {
        let answer = send_raw(stage.main(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-length: 0\r\n"), "{answer}");
        assert!(answer.contains("x-event-id: "), "{answer}");
    }
    let events = stage.events().await;
    assert_eq!(events.len(), 1, "the same alert twice is one event");
    assert_eq!(body_of(&events[0]), body.trim_end());
    assert!(body.contains("1772608500000000042") && body.contains("\\u003c"));
    let bytes = raw::original(&events[0], stage.bus.as_ref()).await.unwrap();
    assert_eq!(bytes.unwrap(), body);
    assert_eq!(events[0].attributes["nativeid"], "9b0c6a51-52f5-4f5d-8f0e-6f6d0b6f3c11");
    stage.end().await;
}
