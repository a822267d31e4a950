//! kill -9 at any moment: all that was answered is there, once, in order, and nothing acked too early.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use tiphys_bus::Bus;

use crate::child::{self, Role, notes};
use crate::{LONG, open, reader};

const ROUNDS: usize = 12;

fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for round in 0..ROUNDS {
        let before = notes(folder, "acknowledged").len() as u64;
        let mut child = child::start(Role::Busy, folder, &[]);
        // Some die early, some in the midst of their work.
        let enough = before + if round % 4 == 0 { random(3) } else { 100 + random(900) };
        let deadline = Instant::now() + LONG;
        while (notes(folder, "acknowledged").len() as u64) < enough {
            assert!(Instant::now() < deadline, "the child does not get on");
            std::thread::sleep(Duration::from_micros(random(3000)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        check(folder).await;
    }
    assert!(notes(folder, "acknowledged").len() > 500);
    check_consumed(folder).await;
}

/// Every acknowledged message is there under its sequence, none twice, without a gap.
async fn check(folder: &Path) {
    let bus = open(&child::bus_folder(folder)).await;
    let stored = ids(&*bus).await;
    let sequences: Vec<u64> = stored.values().copied().collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(sequences, (1..=stored.len() as u64).collect::<Vec<_>>(), "dense");
    for line in notes(folder, "acknowledged") {
        let (id, sequence) = line.split_once(' ').unwrap();
        assert_eq!(stored.get(id).copied(), sequence.parse().ok(), "{line}");
    }
    bus.close().await;
}

/// The sequence of each id; fails when one is there twice.
async fn ids(bus: &dyn Bus) -> BTreeMap<String, u64> {
    let mut ids = BTreeMap::new();
    for message in bus.read("T", "", 0, usize::MAX).await.unwrap() {
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        let (id, filler) = text.split_once(' ').unwrap();
        let number: usize = id.split_once('-').unwrap().1.parse().unwrap();
        assert_eq!(filler.len(), number % 700, "{id} is whole");
        let twice = ids.insert(id.to_owned(), message.sequence);
        assert_eq!(twice, None, "{id} is there twice");
    }
    ids
}

/// What no child consumed before it acked is still delivered.
async fn check_consumed(folder: &Path) {
    let bus = open(&child::bus_folder(folder)).await;
    let mut consumed: BTreeSet<u64> =
        notes(folder, "consumed").iter().map(|line| line.parse().unwrap()).collect();
    assert!(!consumed.is_empty());
    let consumer = bus.consumer("T", reader()).await.unwrap();
    let last = bus.info("T").await.unwrap().last;
    while consumer.info().await.unwrap().ack_floor < last {
        for delivery in consumer.fetch(500, LONG).await.unwrap() {
            consumed.insert(delivery.message().sequence);
            delivery.ack().await.unwrap();
        }
    }
    assert_eq!(consumed, (1..=last).collect());
    bus.close().await;
}
