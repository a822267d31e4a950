//! The first format, kept as data: every later version must open it.
//!
//! `tests/data/format-1.tar.gz` is a folder that [`fill`] filled, written by
//! `TIPHYS_KEEP_FORMAT=FILE cargo test -p tiphys-bus --test durable format`.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tiphys_bus::{BusError, Publish, StreamConfig, streams};

use crate::{LONG, open, reader, stream, texts};

const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/format-1.tar.gz");

async fn fill(folder: &Path) {
    let bus = open(folder).await;
    for config in streams::all() {
        bus.ensure_stream(&config).await.unwrap();
    }
    bus.ensure_stream(&table()).await.unwrap();
    let consumer = bus.consumer("T", reader()).await.unwrap();
    for (number, text) in ["one", "two", "three", "four"].into_iter().enumerate() {
        let mut message = Publish::new("t.a.b%2Ec", text).id(format!("id{number}"));
        message.headers.insert("name".into(), "välue".into());
        bus.publish(message).await.unwrap();
        bus.publish(Publish::new("u.key", text)).await.unwrap();
    }
    let out = consumer.fetch(3, LONG).await.unwrap();
    out[0].ack().await.unwrap();
    out[2].ack().await.unwrap();
    bus.purge("T", "", Some(1)).await.unwrap();
    bus.claim("k", "owner", Duration::from_secs(60)).await.unwrap();
    bus.put_blob("content".into()).await.unwrap();
    bus.close().await;
}

fn table() -> StreamConfig {
    StreamConfig { name: "U".into(), last_per_subject: true, ..stream() }
}

async fn check(folder: &Path) {
    let bus = open(folder).await;
    assert_eq!(texts(&*bus).await, ["two", "three", "four"]);
    let message = bus.get("T", 2).await.unwrap().unwrap();
    assert_eq!(message.subject, "t.a.b%2Ec");
    assert_eq!(message.headers["name"], "välue");
    assert!(message.stored.as_second() > 1_700_000_000);
    let last = bus.last("u.key").await.unwrap().unwrap();
    assert_eq!((last.sequence, &last.payload[..]), (4, &b"four"[..]));
    let refused = bus.publish(Publish::new("u.key", "x").expect_last(3)).await;
    assert!(matches!(refused, Err(BusError::Conflict { actual: 4, .. })), "{refused:?}");
    let consumer = bus.consumer("T", reader()).await.unwrap();
    let rest = consumer.fetch(10, LONG).await.unwrap();
    let rest: Vec<_> = rest.iter().map(|d| (d.message().sequence, d.attempt())).collect();
    assert_eq!(rest, [(2, 2), (4, 1)]);
    let claim = bus.claim("k", "owner", Duration::from_secs(60)).await.unwrap().unwrap();
    assert_eq!(claim.token, 1);
    let reference = bus.put_blob("content".into()).await.unwrap();
    assert!(bus.get_blob(&reference).await.unwrap().is_some());
    bus.close().await;
}

#[tokio::test]
async fn this_version_reads_what_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path()).await;
    // Opened once more, so that the archive need not hold the room that journals take in advance.
    open(folder.path()).await.close().await;
    if let Some(target) = std::env::var_os("TIPHYS_KEEP_FORMAT") {
        let packed = GzEncoder::new(File::create(target).unwrap(), Compression::best());
        let mut archive = tar::Builder::new(packed);
        archive.append_dir_all(".", folder.path()).unwrap();
        archive.into_inner().unwrap().finish().unwrap();
    }
    check(folder.path()).await;
}

#[tokio::test]
async fn this_version_reads_format_1() {
    let folder = tempfile::tempdir().unwrap();
    let packed = GzDecoder::new(File::open(ARCHIVE).unwrap());
    tar::Archive::new(packed).unpack(folder.path()).unwrap();
    let blobs = folder.path().join("blobs");
    assert!(blobs.is_dir() && folder.path().join("format").is_file());
    check(folder.path()).await;
}
