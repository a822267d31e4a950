//! What is wrong, said where people look, and mended without a restart.

use tiphys_servers::{moto, moto_with_keys};

use super::proxy::Proxy;
use super::site::{Site, client, manifest, shared};
use crate::stage::Stage;
use crate::wait::{down, events, up};

#[tokio::test]
async fn a_missing_queue_is_a_status_until_it_is_made() {
    let Some(server) = moto() else { return };
    let stage = Stage::start(&manifest(&server.url(), "later", "")).await;
    let why = down(&stage, "TIP-SRC-008").await;
    assert!(why.contains("queue `later`") && why.contains("NonExistentQueue"), "{why}");
    let site = Site::make(&server.url(), "later", &[]).await;
    site.send("x").await;
    events(&stage, 1).await;
    up(&stage).await;
    assert!(stage.codes().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_a_status_too() {
    let Some(server) = shared() else { return };
    let site = Site::make(&server.url(), "deleted", &[]).await;
    let stage = Stage::start(&manifest(&server.url(), "deleted", "")).await;
    up(&stage).await;
    site.client.delete_queue().queue_url(&site.url).send().await.unwrap();
    down(&stage, "TIP-SRC-008").await;
    Site::make(&server.url(), "deleted", &[]).await.send("x").await;
    events(&stage, 1).await;
    stage.end().await;
}

#[tokio::test]
async fn wrong_keys_are_a_status_without_secrets_until_they_are_right() {
    // A user, its rights, its keys, and the queue: the requests that need no keys.
    let Some(server) = moto_with_keys(4) else { return };
    let web = reqwest::Client::new();
    let iam = |query: &str| {
        let request = web.get(format!("{}/?{query}&Version=2010-05-08", server.url()));
        let scope = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x";
        request.header("Authorization", scope).send()
    };
    iam("Action=CreateUser&UserName=tiphys").await.unwrap().error_for_status().unwrap();
    let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22sqs%3A*%22%2C%22Resource%22%3A%22*%22%7D%5D%7D";
    let put = format!("Action=PutUserPolicy&UserName=tiphys&PolicyName=p&PolicyDocument={policy}");
    iam(&put).await.unwrap().error_for_status().unwrap();
    let keys = iam("Action=CreateAccessKey&UserName=tiphys").await.unwrap().text().await.unwrap();
    let part = |name: &str| {
        let after = keys.split(&format!("<{name}>")).nth(1).unwrap();
        after.split('<').next().unwrap().to_owned()
    };
    let (access, secret) = (part("AccessKeyId"), part("SecretAccessKey"));
    let site = Site::make_with(client(&server.url(), &access, &secret), "guarded", &[]).await;

    let wrong = manifest(&server.url(), "guarded", "").replace("secret: test", "secret: hush-hush");
    let stage = Stage::start(&wrong).await;
    let why = down(&stage, "TIP-SRC-008").await;
    // Amazon names a code; moto says it in XML, as nobody asked it to.
    assert!(why.contains("refused with status 403"), "{why}");
    let found = stage.ingress.diagnostics();
    assert!(found[0].help.contains("accessKey"), "{}", found[0].help);
    assert!(!format!("{found:?}{:?}", stage.health.parts()).contains("hush-hush"));

    let right = format!("stringData: {{access: {access}, secret: {secret}}}");
    stage.put(&wrong.replace("stringData: {access: test, secret: hush-hush}", &right));
    site.send("x").await;
    events(&stage, 1).await;
    assert!(stage.codes().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_missing_secret_and_a_wrong_manifest_are_named() {
    let nowhere = "http://127.0.0.1:9";
    let without = manifest(nowhere, "q", "").replace("stringData: {access: test, ", "stringData: {");
    let stage = Stage::start(&without).await;
    assert!(down(&stage, "TIP-SRC-002").await.contains("`access`"));
    for (from, to, part) in [
        ("queue: q", "queue: \"\"", "`queue`"),
        ("waitTimeSeconds: 1", "waitTimeSeconds: 21", "21"),
        (nowhere, "nonsense", "`endpoint`"),
        ("secretKey:", "sessionToken:", "`secretKey`"),
    ] {
        stage.put(&manifest(nowhere, "q", "").replace(from, to));
        crate::stage::until(part, || {
            let found = stage.ingress.diagnostics();
            found.len() == 1 && found[0].code == "TIP-SRC-001" && found[0].message.contains(part)
        })
        .await;
    }
    stage.end().await;
}

/// The environment of a process is its own, so this test is one in whose environment all stands.
#[test]
fn a_role_is_assumed_with_the_processes_own_credentials() {
    const SERVER: &str = "AWS_ENDPOINT_URL_STS";
    let name = "sqs::state::a_role_is_assumed_with_the_processes_own_credentials";
    let Ok(url) = std::env::var(SERVER) else {
        let Some(server) = moto() else { return };
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(SERVER, server.url())
            .env("AWS_ACCESS_KEY_ID", "OWN")
            .env("AWS_SECRET_ACCESS_KEY", "own")
            .status();
        assert!(status.unwrap().success());
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::make(&url, "assumed", &[]).await;
        let proxy = Proxy::start(&url).await;
        let more = "      roleARN: arn:aws:iam::123456789012:role/reader";
        let stage = Stage::start(&manifest(&proxy.url, "assumed", more)).await;
        site.send("x").await;
        events(&stage, 1).await;
        assert!(proxy.signer().starts_with("ASIA"), "temporary keys, not {}", proxy.signer());
        stage.end().await;

        let own = manifest(&proxy.url, "assumed", "");
        let own = own.lines().filter(|line| !line.contains("Key:")).collect::<Vec<_>>().join("\n");
        let stage = Stage::start(&own).await;
        up(&stage).await;
        assert_eq!(proxy.signer(), "OWN");
        stage.end().await;
    });
}
