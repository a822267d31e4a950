//! Ticks, and what a restart makes of them.

use serde_json::{Value, json};
use tiphys_bus::{Bus, Publish, memory, streams};
use tiphys_core::Timestamp;
use tiphys_eventsource::Config;

use crate::faulty::Faulty;
use crate::stage::{DEADLINE, Stage, until};

const EVERY_SECOND: &str = "
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: clock}
spec: {calendar: {tick: {interval: 1s, timezone: Asia/Kolkata, metadata: {team: red}}}}
";

const MEMORY: &str = "cron.default.calendar.clock%2Ftick";

/// Waits for so many events.
async fn events(bus: &dyn Bus, n: usize) -> Vec<tiphys_core::Event> {
    let after = n as u64 - 1;
    let last = bus.wait_for(streams::EVENTS, after, DEADLINE).await.unwrap();
    assert!(last > after, "{last} of {n} events");
    let messages = bus.read(streams::EVENTS, "", 0, 1000).await.unwrap();
    messages.iter().map(|m| tiphys_core::Event::decode(&m.payload).unwrap()).collect()
}

#[tokio::test]
async fn a_tick_is_an_event_in_argos_shape() {
    let stage = Stage::start(EVERY_SECOND).await;
    let events = events(stage.bus.as_ref(), 2).await;
    let event = &events[0];
    assert_eq!(event.kind, "calendar");
    let planned = event.occurred.unwrap();
    assert_eq!(event.attributes["nativeid"], planned.to_string());
    let payload: Value = serde_json::from_slice(&event.data).unwrap();
    assert_eq!(payload["metadata"], json!({"team": "red"}));
    let text = payload["eventTime"].as_str().unwrap();
    assert!(text.ends_with(" +0530 IST"), "{text}");
    let step = events[1].occurred.unwrap().duration_since(planned);
    assert_eq!(step.as_secs(), 1);
    let remembered = stage.bus.last(MEMORY).await.unwrap();
    let record: Value = serde_json::from_slice(&remembered.unwrap().payload).unwrap();
    assert_eq!(record["version"], 1);
    // Nobody may forge a tick.
    assert_eq!(stage.post(&stage.canonical("clock", "tick"), "{}").await.status(), 404);
    stage.end().await;
}

#[tokio::test]
async fn after_a_restart_missed_ticks_come_once() {
    let manifest = "
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: clock}
spec: {calendar: {tick: {interval: 1h, persistence: {catchup: {enabled: true, maxDuration: 90m}}}}}
";
    let bus = memory();
    for stream in streams::all() {
        bus.ensure_stream(&stream).await.unwrap();
    }
    let last = Timestamp::from_second(Timestamp::now().as_second() - 5 * 3600 - 60).unwrap();
    let record = json!({"version": 1, "rule": "|1h|", "last": last});
    let record = serde_json::to_vec(&record).unwrap();
    bus.publish(Publish::new(MEMORY, record.clone())).await.unwrap();

    let stage = Stage::with(manifest, bus.clone(), Config::default()).await;
    let missed = events(bus.as_ref(), 2).await;
    let hours = |n: i64| Timestamp::from_second(last.as_second() + n * 3600).unwrap();
    let times: Vec<_> = missed.iter().map(|e| e.occurred.unwrap()).collect();
    assert_eq!(times, [hours(4), hours(5)], "older ones are let go");
    stage.end().await;

    // As after a crash between the event and the memory of it.
    bus.publish(Publish::new(MEMORY, record)).await.unwrap();
    let stage = Stage::with(manifest, bus.clone(), Config::default()).await;
    let caught_up = async {
        loop {
            let message = bus.last(MEMORY).await.unwrap().unwrap();
            let record: Value = serde_json::from_slice(&message.payload).unwrap();
            if record["last"] == json!(hours(5)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, caught_up).await.unwrap();
    assert_eq!(stage.events().await.len(), 2);
    stage.end().await;
}

#[tokio::test]
async fn a_calendar_that_makes_no_sense_is_a_diagnostic_until_it_is_mended() {
    let stage = Stage::start(&EVERY_SECOND.replace("1s", "soon")).await;
    until("it is seen", || stage.codes() == ["TIP-SRC-001"]).await;
    stage.put(EVERY_SECOND);
    events(stage.bus.as_ref(), 1).await;
    assert!(stage.codes().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_tick_waits_for_a_bus_that_is_away() {
    let bus = Faulty::new();
    bus.away(true);
    let config = Config { publish_patience: std::time::Duration::from_millis(50), ..Config::default() };
    let stage = Stage::with(EVERY_SECOND, bus.clone(), config).await;
    let began = Timestamp::now();
    until("a tick is due", || Timestamp::now().duration_since(began).as_secs() >= 2).await;
    assert!(stage.events().await.is_empty());
    bus.away(false);
    let first = events(bus.as_ref(), 1).await[0].occurred.unwrap();
    assert!(first.duration_since(began).as_secs() < 2, "the first tick was let go");
    stage.end().await;
}
