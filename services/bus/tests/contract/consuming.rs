//! Rules of durable consumers: order, redelivery, limits, filters, position.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tiphys_bus::{BusError, ConsumerConfig, Start};

use crate::kit::{LONG, Rig, SHORT, fetch, nothing, reader, said, until};

/// A consumer that gets its messages again soon.
fn hasty(name: &str) -> ConsumerConfig {
    ConsumerConfig { ack_wait: Duration::from_millis(60), ..reader(name) }
}

pub(crate) async fn in_order_and_once(rig: &Rig) {
    let mut t = rig.with_stream().await;
    for n in 0..10 {
        t.put("t.a", &n.to_string()).await;
    }
    let consumer = t.consumer(reader("c")).await;
    let first = fetch(&*consumer, 4).await;
    assert_eq!(said(&first), ["0", "1", "2", "3"]);
    assert!(first.iter().all(|d| d.attempt() == 1));
    for delivery in &first {
        delivery.ack().await.unwrap();
    }
    assert_eq!(consumer.info().await.unwrap().ack_floor, 4);
    t.reopen().await;
    let consumer = t.consumer(reader("c")).await;
    let rest = fetch(&*consumer, 100).await;
    assert_eq!(said(&rest), ["4", "5", "6", "7", "8", "9"]);
    let info = consumer.info().await.unwrap();
    assert_eq!((info.ack_floor, info.outstanding, info.pending), (4, 6, 0));
    // Acked out of order, the floor waits for the oldest.
    rest[1].ack().await.unwrap();
    assert_eq!(consumer.info().await.unwrap().ack_floor, 4);
    rest[0].ack().await.unwrap();
    assert_eq!(consumer.info().await.unwrap().ack_floor, 6);
    nothing(&*consumer).await;
}

pub(crate) async fn comes_again_without_an_ack(rig: &Rig) {
    let mut t = rig.with_stream().await;
    t.put("t.a", "x").await;
    let consumer = t.consumer(hasty("c")).await;
    for attempt in 1..=3 {
        let got = fetch(&*consumer, 1).await;
        assert_eq!(got[0].attempt(), attempt);
    }
    assert_eq!(consumer.info().await.unwrap().redelivered, 2);
    t.reopen().await;
    let consumer = t.consumer(hasty("c")).await;
    let got = fetch(&*consumer, 1).await;
    assert_eq!(said(&got), ["x"]);
    assert!(got[0].attempt() >= 2, "attempts are counted across a restart");
    got[0].ack().await.unwrap();
    nothing(&*consumer).await;
}

pub(crate) async fn comes_again_after_a_nack(rig: &Rig) {
    let t = rig.with_stream().await;
    t.put("t.a", "x").await;
    let consumer = t.consumer(reader("c")).await;
    let got = fetch(&*consumer, 1).await;
    got[0].nack(Duration::ZERO).await.unwrap();
    let got = fetch(&*consumer, 1).await;
    assert_eq!(got[0].attempt(), 2);
    let told = std::time::Instant::now();
    got[0].nack(Duration::from_millis(300)).await.unwrap();
    let got = fetch(&*consumer, 1).await;
    assert!(told.elapsed() >= Duration::from_millis(300), "not before its delay");
    assert_eq!(got[0].attempt(), 3);
    // The word of an earlier attempt counts no more.
    got[0].nack(Duration::from_secs(600)).await.unwrap();
    nothing(&*consumer).await;
}

pub(crate) async fn progress_holds_it(rig: &Rig) {
    let t = rig.with_stream().await;
    t.put("t.a", "x").await;
    let config = ConsumerConfig { ack_wait: Duration::from_secs(2), ..reader("c") };
    let consumer = t.consumer(config).await;
    let got = fetch(&*consumer, 1).await;
    for _ in 0..30 {
        let again = consumer.fetch(1, Duration::from_millis(100)).await.unwrap();
        assert!(again.is_empty(), "it came again although it is worked on");
        got[0].progress().await.unwrap();
    }
    assert_eq!(fetch(&*consumer, 1).await[0].attempt(), 2);
}

pub(crate) async fn late_acks_count(rig: &Rig) {
    let t = rig.with_stream().await;
    t.put("t.a", "x").await;
    let consumer = t.consumer(hasty("c")).await;
    let first = fetch(&*consumer, 1).await;
    let second = fetch(&*consumer, 1).await;
    first[0].ack().await.unwrap();
    second[0].nack(Duration::ZERO).await.unwrap();
    nothing(&*consumer).await;
    second[0].ack().await.unwrap();
    assert_eq!(consumer.info().await.unwrap().outstanding, 0);
}

