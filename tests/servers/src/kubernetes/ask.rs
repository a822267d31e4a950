//! Questions to the API server, for tests that are no asynchronous functions, too.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

/// Does something asynchronous in a runtime of its own, also where the caller has one.
pub(crate) fn wait_for<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    let run = || {
        // Clients make much of a server that is not yet ready.
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work())
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(super) async fn config(kubeconfig: &Value) -> Config {
    let parsed: Kubeconfig = serde_json::from_value(kubeconfig.clone()).expect("a kubeconfig");
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(parsed, &options).await.expect("a kubeconfig")
}

/// A client that waits for no answer longer than a few seconds, as the server may be starting.
pub(super) async fn client(kubeconfig: &Value) -> Client {
    let mut config = config(kubeconfig).await;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(10));
    Client::try_from(config).expect("a client")
}

/// Whether the server says that it is ready.
pub(super) async fn ready(client: &Client) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
    client.request_text(request).await.is_ok_and(|text| text == "ok")
}

pub(super) async fn has_account(client: &Client, namespace: &str) -> bool {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    accounts.get("default").await.is_ok()
}

pub(super) async fn make_namespace(client: &Client, name: &str) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let namespace = serde_json::from_value(namespace).expect("a namespace");
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .expect("a namespace");
}

/// Whether a node takes pods.
pub(super) async fn node_is_ready(client: &Client, name: &str) -> bool {
    let node = Api::<Node>::all(client.clone()).get(name).await.ok();
    let conditions =
        node.and_then(|node| node.status).and_then(|status| status.conditions).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A token of a service account, for an hour.
pub(super) async fn token(client: &Client, namespace: &str, account: &str) -> String {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await;
    made.expect("a token").status.and_then(|status| status.token).expect("a token")
}
