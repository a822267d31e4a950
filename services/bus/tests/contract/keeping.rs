//! Rules of keeping and removing: purge, limits, age, blobs, the end.

use std::time::Duration;

use bytes::Bytes;
use tiphys_bus::{BusError, Consumer, ConsumerConfig, Delivery, Publish};

use crate::kit::{LONG, Rig, fetch, reader, said, stream, until};

const HOUR: Duration = Duration::from_secs(3600);

fn full<T: std::fmt::Debug>(outcome: Result<T, BusError>) {
    assert!(matches!(outcome, Err(BusError::Full { .. })), "{outcome:?}");
}

/// Takes until there are so many: a server of several nodes may give them by and by.
async fn gather(consumer: &dyn Consumer, count: usize) -> Vec<Box<dyn Delivery>> {
    let mut all = fetch(consumer, count).await;
    while all.len() < count {
        all.extend(fetch(consumer, count - all.len()).await);
    }
    all
}

pub(crate) async fn purge_empties_a_subject(rig: &Rig) {
    let mut t = rig.with_stream().await;
    for subject in ["t.a", "t.b", "t.a"] {
        t.put(subject, "x").await;
    }
    assert_eq!(t.bus.purge("T", "t.a", None).await.unwrap(), 2);
    assert_eq!(t.bus.purge("T", "t.a", None).await.unwrap(), 0);
    assert_eq!(t.bus.last("t.a").await.unwrap(), None);
    assert_eq!(t.bus.get("T", 1).await.unwrap(), None);
    t.reopen().await;
    let info = t.bus.info("T").await.unwrap();
    assert_eq!((info.first, info.last, info.messages, t.bytes(info, 1)), (2, 3, 1, 1));
    let anew = t.publish(Publish::new("t.a", "x").expect_last(0)).await;
    assert_eq!(anew.unwrap().sequence, 4);
    // All gone, sequences go on.
    assert_eq!(t.bus.purge("T", "t.>", None).await.unwrap(), 2);
    t.reopen().await;
    assert_eq!(t.put("t.a", "x").await, 5);
}

pub(crate) async fn purge_up_to(rig: &Rig) {
    let t = rig.with_stream().await;
    for n in 1..=6 {
        t.put(if n % 2 == 0 { "t.a" } else { "t.b" }, &n.to_string()).await;
    }
    assert_eq!(t.bus.purge("T", "t.a", Some(4)).await.unwrap(), 2);
    assert_eq!(t.texts("").await, ["1", "3", "5", "6"]);
    let refused = t.publish(Publish::new("t.a", "x").expect_last(0)).await;
    assert!(refused.is_err(), "the subject is not empty");
    t.publish(Publish::new("t.a", "x").expect_last(6)).await.unwrap();
    assert_eq!(t.bus.purge("T", "", Some(5)).await.unwrap(), 3);
    assert_eq!(t.texts("").await, ["6", "x"]);
}

pub(crate) async fn a_full_stream_refuses(rig: &Rig) {
    let mut config = stream();
    config.max_messages = 3;
    let t = rig.with(config).await;
    let mut other = stream();
    other.name = "U".into();
    t.bus.ensure_stream(&other).await.unwrap();
    for n in 1..=3 {
        t.publish(Publish::new("t.a", n.to_string()).id(n.to_string())).await.unwrap();
    }
    full(t.publish(Publish::new("t.a", "4")).await);
    // What it has it still has, and knows; others are not concerned.
    assert_eq!(t.texts("").await, ["1", "2", "3"]);
    assert!(t.publish(Publish::new("t.a", "1").id("1")).await.unwrap().duplicate);
    t.put("u.a", "x").await;
    t.bus.purge("T", "", Some(1)).await.unwrap();
    assert_eq!(t.put("t.a", "4").await, 4);
}

pub(crate) async fn full_by_bytes(rig: &Rig) {
    let mut config = stream();
    config.max_bytes = 10;
    let mut t = rig.with(config).await;
    t.put("t.a", "12345").await;
    t.reopen().await;
    full(t.publish(Publish::new("t.a", "123456")).await);
    t.put("t.a", "12345").await;
    full(t.publish(Publish::new("t.a", "1")).await);
}

pub(crate) async fn acked_messages_make_room(rig: &Rig) {
    let mut config = stream();
    (config.max_messages, config.trim_acked) = (4, true);
    let t = rig.with(config).await;
    let slow = t.consumer(reader("slow")).await;
    let filtered = ConsumerConfig { filters: vec!["t.b".into()], ..reader("filtered") };
    let _filtered = t.consumer(filtered).await;
    for n in 1..=4 {
        t.put("t.a", &n.to_string()).await;
    }
    let out = gather(&*slow, 4).await;
    out[0].ack().await.unwrap();
    out[1].ack().await.unwrap();
    out[3].ack().await.unwrap();
    // Concurrently, so that they meet in one batch; which of them get the room is not promised, only that they are told.
    let more = (5..=8).map(|n| t.publish(Publish::new("t.a", n.to_string())));
    let outcomes = futures::future::join_all(more).await;
    let mut told: Vec<(u64, String)> = (5..=8)
        .zip(&outcomes)
        .filter_map(|(n, outcome)| Some((outcome.as_ref().ok()?.sequence, n.to_string())))
        .collect();
    told.sort_unstable();
    assert_eq!(told.len(), 2, "room for two: {outcomes:?}");
    let [first, second] = [told[0].1.as_str(), told[1].1.as_str()];
    assert_eq!(t.texts("").await, ["3", "4", first, second]);
    out[2].ack().await.unwrap();
    t.put("t.a", "9").await;
    assert_eq!(said(&gather(&*slow, 3).await), [first, second, "9"]);
}

