//! Rules of reading without a consumer.

use std::time::{Duration, Instant};

use crate::kit::{LONG, Rig, SHORT, text};

pub(crate) async fn ranges(rig: &Rig) {
    let mut t = rig.with_stream().await;
    for n in 1..=10 {
        t.put(if n % 2 == 0 { "t.even" } else { "t.odd" }, &n.to_string()).await;
    }
    t.reopen().await;
    let read = async |filter: &str, from, max| {
        let messages = t.bus.read("T", filter, from, max).await.unwrap();
        messages.iter().map(|m| m.sequence).collect::<Vec<u64>>()
    };
    assert_eq!(read("", 0, 3).await, [1, 2, 3]);
    assert_eq!(read("t.even", 4, 2).await, [4, 6]);
    assert_eq!(read("t.even", 5, 100).await, [6, 8, 10]);
    assert_eq!(read(">", 9, 100).await, [9, 10]);
    assert_eq!(read("t.none", 0, 100).await, [0u64; 0]);
    assert_eq!(read("", 11, 100).await, [0u64; 0]);
    assert_eq!(read("", 0, 0).await, [0u64; 0]);
}

pub(crate) async fn wildcards(rig: &Rig) {
    let t = rig.with_stream().await;
    for subject in ["t.a.x", "t.b.x", "t.a.y", "t.a"] {
        t.put(subject, subject).await;
    }
    assert_eq!(t.texts("t.*.x").await, ["t.a.x", "t.b.x"]);
    assert_eq!(t.texts("t.a.>").await, ["t.a.x", "t.a.y"]);
    assert_eq!(t.texts("t.*").await, ["t.a"]);
    assert_eq!(t.texts("*.a.y").await, ["t.a.y"]);
}

pub(crate) async fn last_and_get(rig: &Rig) {
    let mut t = rig.with_stream().await;
    t.put("t.a", "1").await;
    t.put("t.a", "2").await;
    t.put("t.b", "3").await;
    t.reopen().await;
    let last = t.bus.last("t.a").await.unwrap().unwrap();
    assert_eq!((last.sequence, text(&last.payload)), (2, "2".into()));
    assert_eq!(t.bus.last("t.c").await.unwrap(), None);
    let got = t.bus.get("T", 1).await.unwrap().unwrap();
    assert_eq!(text(&got.payload), "1");
    assert_eq!(t.bus.get("T", 4).await.unwrap(), None);
    assert_eq!(t.bus.get("T", 0).await.unwrap(), None);
}

pub(crate) async fn waits_for_growth(rig: &Rig) {
    let t = rig.with_stream().await;
    for n in 0..20 {
        let (last, _) = tokio::join!(t.bus.wait_for("T", n, LONG), t.put("t.a", "x"));
        assert_eq!(last.unwrap(), n + 1);
        // What woke us is readable.
        assert!(t.bus.get("T", n + 1).await.unwrap().is_some());
    }
    assert_eq!(t.bus.wait_for("T", 3, LONG).await.unwrap(), 20);
}

pub(crate) async fn waits_no_longer_than_told(rig: &Rig) {
    let t = rig.with_stream().await;
    let begun = Instant::now();
    assert_eq!(t.bus.wait_for("T", 0, SHORT).await.unwrap(), 0);
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(t.bus.wait_for("T", 0, Duration::ZERO).await.unwrap(), 0);
}
