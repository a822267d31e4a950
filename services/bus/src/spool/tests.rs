//! The spool before a bus that goes away, loses answers, and forgets ids.
#![expect(clippy::disallowed_methods, reason = "a test ends its tasks by itself")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tempfile::TempDir;
use tiphys_core::Clock;

use super::*;
use crate::Options;

/// A clock that is moved by hand.
#[derive(Debug)]
struct Hand(Mutex<Timestamp>);

impl Hand {
    fn forward(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now += by;
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A bus whose answers to publishers can be lost, and that can be away; and a network that keeps a message for later.
struct Far {
    inner: Arc<dyn Bus>,
    away: AtomicBool,
    lose: AtomicU32,
    keep: AtomicBool,
    kept: Mutex<Option<Publish>>,
    /// Whoever looks is told of an end that is never true.
    fickle: AtomicBool,
}

fn away() -> BusError {
    BusError::Unavailable { reason: "away".into() }
}

#[async_trait]
impl crate::Layer for Far {
    async fn enter(&self) -> Result<&dyn Bus, BusError> {
        if self.away.load(Ordering::SeqCst) { Err(away()) } else { Ok(self.inner.as_ref()) }
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        let bus = crate::Layer::enter(self).await?;
        if self.keep.swap(false, Ordering::SeqCst) {
            *self.kept.lock().unwrap() = Some(message);
            return Err(away());
        }
        if self.fickle.load(Ordering::SeqCst) {
            return Err(BusError::Conflict { subject: message.subject, expected: 0, actual: 1 });
        }
        let acked = bus.publish(message).await?;
        let lost = self.lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lost == Ok(1) {
            self.away.store(true, Ordering::SeqCst);
            return Err(away());
        }
        Ok(acked)
    }

    async fn close(&self) {}
}

struct World {
    folder: TempDir,
    clock: Arc<Hand>,
    far: Arc<Far>,
    config: SpoolConfig,
}

impl World {
    /// A bus that remembers ids for two seconds.
    async fn new(config: SpoolConfig) -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Arc::new(Hand(Mutex::new(start)));
        let inner = crate::memory_with(Options {
            clock: clock.clone(),
            look_every: Duration::from_millis(5),
            ..Options::default()
        });
        let mut events = streams::all().into_iter().find(|stream| stream.name == streams::EVENTS).unwrap();
        events.duplicate_window = Duration::from_secs(2);
        inner.ensure_stream(&events).await.unwrap();
        let far = Far {
            inner,
            away: AtomicBool::new(false),
            lose: AtomicU32::new(0),
            keep: AtomicBool::new(false),
            kept: Mutex::new(None),
            fickle: AtomicBool::new(false),
        };
        let far = Arc::new(far);
        Self { folder: tempfile::tempdir().unwrap(), clock, far, config }
    }

    async fn spool(&self) -> Arc<Spool> {
        let options = Options { reserve: 0, ..Options::default() };
        let local = crate::embedded::open(self.folder.path(), options).unwrap();
        open(local, self.far.clone(), self.config.clone()).await.unwrap()
    }

    fn go(&self) {
        self.far.away.store(false, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.far.away.store(true, Ordering::SeqCst);
    }

    /// Time passes until the bus has forgotten every id.
    async fn ids_are_forgotten(&self) {
        let probe = || Publish::new("events.probe", "probe").id("probe");
        self.far.inner.publish(probe()).await.unwrap();
        self.clock.forward(Duration::from_secs(10));
        let wait = async {
            while self.far.inner.publish(probe()).await.unwrap().duplicate {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("ids are forgotten");
    }

    /// What the bus holds of a subject.
    async fn stored(&self, subject: &str) -> Vec<String> {
        let all = self.far.inner.read(streams::EVENTS, subject, 1, 1000).await.unwrap();
        all.iter().map(|message| String::from_utf8(message.payload.to_vec()).unwrap()).collect()
    }

    /// Waits until the spool says why it does not forward.
    async fn held(&self, spool: &Spool) {
        let wait = async {
            while spool.backlog().await.unwrap().held.is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the spool says why");
    }

    /// Waits until the spool is empty.
    async fn emptied(&self, spool: &Spool) {
        let wait = async {
            while spool.backlog().await.unwrap().messages > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the spool empties");
    }
}

fn event(source: &str, number: u32) -> Publish {
    let subject = streams::subject(streams::EVENTS, &["ns", source, "e"]);
    Publish::new(subject, format!("{source}-{number}")).id(format!("{source}-{number}"))
}

fn numbered(source: &str, numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("{source}-{number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_given_while_the_bus_is_away_and_the_order_is_kept() {
    let world = World::new(SpoolConfig::default()).await;
    world.leave();
    let spool = world.spool().await;
    let stop = CancellationToken::new();
    let forwarding = tokio::spawn(spool.clone().forward(stop.clone()));
    for number in 0..100 {
        for source in ["a", "b"] {
            assert!(!spool.publish(event(source, number)).await.unwrap().duplicate);
        }
    }
    assert!(spool.publish(event("a", 7)).await.unwrap().duplicate, "a duplicate is known at once");
    let backlog = spool.backlog().await.unwrap();
    assert_eq!(backlog.messages, 200);
    assert!(backlog.oldest.is_some());
    world.go();
    world.emptied(&spool).await;
    for source in ["a", "b"] {
        assert_eq!(world.stored(&format!("events.ns.{source}.e")).await, numbered(source, 0..100));
    }
    assert_eq!(spool.backlog().await.unwrap().held, None);
    assert!(spool.publish(event("a", 7)).await.unwrap().duplicate, "also after it went on");
    stop.cancel();
    forwarding.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_and_a_long_absence_double_nothing() {
    let world = World::new(SpoolConfig::default()).await;
    let spool = world.spool().await;
    let stop = CancellationToken::new();
    let forwarding = tokio::spawn(spool.clone().forward(stop.clone()));
    world.far.lose.store(5, Ordering::SeqCst);
    for number in 0..20 {
        spool.publish(event("a", number)).await.unwrap();
    }
    world.held(&spool).await;
    assert_eq!(world.stored("events.ns.a.e").await.len(), 5, "stored, though the answer was lost");
    world.ids_are_forgotten().await;
    world.go();
    world.emptied(&spool).await;
    assert_eq!(world.stored("events.ns.a.e").await, numbered("a", 0..20));
    stop.cancel();
    forwarding.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_goes_on_where_it_was_and_doubles_nothing() {
    let world = World::new(SpoolConfig::default()).await;
    for round in 0..5 {
        let spool = world.spool().await;
        world.go();
        // Killed: the forwarder is dropped wherever it is, after an answer that it never saw.
        world.far.lose.store(3 + round, Ordering::SeqCst);
        let forwarding = tokio::spawn(spool.clone().forward(CancellationToken::new()));
        for number in round * 20..(round + 1) * 20 {
            spool.publish(event("a", number)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 7)).await;
        forwarding.abort();
        let _ = forwarding.await;
        spool.close().await;
        drop(spool);
        world.ids_are_forgotten().await;
    }
    world.far.lose.store(0, Ordering::SeqCst);
    world.go();
    let spool = world.spool().await;
    let stop = CancellationToken::new();
    let forwarding = tokio::spawn(spool.clone().forward(stop.clone()));
    world.emptied(&spool).await;
    assert_eq!(world.stored("events.ns.a.e").await, numbered("a", 0..100));
    stop.cancel();
    forwarding.await.unwrap().unwrap();
}

/// The cursor is saved now and then, so that after a kill more than one batch may be on the bus already.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_forwarded_since_the_cursor_was_saved_is_known_however_much_it_is() {
    let world = World::new(SpoolConfig::default()).await;
    let spool = world.spool().await;
    for number in 0..300 {
        spool.publish(event("a", number)).await.unwrap();
    }
    let forwarding = tokio::spawn(spool.clone().forward(CancellationToken::new()));
    world.emptied(&spool).await;
    forwarding.abort();
    let _ = forwarding.await;
    // As if the kill had come before the first save.
    cursor::save(spool.local.as_ref(), Cursor::default()).await.unwrap();
    spool.close().await;
    drop(spool);
    world.ids_are_forgotten().await;
    let spool = world.spool().await;
    let stop = CancellationToken::new();
    let forwarding = tokio::spawn(spool.clone().forward(stop.clone()));
    spool.publish(event("a", 300)).await.unwrap();
    world.emptied(&spool).await;
    assert_eq!(world.stored("events.ns.a.e").await, numbered("a", 0..301));
    stop.cancel();
    forwarding.await.unwrap().unwrap();
}

/// What went out over a connection that broke may arrive when its id is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_given_up_and_arrives_late_finds_its_place_taken() {
    let world = World::new(SpoolConfig::default()).await;
    let spool = world.spool().await;
    let stop = CancellationToken::new();
    let forwarding = tokio::spawn(spool.clone().forward(stop.clone()));
    for number in 0..3 {
        spool.publish(event("a", number)).await.unwrap();
    }
    world.emptied(&spool).await;
    world.far.keep.store(true, Ordering::SeqCst);
    for number in 3..6 {
        spool.publish(event("a", number)).await.unwrap();
    }
    world.emptied(&spool).await;
    world.ids_are_forgotten().await;
    let late = world.far.kept.lock().unwrap().take().expect("one was kept");
    let refusal = world.far.inner.publish(late).await.unwrap_err();
    assert!(matches!(refusal, BusError::Conflict { .. }), "{refusal}");
    // Others may write to the subject, too: the spool goes on behind them.
    world.far.inner.publish(event("a", 1000)).await.unwrap();
    spool.publish(event("a", 6)).await.unwrap();
    world.emptied(&spool).await;
    let stored = world.stored("events.ns.a.e").await;
    assert_eq!(stored, [numbered("a", 0..6), numbered("a", 1000..1001), numbered("a", 6..7)].concat());
    stop.cancel();
    forwarding.await.unwrap().unwrap();
}

/// Looking again helps against a conflict; where it does not, that is said, and tried with pauses.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_stays_is_told_of() {
    let world = World::new(SpoolConfig::default()).await;
    let spool = world.spool().await;
    world.far.fickle.store(true, Ordering::SeqCst);
    let stop = CancellationToken::new();
    let forwarding = tokio::spawn(spool.clone().forward(stop.clone()));
    spool.publish(event("a", 0)).await.unwrap();
    world.held(&spool).await;
    world.far.fickle.store(false, Ordering::SeqCst);
    world.emptied(&spool).await;
    assert_eq!(world.stored("events.ns.a.e").await, numbered("a", 0..1));
    stop.cancel();
    forwarding.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_and_forwarded_events_make_room() {
    let config = SpoolConfig { max_bytes: 4000, ..SpoolConfig::default() };
    let world = World::new(config).await;
    world.leave();
    let spool = world.spool().await;
    let large = |number: u32| {
        let payload = format!("{number:>1000}");
        Publish::new(streams::subject(streams::EVENTS, &["ns", "a", "e"]), payload).id(number.to_string())
    };
    let mut taken = 0;
    let refusal = loop {
        match spool.publish(large(taken)).await {
            Ok(_) => taken += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, BusError::Full { .. }), "{refusal}");
    assert!((1..=4).contains(&taken), "{taken}");
    world.go();
    let stop = CancellationToken::new();
    let forwarding = tokio::spawn(spool.clone().forward(stop.clone()));
    world.emptied(&spool).await;
    for number in 100..110 {
        spool.publish(large(number)).await.unwrap();
        world.emptied(&spool).await;
    }
    let stored: HashSet<String> = world.stored("").await.into_iter().collect();
    assert_eq!(stored.len(), taken as usize + 10);
    stop.cancel();
    forwarding.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_on_the_bus_before_its_event() {
    let world = World::new(SpoolConfig::default()).await;
    world.leave();
    let spool = world.spool().await;
    let reference = spool.put_blob(Bytes::from_static(b"the raw body")).await.unwrap();
    spool.publish(event("a", 1)).await.unwrap();
    let stop = CancellationToken::new();
    let forwarding = tokio::spawn(spool.clone().forward(stop.clone()));
    world.go();
    world.emptied(&spool).await;
    assert_eq!(world.far.inner.get_blob(&reference).await.unwrap().unwrap(), "the raw body");
    stop.cancel();
    forwarding.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_the_bus_would_never_take_is_refused_at_once() {
    let config = SpoolConfig { max_message: 100, ..SpoolConfig::default() };
    let world = World::new(config).await;
    let spool = world.spool().await;
    let message = Publish::new(streams::subject(streams::EVENTS, &["ns", "a", "e"]), "x".repeat(101));
    assert!(matches!(spool.publish(message).await, Err(BusError::TooLarge { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_events_are_forgotten_once_they_are_old_and_no_others() {
    let config = SpoolConfig { remember: Duration::from_millis(300), ..SpoolConfig::default() };
    let world = World::new(config).await;
    let spool = world.spool().await;
    let forward = async |numbers: std::ops::Range<u32>| {
        for number in numbers {
            spool.publish(event("a", number)).await.unwrap();
        }
        let stop = CancellationToken::new();
        let forwarding = tokio::spawn(spool.clone().forward(stop.clone()));
        world.emptied(&spool).await;
        stop.cancel();
        forwarding.await.unwrap().unwrap();
    };
    forward(0..50).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    forward(50..60).await;
    for number in 60..65 {
        spool.publish(event("a", number)).await.unwrap();
    }
    Forwarder::new(spool.clone()).forget().await.unwrap();
    let left = spool.local.info(streams::EVENTS).await.unwrap();
    assert_eq!((left.first, left.last), (51, 65), "{left:?}");
}