pub(crate) async fn no_more_than_allowed_are_out(rig: &Rig) {
    let t = rig.with_stream().await;
    for n in 0..5 {
        t.put("t.a", &n.to_string()).await;
    }
    let config = ConsumerConfig { max_ack_pending: 2, ..reader("c") };
    let consumer = Arc::new(t.consumer(config).await);
    let out = fetch(&**consumer, 10).await;
    assert_eq!(said(&out), ["0", "1"]);
    nothing(&**consumer).await;
    let (next, acked) = tokio::join!(consumer.fetch(10, LONG), async {
        until("the fetch waits", || async { consumer.info().await.unwrap().outstanding == 2 }).await;
        out[0].ack().await
    });
    acked.unwrap();
    assert_eq!(said(&next.unwrap()), ["2"]);
}

pub(crate) async fn filters_select(rig: &Rig) {
    let t = rig.with_stream().await;
    for subject in ["t.a.x", "t.b.x", "t.a.y", "t.c", "t.b.y.z"] {
        t.put(subject, subject).await;
    }
    let cases = [
        (vec!["t.a.x"], vec!["t.a.x"]),
        (vec!["t.*.x"], vec!["t.a.x", "t.b.x"]),
        (vec!["t.b.>"], vec!["t.b.x", "t.b.y.z"]),
        (vec!["t.c", "t.a.*"], vec!["t.a.x", "t.a.y", "t.c"]),
        (vec![], vec!["t.a.x", "t.b.x", "t.a.y", "t.c", "t.b.y.z"]),
    ];
    for (case, (filters, wanted)) in cases.into_iter().enumerate() {
        let filters: Vec<String> = filters.into_iter().map(Into::into).collect();
        let name = format!("c{case}");
        let consumer = t.consumer(ConsumerConfig { filters, ..reader(&name) }).await;
        assert_eq!(consumer.info().await.unwrap().pending, wanted.len() as u64);
        let got = fetch(&*consumer, 10).await;
        assert_eq!(said(&got), wanted);
        for delivery in got {
            delivery.ack().await.unwrap();
        }
        // What it does not want does not hold its floor.
        assert_eq!(consumer.info().await.unwrap().ack_floor, 5);
    }
}

pub(crate) async fn fetch_wakes_up(rig: &Rig) {
    let t = rig.with_stream().await;
    let consumer = t.consumer(reader("c")).await;
    for n in 0..20 {
        let n = n.to_string();
        let (got, _) = tokio::join!(fetch(&*consumer, 10), t.put("t.a", &n));
        assert_eq!(said(&got), [n]);
        got[0].ack().await.unwrap();
    }
}

pub(crate) async fn fetch_gives_up(rig: &Rig) {
    let t = rig.with_stream().await;
    let consumer = t.consumer(reader("c")).await;
    let begun = std::time::Instant::now();
    assert!(consumer.fetch(1, SHORT).await.unwrap().is_empty());
    assert!(begun.elapsed() >= SHORT);
    assert!(consumer.fetch(1, Duration::ZERO).await.unwrap().is_empty());
    t.put("t.a", "x").await;
    assert_eq!(said(&consumer.fetch(1, Duration::ZERO).await.unwrap()), ["x"]);
}

pub(crate) async fn begins_where_told(rig: &Rig) {
    let mut t = rig.with_stream().await;
    for n in 1..=3 {
        t.put("t.a", &n.to_string()).await;
    }
    let cases = [
        ("all", Start::All, 0, vec!["1", "2", "3", "4"]),
        ("new", Start::New, 3, vec!["4"]),
        ("some", Start::Sequence(2), 1, vec!["2", "3", "4"]),
    ];
    for (name, start, ..) in &cases {
        t.consumer(ConsumerConfig { start: *start, ..reader(name) }).await;
    }
    t.put("t.a", "4").await;
    t.reopen().await;
    for (name, start, begun_after, wanted) in cases {
        let consumer = t.consumer(ConsumerConfig { start, ..reader(name) }).await;
        assert_eq!(consumer.info().await.unwrap().begun_after, begun_after, "{name}");
        assert_eq!(said(&fetch(&*consumer, 10).await), wanted, "{name}");
    }
}

