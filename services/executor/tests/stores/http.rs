//! Artifacts behind URLs.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tiphys_executor::launcher::{ArtifactStore, LaunchError};

use crate::support::{Host, at};
use crate::website::{Said, Website, said};

const KEYS: [(&str, &str); 5] = [
    ("user", "ann"),
    ("password", "pass-word"),
    ("id", "client"),
    ("secret", "client-secret"),
    ("token", ""),
];

fn auth() -> Value {
    json!({"basicAuth": {"usernameSecret": {"name": "keys", "key": "user"},
        "passwordSecret": {"name": "keys", "key": "password"}}})
}

#[tokio::test]
async fn what_a_url_holds_is_fetched_with_what_the_manifest_says() {
    let site = Website::new(|asked| match asked.header("authorization") {
        Some("Basic YW5uOnBhc3Mtd29yZA==") => said("200 OK", "content"),
        _ if asked.path == "/none" => said("404 Not Found", "nothing"),
        _ => said("401 Unauthorized", "who?"),
    });
    let host = Host::new(&KEYS);
    let url = format!("{}/a/b?token=in-the-query", site.url);
    let place = json!({"url": url, "headers": [{"name": "X-Kind", "value": "report"}], "auth": auth()});
    assert_eq!(host.text(&at("http", &place)).await.unwrap(), "content");
    let asked = site.last();
    assert_eq!((asked.path.as_str(), asked.header("x-kind")), ("/a/b?token=in-the-query", Some("report")));

    let told = host.refusal(&at("http", &json!({"url": url}))).await;
    assert!(told.contains("answers 401") && told.contains("check `auth`"), "{told}");
    assert!(!told.contains("in-the-query"), "{told}");
    let count = site.count();
    assert_eq!(count, 2, "a refusal is not asked for again");
    let none = host.text(&at("http", &json!({"url": format!("{}/none", site.url)}))).await;
    assert!(matches!(none, Err(LaunchError::Absent(_))), "{none:?}");
    let count = site.count();
    for url in ["file:///etc/passwd", "ftp://x/y", "nothing", "http://169.254.169.254/latest"] {
        assert!(host.text(&at("http", &json!({"url": url}))).await.is_err(), "{url}");
    }
    assert_eq!(site.count(), count);
}

#[tokio::test]
async fn secrets_stay_with_the_server_they_are_meant_for() {
    let other = Website::new(|_| said("200 OK", "elsewhere"));
    let to = format!("Location: {}/there", other.url);
    let site = Website::new(move |asked| match asked.path.as_str() {
        "/near" => Said("302 Found", vec!["Location: /far".into()], Vec::new()),
        "/far" => Said("307 Temporary Redirect", vec![to.clone()], Vec::new()),
        "/file" => Said("302 Found", vec!["Location: file:///etc/passwd".into()], Vec::new()),
        "/cloud" => Said("302 Found", vec!["Location: http://169.254.169.254/".into()], Vec::new()),
        _ => Said("302 Found", vec!["Location: /loop".into()], Vec::new()),
    });
    let host = Host::new(&KEYS);
    let place = |path: &str| {
        let header = json!([{"name": "X-Token", "value": "abc"}]);
        at("http", &json!({"url": format!("{}{path}", site.url), "headers": header, "auth": auth()}))
    };
    assert_eq!(host.text(&place("/near")).await.unwrap(), "elsewhere");
    let asked = other.last();
    assert_eq!((asked.header("authorization"), asked.header("x-token")), (None, None));
    assert!(site.asked.lock().unwrap().iter().all(|asked| asked.header("x-token") == Some("abc")));

    assert!(host.refusal(&place("/loop")).await.contains("more than 10 times"));
    assert!(host.refusal(&place("/file")).await.contains("is not followed"));
    assert!(host.refusal(&place("/cloud")).await.contains("link-local"));
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again_and_one_that_is_too_large_is_not() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let site = Website::new(|asked| match asked.path.as_str() {
        "/large" => Said("200 OK", vec!["Content-Length: 99999999999".into()], Vec::new()),
        "/half" => Said("200 OK", vec!["Content-Length: 100".into()], b"half".to_vec()),
        _ if COUNT.fetch_add(1, Ordering::Relaxed) < 2 => said("503 Service Unavailable", ""),
        _ => said("200 OK", "at last"),
    });
    let host = Host::new(&[]);
    let place = |path: &str| at("http", &json!({"url": format!("{}{path}", site.url)}));
    assert_eq!(host.text(&place("/busy")).await.unwrap(), "at last");
    assert_eq!(site.count(), 3);
    assert!(host.refusal(&place("/large")).await.contains("larger than 10 GiB"));
    assert_eq!(site.count(), 4);
    assert!(host.refusal(&place("/half")).await.contains("tried 5 times"));
}

#[tokio::test]
async fn an_output_is_sent_to_its_url() {
    let site = Website::new(|asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("PUT", "/moved") => Said("307 Temporary Redirect", vec!["Location: /final".into()], Vec::new()),
        ("PUT", "/lost") => Said("302 Found", vec!["Location: /final".into()], Vec::new()),
        _ => said("201 Created", ""),
    });
    let host = Host::new(&KEYS);
    let place = |path: &str| at("http", &json!({"url": format!("{}{path}", site.url), "auth": auth()}));
    let (size, _) = host.stores.put(&place("/moved"), host.file("one", "report")).await.unwrap();
    let asked = site.last();
    assert_eq!((size, asked.path.as_str(), asked.body.as_slice()), (6, "/final", &b"report"[..]));
    assert_eq!(asked.header("content-length"), Some("6"));
    assert!(host.stores.put(&place("/lost"), host.path("one")).await.is_err());
    host.file("folder/a", "A");
    let told = host.stores.put(&place("/x"), host.path("folder")).await.unwrap_err().to_string();
    assert!(told.contains("use archive tar or zip"), "{told}");
}

#[tokio::test]
async fn a_client_gets_a_token_for_its_secret() {
    let site = Website::new(|asked| match asked.path.as_str() {
        "/token" => said("200 OK", r#"{"access_token": "tok-en", "token_type": "bearer"}"#),
        _ if asked.header("authorization") == Some("Bearer tok-en") => said("200 OK", "content"),
        _ => said("403 Forbidden", ""),
    });
    let url = format!("{}/token", site.url);
    let host = Host::new(&[("id", "client"), ("secret", "client-secret"), ("token", &url)]);
    let key = |key: &str| json!({"name": "keys", "key": key});
    let oauth2 = json!({"clientIDSecret": key("id"), "clientSecretSecret": key("secret"),
        "tokenURLSecret": key("token"), "scopes": ["read all", "x"],
        "endpointParams": [{"key": "audience", "value": "a&b"}]});
    let place = json!({"url": format!("{}/file", site.url), "auth": {"oauth2": oauth2}});
    assert_eq!(host.text(&at("http", &place)).await.unwrap(), "content");
    let asked = site.asked.lock().unwrap()[0].clone();
    assert_eq!(asked.header("authorization"), Some("Basic Y2xpZW50OmNsaWVudC1zZWNyZXQ="));
    assert_eq!(
        String::from_utf8(asked.body).unwrap(),
        "grant_type=client_credentials&scope=read+all+x&audience=a%26b"
    );
}
