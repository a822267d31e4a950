//! Rules of publishing: sequences, ids, compare-and-set, refusals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tiphys_bus::{BusError, Publish};

use crate::kit::{Rig, stream, text};

pub(crate) async fn sequences_ascend_from_one(rig: &Rig) {
    let t = rig.with_stream().await;
    assert_eq!(t.put("t.a", "1").await, 1);
    assert_eq!(t.put("t.b", "2").await, 2);
    let mut message = Publish::new("t.a", "3");
    message.headers = BTreeMap::from([("h".into(), "v".into())]);
    assert_eq!(t.publish(message.clone()).await.unwrap().sequence, 3);
    let stored = t.bus.get("T", 3).await.unwrap().unwrap();
    assert_eq!(stored.headers, message.headers);
    assert_eq!((stored.subject.as_str(), stored.sequence), ("t.a", 3));
    let info = t.bus.info("T").await.unwrap();
    assert_eq!((info.first, info.last, info.messages, t.bytes(info, 3)), (1, 3, 3, 3));
}

pub(crate) async fn an_id_is_stored_once(rig: &Rig) {
    let mut t = rig.with_stream().await;
    let message = || Publish::new("t.a", "x").id("1");
    let all = join_all((0..50).map(|_| t.publish(message()))).await;
    let first = all.iter().filter(|a| !a.as_ref().unwrap().duplicate);
    assert_eq!(first.count(), 1);
    assert!(all.iter().all(|a| a.as_ref().unwrap().sequence == 1));
    t.reopen().await;
    let again = t.publish(message()).await.unwrap();
    assert_eq!((again.sequence, again.duplicate), (1, true));
    // A duplicate is a duplicate, whatever it demands.
    assert!(t.publish(message().expect_last(7)).await.unwrap().duplicate);
    assert_eq!(t.texts("").await.len(), 1);
}

pub(crate) async fn ids_are_forgotten_after_the_window(rig: &Rig) {
    let t = rig.with_stream().await;
    t.publish(Publish::new("t.a", "x").id("1")).await.unwrap();
    crate::kit::until("the id is forgotten", || async {
        t.advance(Duration::from_secs(601));
        t.put("t.b", "y").await;
        !t.publish(Publish::new("t.a", "x").id("1")).await.unwrap().duplicate
    })
    .await;
}

pub(crate) async fn an_id_outlives_its_message(rig: &Rig) {
    let mut t = rig.with_stream().await;
    t.publish(Publish::new("t.a", "x").id("1")).await.unwrap();
    t.bus.purge("T", "", None).await.unwrap();
    for _ in 0..2 {
        assert!(t.publish(Publish::new("t.a", "x").id("1")).await.unwrap().duplicate);
        t.reopen().await;
    }
    assert_eq!(t.put("t.a", "y").await, 2);
}

pub(crate) async fn compare_and_set(rig: &Rig) {
    let mut t = rig.with_stream().await;
    let write = |at| Publish::new("t.a", "x").expect_last(at);
    assert_eq!(t.publish(write(0)).await.unwrap().sequence, 1);
    t.put("t.b", "other").await;
    assert_eq!(t.publish(write(1)).await.unwrap().sequence, 3);
    t.reopen().await;
    let refused = t.publish(write(1)).await.unwrap_err();
    let conflict = BusError::Conflict { subject: "t.a".into(), expected: 1, actual: 3 };
    assert_eq!(refused, conflict);
    assert_eq!(t.texts("t.a").await.len(), 2);
}

pub(crate) async fn of_many_writers_one_wins(rig: &Rig) {
    let t = rig.with_stream().await;
    let bus = Arc::clone(&t.bus);
    for round in 0..20u64 {
        let standing = bus.last("t.a").await.unwrap().map_or(0, |m| m.sequence);
        let writers = (0..16).map(|writer| {
            let text = format!("{round}-{writer}");
            bus.publish(Publish::new("t.a", text).expect_last(standing))
        });
        let outcomes = join_all(writers).await;
        let won: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().ok()).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        for lost in outcomes.iter().filter_map(|o| o.as_ref().err()) {
            let BusError::Conflict { actual, .. } = lost else {
                panic!("{lost}");
            };
            // What a loser is told is readable at once.
            assert_eq!(*actual, won[0].sequence);
            assert!(bus.get("T", *actual).await.unwrap().is_some());
        }
    }
    assert_eq!(t.texts("").await.len(), 20);
}