pub(crate) async fn keeps_its_place_under_new_filters(rig: &Rig) {
    let mut t = rig.with_stream().await;
    let only = |subject: &str| ConsumerConfig { filters: vec![subject.into()], ..reader("c") };
    let consumer = t.consumer(only("t.a")).await;
    for subject in ["t.a", "t.b", "t.a"] {
        t.put(subject, subject).await;
    }
    for delivery in fetch(&*consumer, 10).await {
        delivery.ack().await.unwrap();
    }
    t.reopen().await;
    let consumer = t.consumer(only("t.b")).await;
    t.put("t.a", "t.a").await;
    t.put("t.b", "new").await;
    assert_eq!(said(&fetch(&*consumer, 10).await), ["new"]);
}

pub(crate) async fn a_deleted_one_is_gone(rig: &Rig) {
    let mut t = rig.with_stream().await;
    t.put("t.a", "x").await;
    let old = t.consumer(reader("c")).await;
    let got = fetch(&*old, 1).await;
    t.bus.delete_consumer("T", "c").await.unwrap();
    t.bus.delete_consumer("T", "c").await.unwrap();
    let refused = old.fetch(1, SHORT).await.err().unwrap();
    assert!(matches!(refused, BusError::Missing { .. }), "{refused}");
    let new = t.consumer(reader("c")).await;
    // What the old one handed out is not the new one's.
    assert!(got[0].ack().await.is_err());
    assert_eq!(said(&fetch(&*new, 1).await), ["x"]);
    t.bus.delete_consumer("T", "c").await.unwrap();
    t.reopen().await;
    let fresh = t.consumer(reader("c")).await;
    assert_eq!(fetch(&*fresh, 1).await[0].attempt(), 1);
}

pub(crate) async fn two_consumers_share_nothing(rig: &Rig) {
    let t = rig.with_stream().await;
    t.put("t.a", "x").await;
    let (one, two) = (t.consumer(reader("one")).await, t.consumer(reader("two")).await);
    fetch(&*one, 1).await[0].ack().await.unwrap();
    assert_eq!(said(&fetch(&*two, 1).await), ["x"]);
    // Two handles of one consumer share its work.
    let again = t.consumer(reader("two")).await;
    nothing(&*again).await;
}

pub(crate) async fn redeliveries_come_first(rig: &Rig) {
    let t = rig.with_stream().await;
    for n in 1..=4 {
        t.put("t.a", &n.to_string()).await;
    }
    let consumer = t.consumer(reader("c")).await;
    let got = fetch(&*consumer, 2).await;
    got[1].nack(Duration::ZERO).await.unwrap();
    assert_eq!(said(&fetch(&*consumer, 10).await), ["2", "3", "4"]);
}

pub(crate) async fn a_purged_message_is_settled(rig: &Rig) {
    let t = rig.with_stream().await;
    t.put("t.a", "1").await;
    t.put("t.b", "2").await;
    let consumer = t.consumer(hasty("c")).await;
    assert_eq!(fetch(&*consumer, 1).await.len(), 1);
    t.bus.purge("T", "t.a", None).await.unwrap();
    let got = fetch(&*consumer, 10).await;
    assert_eq!(said(&got), ["2"]);
    got[0].ack().await.unwrap();
    let info = consumer.info().await.unwrap();
    assert_eq!((info.ack_floor, info.outstanding), (2, 0));
    nothing(&*consumer).await;
}

pub(crate) async fn many_are_fetched_in_batches(rig: &Rig) {
    let t = rig.with_stream().await;
    let consumer = t.consumer(reader("c")).await;
    let publisher = async {
        for start in (0..3000).step_by(100) {
            let texts: Vec<String> = (start..start + 100).map(|n: u32| n.to_string()).collect();
            join_all(texts.iter().map(|text| t.put("t.a", text))).await;
        }
    };
    let taker = async {
        let mut seen = Vec::new();
        while seen.len() < 3000 {
            let got = fetch(&*consumer, 500).await;
            seen.extend(got.iter().map(|d| d.message().sequence));
            join_all(got.iter().map(|d| d.ack())).await;
        }
        seen
    };
    let ((), seen) = tokio::join!(publisher, taker);
    assert_eq!(seen, (1..=3000).collect::<Vec<u64>>());
    assert_eq!(consumer.info().await.unwrap().ack_floor, 3000);
}
