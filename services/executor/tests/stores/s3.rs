//! S3, as moto speaks it.

use serde_json::{Value, json};
use tiphys_executor::launcher::ArtifactStore;
use tiphys_servers::{moto, moto_with_keys};

use crate::contract;
use crate::support::{Host, at};

const KEYS: [(&str, &str); 2] = [("id", "test-access-key"), ("secret", "test-secret-key")];

fn place(url: &str, key: &str) -> Value {
    json!({"endpoint": url.trim_start_matches("http://"), "bucket": "results", "insecure": true, "key": key,
        "accessKeySecret": {"name": "keys", "key": "id"}, "secretKeySecret": {"name": "keys", "key": "secret"}})
}

async fn make_bucket(url: &str) {
    let made = reqwest::Client::new().put(format!("{url}/results")).send().await.unwrap();
    assert!(made.status().is_success(), "{made:?}");
}

#[tokio::test]
async fn a_bucket_holds_the_contract() {
    let Some(server) = moto() else { return };
    make_bucket(&server.url()).await;
    let host = Host::new(&KEYS);
    contract::hold(&host, |key| at("s3", &place(&server.url(), key))).await;
}

/// Keys of a user of moto, who may do everything in S3: three requests.
async fn user(url: &str) -> (String, String) {
    let web = reqwest::Client::new();
    let ask = async |query: &str| {
        let scope = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x";
        let request = web.get(format!("{url}/?{query}&Version=2010-05-08")).header("Authorization", scope);
        request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    };
    ask("Action=CreateUser&UserName=tiphys").await;
    let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3A*%22%2C%22Resource%22%3A%22*%22%7D%5D%7D";
    ask(&format!("Action=PutUserPolicy&UserName=tiphys&PolicyName=p&PolicyDocument={policy}")).await;
    let keys = ask("Action=CreateAccessKey&UserName=tiphys").await;
    let part =
        |name: &str| keys.split(&format!("<{name}>")).nth(1).unwrap().split('<').next().unwrap().to_owned();
    (part("AccessKeyId"), part("SecretAccessKey"))
}

#[tokio::test]
async fn what_is_sent_is_signed_with_the_keys_of_the_secret() {
    let Some(server) = moto_with_keys(4) else { return };
    let (id, secret) = user(&server.url()).await;
    make_bucket(&server.url()).await;
    let host = Host::new(&[("id", &id), ("secret", &secret)]);
    contract::hold(&host, |key| at("s3", &place(&server.url(), key))).await;
    let other = Host::new(&[("id", &id), ("secret", "another secret")]);
    let told = other.refusal(&at("s3", &place(&server.url(), "wf/pod/a.txt"))).await;
    assert!(told.contains("refuses access"), "{told}");
}

#[tokio::test]
async fn wrong_keys_are_told_without_being_shown() {
    let Some(server) = moto_with_keys(1) else { return };
    make_bucket(&server.url()).await;
    let host = Host::new(&KEYS);
    let file = host.file("one", "abc");
    let key = at("s3", &place(&server.url(), "wf/pod/a"));
    let told = host.stores.put(&key, file).await.unwrap_err().to_string();
    assert!(told.contains("bucket results at 127.0.0.1") && told.contains("refuses access"), "{told}");
    assert!(told.contains("check Secret keys"), "{told}");
    assert!(!told.contains("test-secret-key"), "{told}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let host = Host::new(&KEYS);
    let mut written = place("http://127.0.0.1:1", "k");
    written["secretKeySecret"]["key"] = json!("other");
    let told = host.refusal(&at("s3", &written)).await;
    assert!(told.contains("Secret team/keys") && told.contains("no key 'other'"), "{told}");
    written["secretKeySecret"]["name"] = json!("absent");
    let told = host.refusal(&at("s3", &written)).await;
    assert!(told.contains("Secret team/absent") && told.contains("does not exist"), "{told}");
    for without in ["accessKeySecret", "secretKeySecret"] {
        written.as_object_mut().unwrap().remove(without);
    }
    let told = host.refusal(&at("s3", &written)).await;
    assert!(told.contains("names no Secret") && told.contains("--artifact-identity"), "{told}");
    let mut clouds = place("http://169.254.169.254", "latest/meta-data");
    clouds["insecure"] = json!(true);
    let told = host.refusal(&at("s3", &clouds)).await;
    assert!(told.contains("link-local"), "{told}");
    let Some(server) = moto() else { return };
    let told = host.stores.put(&at("s3", &place(&server.url(), "k")), host.file("f", "x")).await;
    let told = told.unwrap_err().to_string();
    assert!(told.contains("bucket results") && told.contains("does not exist"), "{told}");
}
