//! Starts, edits, removals, bad manifests, bad records.

use super::faulty::{Faulty, Mode, Point};
use super::*;
use crate::service::consumer_name;

#[tokio::test]
async fn an_event_right_after_ready_is_seen_and_one_before_is_not() {
    let mut world = World::new(pair()).await;
    world.send("a", "before").await;
    world.start().await;
    world.send("a", "after").await;
    world.settled().await;
    assert_eq!(world.sets("single").await, ["a=after"]);
    let verdicts: Vec<Verdict> = world.records(streams::VERDICTS).await;
    assert_eq!(verdicts[0].triggers.len(), 2);
    // What comes while nothing runs is seen at the next start.
    world.stop().await;
    world.send("b", "meanwhile").await;
    world.start().await;
    world.settled().await;
    assert_eq!(world.sets("both").await, ["a=after,b=meanwhile"]);
    world.stop().await;
}

#[tokio::test]
async fn a_large_event_that_waits_survives_its_stream() {
    let mut spec = pair();
    spec["triggers"][1]["template"]["k8s"] =
        json!({"parameters": [{"src": {"dependencyName": "a", "dataKey": "p"}, "dest": "x"}]});
    let mut world = World::new(spec).await;
    world.start().await;
    let long = "x".repeat(40_000);
    world.put(&event("a", "a1", &format!(r#"{{"p":"{long}"}}"#)), "a1").await;
    world.settled().await;
    world.stop().await;
    world.bus.purge(streams::EVENTS, "events.ns.src.a", None).await.unwrap();
    world.start().await;
    world.send("b", "b1").await;
    world.settled().await;
    let firings = world.firings().await;
    let both = firings.iter().find(|firing| firing.trigger == "both").unwrap();
    assert_eq!(both.parameters[0].value, format!("\"{long}\""));
    world.stop().await;
}

#[tokio::test]
async fn an_edit_keeps_the_position_and_reports_what_is_no_longer_waited_for() {
    let mut world = World::new(pair()).await;
    world.start().await;
    world.send("a", "a1").await;
    world.settled().await;
    // A manifest that cannot be compiled holds the events back, and loses none.
    world.edit(json!({"dependencies": [dependency("a")], "triggers": [trigger("single", "a &&")]}));
    until("the mistake to be reported", async || world.problems().contains("conditions")).await;
    world.send("a", "a2").await;
    // Without `both`, a1 waits for nothing.
    world.edit(json!({"dependencies": [dependency("a")], "triggers": [trigger("single", "a")]}));
    world.settled().await;
    assert_eq!(world.sets("single").await, ["a=a1", "a=a2"]);
    assert_eq!(world.problems(), "{}");
    let verdicts: Vec<Verdict> = world.records(streams::VERDICTS).await;
    let reset: Vec<_> = verdicts.iter().flat_map(|verdict| &verdict.reset).collect();
    assert_eq!(reset.len(), 1);
    assert_eq!((reset[0].0.as_str(), reset[0].2.0.as_str()), ("both", "a1"));
    world.stop().await;
}

#[tokio::test]
async fn a_sensor_that_comes_back_goes_on_where_it_was() {
    let mut world = World::new(pair()).await;
    world.start().await;
    world.send("a", "a1").await;
    world.settled().await;
    world.feeder.replace(Vec::new(), Vec::new());
    until("the sensor to be gone", async || {
        let (_, health) = world.running.as_ref().unwrap();
        !health.parts().contains_key("sensor ns/watch")
    })
    .await;
    world.send("b", "b1").await;
    world.edit(pair());
    world.settled().await;
    assert_eq!(world.sets("both").await, ["a=a1,b=b1"]);
    world.stop().await;
}

#[tokio::test]
async fn a_sensor_that_is_gone_for_good_is_retired() {
    let mut world = World::new(pair()).await;
    world.config.retire_after = Duration::ZERO;
    world.start().await;
    world.send("a", "a1").await;
    world.settled().await;
    until("the condition to be kept", async || {
        world.bus.last("state.ns.watch.both").await.unwrap().is_some()
    })
    .await;
    world.stop().await;
    // It goes while nothing runs: the record of it is found at the next start.
    world.feeder.replace(Vec::new(), Vec::new());
    world.start().await;
    until("its state to be purged", async || {
        world.bus.read(streams::STATE, "state.ns.watch.>", 1, 10).await.unwrap().is_empty()
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_record_that_is_no_event_is_a_dead_letter_and_holds_nobody() {
    let mut world = World::new(pair()).await;
    world.start().await;
    world.bus.publish(Publish::new("events.ns.src.a", "no event")).await.unwrap();
    world.send("a", "a1").await;
    world.settled().await;
    assert_eq!(world.sets("single").await, ["a=a1"]);
    let dead = world.dead().await;
    assert_eq!((dead.len(), dead[0].code.as_str()), (1, "TIP-SEN-025"));
    assert!(dead[0].raw.is_some());
    let all = world.counts().await;
    let expected = Counts { accepted: 2, fired: 1, dead_lettered: 1, ..Counts::default() };
    assert_eq!(counts(&all, "single", "a"), expected);
    world.stop().await;
}

#[tokio::test]
async fn of_two_instances_one_works_and_the_other_takes_over() {
    let mut first = World::new(pair()).await;
    first.config.owner = "first".into();
    first.start().await;
    first.send("a", "a1").await;
    first.settled().await;
    let catalog = first.catalog.clone();
    let feeder = catalog.feeder();
    let mut second = World {
        bus: first.bus.clone(),
        catalog,
        feeder,
        running: None,
        config: Config { owner: "second".into(), ..Config::default() },
        begun: first.begun,
    };
    first.stop().await;
    second.start().await;
    second.send("b", "b1").await;
    second.settled().await;
    assert_eq!(second.sets("both").await, ["a=a1,b=b1"]);
    second.stop().await;
}

/// Two instances at once; the one of name `dies` has its bus taken away at its first ack.
async fn one_of_two_dies(dies: &str, lives: &str) {
    let mut first = World::new(pair()).await;
    let config =
        |owner: &str| Config { owner: owner.into(), claim_time: Duration::from_secs(2), ..Config::default() };
    first.config = config(dies);
    let catalog = first.catalog.clone();
    let feeder = catalog.feeder();
    let mut second =
        World { bus: first.bus.clone(), catalog, feeder, running: None, config: config(lives), begun: None };
    first.start_on(Faulty::new(first.bus.clone(), Point::Ack(1), Mode::Dead)).await;
    second.start().await;
    first.send("a", "a1").await;
    first.settled().await;
    first.send("b", "b1").await;
    second.settled().await;
    let consumer = consumer_name("ns", "watch");
    until("every event to be acked", async || {
        let info = second.bus.consumer_info(streams::EVENTS, &consumer).await.unwrap().unwrap();
        info.outstanding == 0 && info.pending == 0
    })
    .await;
    assert_eq!(second.sets("both").await, ["a=a1,b=b1"]);
    assert_eq!(second.sets("single").await, ["a=a1"]);
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn what_a_dead_instance_had_is_judged_by_the_other_and_fires_once() {
    // One of these two pairs begins with the owner.
    one_of_two_dies("one", "two").await;
    one_of_two_dies("two", "one").await;
}
