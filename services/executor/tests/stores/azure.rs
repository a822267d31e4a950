//! Azure Blob Storage, as Azurite speaks it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tiphys_servers::{Azurite, azurite};

use crate::contract;
use crate::support::{Host, at};

fn place(server: &Azurite, blob: &str) -> Value {
    json!({"endpoint": server.url(), "container": "results", "blob": blob,
        "accountKeySecret": {"name": "keys", "key": "account"}})
}

/// Makes the container, signed by hand: a store of objects makes objects only.
async fn make_container(server: &Azurite) {
    let (account, date) =
        (Azurite::ACCOUNT, jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06\n");
    let text = format!("PUT{}{headers}/{account}/{account}/results\nrestype:container", "\n".repeat(12));
    let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64_STANDARD.decode(Azurite::KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let made = reqwest::Client::new()
        .put(format!("{}/results?restype=container", server.url()))
        .header("x-ms-date", date)
        .header("x-ms-version", "2021-08-06")
        .header("authorization", format!("SharedKey {account}:{signature}"))
        .header("content-length", "0")
        .send()
        .await
        .unwrap();
    assert!(made.status().is_success(), "{} {}", made.status(), made.text().await.unwrap());
}

#[tokio::test]
async fn a_container_holds_the_contract() {
    let Some(server) = azurite() else { return };
    make_container(&server).await;
    let host = Host::new(&[("account", Azurite::KEY)]);
    contract::hold(&host, |key| at("azure", &place(&server, key))).await;
}

#[tokio::test]
async fn a_wrong_key_is_told_without_being_shown() {
    let Some(server) = azurite() else { return };
    make_container(&server).await;
    let wrong = BASE64_STANDARD.encode("a key of somebody else");
    let host = Host::new(&[("account", &wrong)]);
    let told = host.refusal(&at("azure", &place(&server, "k"))).await;
    assert!(told.contains("container results") && told.contains("refuses access"), "{told}");
    assert!(told.contains("Secret keys") && !told.contains(&wrong), "{told}");
}