pub(crate) async fn nothing_unacked_makes_room(rig: &Rig) {
    let mut config = stream();
    (config.max_messages, config.trim_acked) = (1, true);
    let t = rig.with(config).await;
    t.put("t.a", "1").await;
    full(t.publish(Publish::new("t.a", "2")).await);
    let consumer = t.consumer(reader("c")).await;
    full(t.publish(Publish::new("t.a", "2")).await);
    let out = fetch(&*consumer, 1).await;
    full(t.publish(Publish::new("t.a", "2")).await);
    out[0].ack().await.unwrap();
    t.put("t.a", "2").await;
}

pub(crate) async fn old_messages_go(rig: &Rig) {
    let mut config = stream();
    config.max_age = HOUR * 2;
    let mut t = rig.with(config).await;
    t.put("t.a", "old").await;
    // Each step is less than a jump, and looked at.
    until("the old message goes", || async {
        t.advance(Duration::from_secs(60));
        t.put("t.b", "young").await;
        t.texts("t.a").await.is_empty()
    })
    .await;
    assert!(!t.texts("t.b").await.is_empty());
    t.reopen().await;
    assert_eq!(t.bus.last("t.a").await.unwrap(), None);
}

pub(crate) async fn a_jump_of_the_clock_removes_nothing(rig: &Rig) {
    let mut config = stream();
    config.max_age = HOUR * 2;
    let t = rig.with(config).await;
    let mut short = stream();
    (short.name, short.max_age) = ("U".into(), Duration::from_secs(30));
    t.bus.ensure_stream(&short).await.unwrap();
    t.put("t.a", "x").await;
    // A look has taken place once something grew old elsewhere.
    let looked = || async {
        t.put("u.a", "x").await;
        until("a look", || async {
            t.advance(Duration::from_secs(7));
            t.bus.info("U").await.unwrap().messages == 0
        })
        .await;
    };
    looked().await;
    t.advance(HOUR * 24 * 365);
    looked().await;
    assert_eq!(t.texts("").await, ["x"]);
}

pub(crate) async fn limits_can_change(rig: &Rig) {
    let mut config = stream();
    config.max_messages = 1;
    let mut t = rig.with(config.clone()).await;
    t.put("t.a", "1").await;
    full(t.publish(Publish::new("t.a", "2")).await);
    config.max_messages = 2;
    t.bus.ensure_stream(&config).await.unwrap();
    t.bus.ensure_stream(&config).await.unwrap();
    t.reopen().await;
    t.put("t.a", "2").await;
    full(t.publish(Publish::new("t.a", "3")).await);
}

pub(crate) async fn blobs(rig: &Rig) {
    let mut t = rig.start();
    let content = Bytes::from(vec![7; 3 << 20]);
    let reference = t.bus.put_blob(content.clone()).await.unwrap();
    assert_eq!(t.bus.put_blob(content.clone()).await.unwrap(), reference);
    let other = t.bus.put_blob(Bytes::new()).await.unwrap();
    assert_ne!(other, reference);
    t.reopen().await;
    assert_eq!(t.bus.get_blob(&reference).await.unwrap(), Some(content));
    assert_eq!(t.bus.get_blob(&other).await.unwrap(), Some(Bytes::new()));
    let digits = reference.rsplit('-').next().unwrap();
    let absent = reference.replace(digits, &"0".repeat(64));
    assert_eq!(t.bus.get_blob(&absent).await.unwrap(), None);
    for bad in ["", "../../format", "sha256-../x", "sha256-"] {
        assert!(t.bus.get_blob(bad).await.is_err(), "{bad}");
    }
}

pub(crate) async fn close_ends_all(rig: &Rig) {
    let t = rig.with_stream().await;
    let consumer = t.consumer(reader("c")).await;
    t.put("t.a", "x").await;
    let got = fetch(&*consumer, 1).await;
    let (waiting, fetching, ()) =
        tokio::join!(t.bus.wait_for("T", 1, LONG), consumer.fetch(1, LONG), async {
            tokio::task::yield_now().await;
            t.bus.close().await;
        });
    assert_eq!(waiting.err(), Some(BusError::Closed));
    assert_eq!(fetching.err(), Some(BusError::Closed));
    assert_eq!(got[0].ack().await, Err(BusError::Closed));
    let late = t.publish(Publish::new("t.a", "x")).await;
    assert_eq!(late, Err(BusError::Closed));
    t.bus.close().await;
}
