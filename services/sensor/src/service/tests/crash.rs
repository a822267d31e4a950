//! Whatever fails, and wherever: one firing per event set, and every event accounted for.

use super::faulty::{Faulty, Mode, Point};
use super::*;

const ROOTS: [&str; 3] = ["state.ns.watch.both", "firings.", "verdicts."];

fn points() -> Vec<Point> {
    let mut points: Vec<Point> = (1..=4).map(Point::Ack).collect();
    for root in ROOTS {
        for nth in 1..=4 {
            points.extend([Point::BeforePublish(root, nth), Point::AfterPublish(root, nth)]);
        }
    }
    points
}

const EVENTS: [(&str, &str); 7] =
    [("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2"), ("a", "a3"), ("a", "a4"), ("b", "b3")];

/// All that must be true once the events are judged, whatever happened meanwhile.
async fn check(world: &mut World, what: &str) {
    world.settled().await;
    world.stop().await;
    let sets = world.sets("both").await;
    assert_eq!(sets, ["a=a2,b=b1", "a=a3,b=b2", "a=a4,b=b3"], "{what}");
    assert_eq!(world.sets("single").await.len(), 4, "{what}");
    let all = world.counts().await;
    let expected = Counts { accepted: 4, fired: 3, superseded: 1, ..Counts::default() };
    assert_eq!(counts(&all, "both", "a"), expected, "{what}");
    assert_eq!(counts(&all, "both", "b").fired, 3, "{what}");
    assert_eq!(counts(&all, "single", "a").fired, 4, "{what}");
}

#[tokio::test]
async fn a_step_that_fails_once_is_made_up_for() {
    for point in points() {
        let mut world = World::new(pair()).await;
        let faulty = Faulty::new(world.bus.clone(), point, Mode::Once);
        world.start_on(faulty.clone()).await;
        for (name, id) in EVENTS {
            world.send(name, id).await;
        }
        check(&mut world, &format!("{point:?}")).await;
    }
}

#[tokio::test]
async fn a_process_killed_at_any_step_leaves_nothing_undone_and_nothing_twice() {
    for point in points() {
        let mut world = World::new(pair()).await;
        world.config.batch = 2;
        let faulty = Faulty::new(world.bus.clone(), point, Mode::Dead);
        world.start_on(faulty.clone()).await;
        for (name, id) in EVENTS {
            world.send(name, id).await;
        }
        until("the process to die", async || faulty.reached()).await;
        world.stop().await;
        world.start().await;
        check(&mut world, &format!("{point:?}")).await;
    }
}

#[tokio::test]
async fn an_event_delivered_and_stored_ten_times_fires_once() {
    let mut world = World::new(pair()).await;
    world.start().await;
    for number in 0..50 {
        for copy in 0..10 {
            let (a, b) = (format!("a{number}"), format!("b{number}"));
            world.put(&event("a", &a, "{}"), &format!("{a}-{copy}")).await;
            world.put(&event("b", &b, "{}"), &format!("{b}-{copy}")).await;
        }
    }
    world.settled().await;
    assert_eq!(world.sets("single").await.len(), 50);
    let both = world.sets("both").await;
    let expected: Vec<String> = (0..50).map(|number| format!("a=a{number},b=b{number}")).collect();
    assert_eq!(both, expected);
    let all = world.counts().await;
    let expected = Counts { accepted: 500, fired: 50, suppressed: 450, ..Counts::default() };
    for (trigger, dependency) in [("both", "a"), ("both", "b"), ("single", "a")] {
        assert_eq!(counts(&all, trigger, dependency), expected, "{trigger} {dependency}");
    }
    world.stop().await;
}
