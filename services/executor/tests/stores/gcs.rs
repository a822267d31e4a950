//! Google Cloud Storage. Its XML requests, which our client makes, are those of S3, so that moto answers them; who may
//! come in is not looked at.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;
use tiphys_servers::moto;

use crate::contract;
use crate::support::{Host, at};
use crate::website::{Asked, Said, Website};

/// Passes a request on to moto, with a token: without one moto takes it for broken.
fn pass_on(authority: &str, asked: &Asked) -> Said {
    let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", asked.method, asked.path);
    for (name, value) in asked.headers.iter().filter(|(name, _)| {
        !matches!(name.as_str(), "authorization" | "transfer-encoding" | "content-length")
    }) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("authorization: Bearer token\r\ncontent-length: {}\r\n\r\n", asked.body.len()));
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.write_all(&[head.as_bytes(), &asked.body].concat()).unwrap();
    let mut out = Vec::new();
    stream.read_to_end(&mut out).unwrap();
    let end = out.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&out[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split_once(' ').unwrap().1.to_owned();
    let lines = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection"));
    Said(status.leak(), lines.map(str::to_owned).collect(), out[end + 4..].to_vec())
}

#[tokio::test]
async fn a_bucket_holds_the_contract() {
    let Some(server) = moto() else { return };
    let made = reqwest::Client::new().put(format!("{}/results", server.url())).send().await.unwrap();
    assert!(made.status().is_success(), "{made:?}");
    let authority = server.url().trim_start_matches("http://").to_owned();
    let site = Website::new(move |asked| pass_on(&authority, asked));
    let account = json!({"gcs_base_url": site.url, "disable_oauth": true, "client_email": "",
        "private_key": "", "private_key_id": ""});
    let host = Host::new(&[("account", &account.to_string())]);
    let place = |key: &str| json!({"bucket": "results", "key": key, "serviceAccountKeySecret": {"name": "keys", "key": "account"}});
    contract::hold(&host, |key| at("gcs", &place(key))).await;
}

#[tokio::test]
async fn what_is_no_key_of_an_account_is_told() {
    let host = Host::new(&[("account", "something else")]);
    let place = json!({"bucket": "results", "key": "k", "serviceAccountKeySecret": {"name": "keys", "key": "account"}});
    let told = host.refusal(&at("gcs", &place)).await;
    assert!(told.contains("no JSON key of a service account") && !told.contains("something else"), "{told}");
}
