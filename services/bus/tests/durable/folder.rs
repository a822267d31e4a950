//! Who may open a folder, and when.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tiphys_bus::{BusError, Options, Publish, embedded};

use crate::{LONG, open, reader, stream, texts, try_open};

#[tokio::test]
async fn a_second_instance_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path()).await;
    let refused = try_open(folder.path()).err();
    let path = folder.path().display().to_string();
    assert_eq!(refused, Some(BusError::Locked { path }));
    bus.close().await;
    open(folder.path()).await.close().await;
}

/// A child that a killed process was about to start has the lock for a moment.
#[test]
fn a_lock_that_goes_away_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    drop(try_open(folder.path()).unwrap());
    let held = fs::File::options().write(true).open(folder.path().join("lock")).unwrap();
    held.try_lock().unwrap();
    let gone = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(held);
    });
    try_open(folder.path()).unwrap();
    gone.join().unwrap();
}

#[tokio::test]
async fn a_dropped_bus_frees_its_folder_and_keeps_its_acks() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path()).await;
    let consumer = bus.consumer("T", reader()).await.unwrap();
    for text in ["1", "2"] {
        bus.publish(Publish::new("t.a", text)).await.unwrap();
    }
    let held = consumer.fetch(2, LONG).await.unwrap();
    held[0].ack().await.unwrap();
    drop(bus);
    // The delivery and the consumer are still there; the folder is free.
    let bus = open(folder.path()).await;
    let consumer = bus.consumer("T", reader()).await.unwrap();
    let again = consumer.fetch(2, LONG).await.unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].message().sequence, again[0].attempt()), (2, 2));
    assert!(held[1].ack().await.is_err());
}

#[test]
fn formats() {
    let folder = tempfile::tempdir().unwrap();
    drop(try_open(folder.path()).unwrap());
    let format = folder.path().join("format");
    assert_eq!(fs::read_to_string(&format).unwrap(), "1\n");
    fs::write(&format, "2\n").unwrap();
    let newer = BusError::Format { found: 2, known: 1 };
    assert_eq!(try_open(folder.path()).err(), Some(newer));
    fs::write(&format, "one\n").unwrap();
    assert!(matches!(try_open(folder.path()), Err(BusError::Unavailable { .. })));
    fs::remove_file(&format).unwrap();
    let refused = try_open(folder.path()).err().unwrap();
    assert!(refused.to_string().contains("no `format`"), "{refused}");
    fs::write(&format, "1\n").unwrap();
    drop(try_open(folder.path()).unwrap());
}

static FREE: AtomicU64 = AtomicU64::new(u64::MAX);

fn free(_: &Path) -> std::io::Result<u64> {
    Ok(FREE.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_full_disk_takes_acks_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        reserve: 1 << 20,
        free_space: free,
        save_every: Duration::from_millis(20),
        ..Options::default()
    };
    let bus = embedded::open(folder.path(), options()).unwrap();
    bus.ensure_stream(&stream()).await.unwrap();
    bus.publish(Publish::new("t.a", "kept")).await.unwrap();
    let consumer = bus.consumer("T", reader()).await.unwrap();
    FREE.store(1000, Ordering::SeqCst);
    let refused = bus.publish(Publish::new("t.a", "refused")).await.unwrap_err();
    assert!(refused.to_string().contains("stream `T` is full: its disk has 0 MiB left"), "{refused}");
    assert!(bus.put_blob(vec![1; 10].into()).await.is_err());
    assert_eq!(texts(&*bus).await, ["kept"]);
    let out = consumer.fetch(1, LONG).await.unwrap();
    out[0].ack().await.unwrap();
    bus.close().await;
    let bus = embedded::open(folder.path(), options()).unwrap();
    let consumer = bus.consumer("T", reader()).await.unwrap();
    assert_eq!(consumer.info().await.unwrap().ack_floor, 1, "the ack was written");
    FREE.store(u64::MAX, Ordering::SeqCst);
    bus.publish(Publish::new("t.a", "more")).await.unwrap();
    assert_eq!(texts(&*bus).await, ["kept", "more"]);
}
