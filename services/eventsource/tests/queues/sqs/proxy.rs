//! Stands between a source and its queue: sees what passes, and keeps requests from it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tiphys_kit::{CancellationToken, Tasks};

pub(super) struct Proxy {
    pub(super) url: String,
    inner: Arc<Inner>,
    _tasks: Tasks,
}

#[derive(Default)]
struct Inner {
    target: String,
    client: reqwest::Client,
    no_deletes: AtomicBool,
    /// So many deletions are refused one by one, within a batch that succeeds.
    refuse: AtomicUsize,
    seen: Mutex<HashMap<String, usize>>,
    receipts: Mutex<Vec<String>>,
    /// The key that the last request was signed with.
    signer: Mutex<String>,
}

impl Proxy {
    pub(super) async fn start(target: &str) -> Self {
        let inner = Arc::new(Inner { target: target.into(), ..Inner::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(pass).with_state(inner.clone());
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("proxy", async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner, _tasks: tasks }
    }

    /// Whether deletions are answered with an error, and not done.
    pub(super) fn keep_deletes(&self, keep: bool) {
        self.inner.no_deletes.store(keep, Ordering::Release);
    }

    pub(super) fn refuse(&self, n: usize) {
        self.inner.refuse.store(n, Ordering::Release);
    }

    pub(super) fn seen(&self, operation: &str) -> usize {
        self.inner.seen.lock().unwrap().get(operation).copied().unwrap_or_default()
    }

    /// Who signed the last request.
    pub(super) fn signer(&self) -> String {
        self.inner.signer.lock().unwrap().clone()
    }

    /// The receipts of all that was received.
    pub(super) fn receipts(&self) -> Vec<String> {
        std::mem::take(&mut *self.inner.receipts.lock().unwrap())
    }
}

async fn pass(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap().to_owned();
    let signature = headers["authorization"].to_str().unwrap();
    let signer = signature.split("Credential=").nth(1).unwrap().split('/').next().unwrap();
    signer.clone_into(&mut inner.signer.lock().unwrap());
    *inner.seen.lock().unwrap().entry(operation.clone()).or_default() += 1;
    if operation == "DeleteMessageBatch" {
        if inner.no_deletes.load(Ordering::Acquire) {
            return (StatusCode::BAD_REQUEST, r#"{"__type":"KmsDisabled","message":"on purpose"}"#)
                .into_response();
        }
        if inner.refuse.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
        {
            let request: Value = serde_json::from_slice(&body).unwrap();
            let failed = request["Entries"].as_array().unwrap().iter().map(
                |entry| json!({"Id": entry["Id"], "SenderFault": false, "Code": "InternalError", "Message": "on purpose"}),
            );
            return axum::Json(json!({"Failed": failed.collect::<Vec<_>>(), "Successful": []}))
                .into_response();
        }
    }
    let request = ["content-type", "x-amz-target", "authorization", "x-amz-date"].into_iter().fold(
        inner.client.post(&inner.target).body(body),
        |request, name| match headers.get(name) {
            Some(value) => request.header(name, value),
            None => request,
        },
    );
    let Ok(answer) = request.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    let Ok(body) = answer.bytes().await else { return StatusCode::BAD_GATEWAY.into_response() };
    if operation == "ReceiveMessage" {
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let messages = answer["Messages"].as_array().into_iter().flatten();
        let receipts = messages.map(|message| message["ReceiptHandle"].as_str().unwrap().to_owned());
        inner.receipts.lock().unwrap().extend(receipts);
    }
    (status, [("content-type", "application/x-amz-json-1.0")], body).into_response()
}