pub(crate) async fn a_refused_one_does_not_hurt_its_batch(rig: &Rig) {
    let t = rig.with_stream().await;
    let messages = (0..200).map(|n| {
        let message = Publish::new(format!("t.s{n}"), "x");
        let wrong = if n % 3 == 0 { 99 } else { 0 };
        t.publish(message.expect_last(wrong))
    });
    let outcomes = join_all(messages).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_err(), n % 3 == 0, "{n}: {outcome:?}");
    }
    let info = t.bus.info("T").await.unwrap();
    assert_eq!((info.messages, info.last), (133, 133), "sequences are dense");
}

pub(crate) async fn bad_requests_are_refused(rig: &Rig) {
    let t = rig.with_stream().await;
    for subject in ["", "t..a", "t.*", "t.>", "t.a b", "t.ü"] {
        let refused = t.publish(Publish::new(subject, "x")).await.unwrap_err();
        assert!(matches!(refused, BusError::Invalid { .. }), "{subject}: {refused}");
    }
    let mut odd = stream();
    odd.name = "t.x".into();
    let refused = t.bus.ensure_stream(&odd).await.unwrap_err();
    assert!(matches!(refused, BusError::Invalid { .. }), "{refused}");
    let refused = t.bus.read("T", "t.>.a", 0, 1).await.unwrap_err();
    assert!(matches!(refused, BusError::Invalid { .. }), "{refused}");
}

pub(crate) async fn too_large_is_refused(rig: &Rig) {
    let t = rig.with_stream().await;
    let mebibyte = vec![b'x'; 1 << 20];
    t.publish(Publish::new("t.a", mebibyte)).await.unwrap();
    let refused = t.publish(Publish::new("t.a", vec![b'x'; 2 << 20])).await;
    assert!(matches!(refused, Err(BusError::TooLarge { .. })), "{refused:?}");
    assert_eq!(t.put("t.a", "next").await, 2);
}

pub(crate) async fn unknown_streams_are_missing(rig: &Rig) {
    let t = rig.start();
    let missing = |error: BusError| assert!(matches!(error, BusError::Missing { .. }), "{error}");
    missing(t.publish(Publish::new("t.a", "x")).await.unwrap_err());
    missing(t.bus.last("t.a").await.unwrap_err());
    missing(t.bus.read("T", "", 0, 1).await.unwrap_err());
    missing(t.bus.info("T").await.unwrap_err());
    missing(t.bus.purge("T", "", None).await.unwrap_err());
    missing(t.bus.wait_for("T", 0, Duration::ZERO).await.unwrap_err());
    missing(t.bus.consumer("T", crate::kit::reader("c")).await.err().unwrap());
}

pub(crate) async fn stored_time_never_runs_backwards(rig: &Rig) {
    use tiphys_core::Clock as _;
    let mut t = rig.with_stream().await;
    let start = t.clock.now();
    t.put("t.a", "1").await;
    t.clock.set(start - Duration::from_secs(1800));
    t.put("t.a", "2").await;
    t.reopen().await;
    t.put("t.a", "3").await;
    t.clock.set(start + Duration::from_secs(1800));
    t.put("t.a", "4").await;
    let times: Vec<_> = t.bus.read("T", "", 0, 10).await.unwrap();
    let times: Vec<_> = times.iter().map(|m| m.stored.duration_since(start).as_secs()).collect();
    assert_eq!(times, [0, 0, 0, 1800]);
}

pub(crate) async fn tables_keep_the_last(rig: &Rig) {
    let mut config = stream();
    config.last_per_subject = true;
    config.max_messages = 2;
    let mut t = rig.with(config).await;
    let writes = (0..40).map(|n| t.put(if n % 2 == 0 { "t.a" } else { "t.b" }, "x"));
    join_all(writes).await;
    let info = t.bus.info("T").await.unwrap();
    assert_eq!((info.messages, t.bytes(info, 2), info.last), (2, 2, 40));
    t.put("t.a", "last").await;
    t.reopen().await;
    let last = t.bus.last("t.a").await.unwrap().unwrap();
    assert_eq!((last.sequence, text(&last.payload)), (41, "last".into()));
    assert_eq!(t.texts("t.a").await, ["last"]);
    assert!(t.publish(Publish::new("t.c", "a third subject")).await.is_err());
}
