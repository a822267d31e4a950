//! Several executors on one bus.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{Bus, streams};
use tiphys_catalog::Catalog;
use tiphys_executor::journal::{self, Change};
use tiphys_executor::{Config, submit};

use crate::gate::{Gate, Gated};
use crate::stage::{Fake, Stage, bus, chain, executor, one, until};

/// One of several executors, and how to stop it.
struct Process {
    stage: Stage,
    /// Of everything.
    gate: Gate,
    /// Of what it writes in journals.
    journals: Gate,
}

fn process(bus: &Arc<dyn Bus>, launcher: Arc<Fake>, owner: &str, claim_time: Duration) -> Process {
    let (gate, journals) = (launcher.gate.clone(), Gate::default());
    let config = Config { owner: owner.into(), claim_time, ..Config::default() };
    let own = Gated::on(bus.clone(), gate.clone(), journals.clone());
    let mut stage = executor(own, Catalog::new(), launcher, config);
    // What the test itself asks is not held up.
    stage.bus = bus.clone();
    Process { stage, gate, journals }
}

/// Long enough for a machine that is busy with other tests.
const CLAIM: Duration = Duration::from_secs(2);

/// Waits until so many are members, and all agree.
async fn members(bus: &Arc<dyn Bus>, count: usize) {
    let subject = streams::subject(streams::CLAIMS, &["members", "executor"]);
    until(async || {
        let last = bus.last(&subject).await.unwrap()?;
        let list: serde_json::Value = serde_json::from_slice(&last.payload).unwrap();
        let members = list["members"].as_object()?;
        let agreed = members.values().all(|member| member["letGo"] == list["epoch"]);
        (members.len() == count && agreed).then_some(())
    })
    .await;
}

/// No pod was started twice, and no node stands twice in a journal.
async fn nothing_twice(stage: &Stage) {
    let mut started = BTreeSet::new();
    for spec in stage.launcher.started() {
        assert!(started.insert(spec.key.clone()), "{} was started twice", spec.name);
    }
    let mut nodes = BTreeSet::new();
    for message in stage.bus.read(streams::WORKFLOWS, "", 1, 100_000).await.unwrap() {
        let record: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        for change in record["progress"]["changes"].as_array().into_iter().flatten() {
            if change["change"] == "node" {
                let id = change["id"].as_str().unwrap().to_owned();
                assert!(nodes.insert((message.subject.clone(), id.clone())), "{id} was planned twice");
            }
        }
    }
    assert!(!nodes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_share_and_a_newcomer_gets_its_part() {
    let bus = bus().await;
    let launcher = Fake::named("host", false);
    let first = process(&bus, launcher.clone(), "first", CLAIM);
    for index in 0..20 {
        first.stage.submit(&format!("w{index}"), chain(2)).await;
    }
    first.stage.pod(20).await;
    let second = process(&bus, launcher.beside(), "second", CLAIM);
    members(&bus, 2).await;
    for index in 20..40 {
        second.stage.submit(&format!("w{index}"), chain(2)).await;
    }
    let mut ended = 0;
    while ended < 80 {
        let next = first.stage.pod(ended + 1).await;
        launcher.end(&next.key, 0).await;
        ended += 1;
    }
    for index in 0..40 {
        first.stage.phase(&format!("w{index}"), "Succeeded").await;
    }
    // Each pod's result is taken by one of them.
    let taken = || [&first, &second].map(|one| one.stage.launcher.forgotten.lock().unwrap().clone());
    let distinct = || taken().into_iter().flatten().collect::<BTreeSet<_>>().len();
    until(async || (distinct() == 80).then_some(())).await;
    let [one, two] = taken();
    assert!(one.len() > 10 && two.len() > 10, "{} and {}", one.len(), two.len());
    nothing_twice(&first.stage).await;
    first.stage.end().await;
    second.stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_executor_had_goes_on_under_another() {
    let bus = bus().await;
    let launcher = Fake::named("host", false);
    let first = process(&bus, launcher.clone(), "first", CLAIM);
    let second = process(&bus, launcher.beside(), "second", CLAIM);
    members(&bus, 2).await;
    for index in 0..20 {
        first.stage.submit(&format!("w{index}"), chain(3)).await;
    }
    first.stage.pod(20).await;
    // As `kill -9`: it never comes back.
    second.gate.close();
    for count in 0..60 {
        let next = first.stage.pod(count + 1).await;
        launcher.end(&next.key, 0).await;
    }
    for index in 0..20 {
        first.stage.phase(&format!("w{index}"), "Succeeded").await;
    }
    nothing_twice(&first.stage).await;
    members(&bus, 1).await;
    first.stage.end().await;
}

/// Stops the executor that has the workflow where `freeze` says, lets the other finish it, lets the first go on.
async fn stopped_and_continued(freeze: impl AsyncFn(&Process)) {
    let bus = bus().await;
    let launcher = Fake::named("host", true);
    let stale = process(&bus, launcher.clone(), "stale", CLAIM);
    members(&bus, 1).await;
    freeze(&stale).await;
    let next = process(&bus, launcher.beside(), "next", CLAIM);
    next.stage.phase("w", "Succeeded").await;
    stale.gate.open();
    stale.journals.open();
    members(&bus, 2).await;
    // It is one of them again: it works, and what it had on its way did nothing.
    for index in 0..10 {
        next.stage.submit(&format!("after-{index}"), one("x")).await;
    }
    for index in 0..10 {
        next.stage.phase(&format!("after-{index}"), "Succeeded").await;
    }
    until(async || (stale.gate.waiting() == 0 && stale.journals.waiting() == 0).then_some(())).await;
    let object = next.stage.phase("w", "Succeeded").await;
    assert_eq!(object["status"]["progress"], "2/2");
    nothing_twice(&next.stage).await;
    assert_eq!(next.stage.launcher.started().len(), 12);
    next.stage.end().await;
    stale.stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_stopped_before_it_writes_does_nothing_twice() {
    stopped_and_continued(async |stale| {
        stale.journals.close();
        stale.stage.submit("w", chain(2)).await;
        until(async || (stale.journals.waiting() > 0).then_some(())).await;
        stale.gate.close();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_stopped_between_the_record_and_the_start_does_nothing_twice() {
    stopped_and_continued(async |stale| {
        let launching = stale.stage.launcher.gate.clone();
        // The launcher's gate is the process's: it is closed once the record is written.
        stale.journals.close();
        stale.stage.submit("w", chain(2)).await;
        until(async || (stale.journals.waiting() > 0).then_some(())).await;
        let before = stale.stage.bus.info(streams::WORKFLOWS).await.unwrap().last;
        stale.stage.launcher.hold.close();
        stale.journals.open();
        until(async || {
            let last = stale.stage.bus.info(streams::WORKFLOWS).await.unwrap().last;
            (last > before && stale.stage.launcher.hold.waiting() > 0).then_some(())
        })
        .await;
        launching.close();
        stale.stage.launcher.hold.open();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_not_waited_for() {
    let bus = bus().await;
    let launcher = Fake::named("host", false);
    // Nobody would wait for such a claim to run out.
    let long = Duration::from_secs(3600);
    let first = process(&bus, launcher.clone(), "first", long);
    first.stage.submit("w", chain(2)).await;
    let running = first.stage.pod(1).await;
    first.stage.end().await;
    let second = process(&bus, launcher.beside(), "second", long);
    launcher.end(&running.key, 0).await;
    let last = second.stage.pod(2).await;
    launcher.end(&last.key, 0).await;
    second.stage.phase("w", "Succeeded").await;
    nothing_twice(&second.stage).await;
    second.stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_a_host_pass_only_to_who_sees_it() {
    let bus = bus().await;
    let (here, there) = (Fake::named("here", false), Fake::named("there", false));
    let first = process(&bus, here.clone(), "first", CLAIM);
    first.stage.submit("bound", chain(2)).await;
    let running = first.stage.pod(1).await;
    first.gate.close();
    let other = process(&bus, there.clone(), "other", CLAIM);
    members(&bus, 1).await;
    // What is new is the other's; what is bound waits.
    other.stage.submit("new", one("x")).await;
    let new = other.stage.pod(1).await;
    there.end(&new.key, 0).await;
    other.stage.phase("new", "Succeeded").await;
    assert_eq!(there.started().len(), 1);
    let bound = other.stage.object("bound").await.unwrap();
    assert_eq!(bound["status"]["phase"], "Running");
    let third = process(&bus, here.beside(), "third", CLAIM);
    members(&bus, 2).await;
    here.end(&running.key, 0).await;
    let last = third.stage.pod(2).await;
    here.end(&last.key, 0).await;
    third.stage.phase("bound", "Succeeded").await;
    assert_eq!((here.started().len(), there.started().len()), (2, 1));
    let launchers: BTreeSet<_> = begun(&bus).await;
    assert_eq!(launchers, ["here", "there"].map(String::from).into());
    other.stage.end().await;
    third.stage.end().await;
}

/// The launchers to which the journals bind.
async fn begun(bus: &Arc<dyn Bus>) -> BTreeSet<String> {
    let mut launchers = BTreeSet::new();
    for message in bus.read(streams::WORKFLOWS, "", 1, 1000).await.unwrap() {
        let record: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        let Ok(progress) = serde_json::from_value::<journal::Progress>(record["progress"].clone()) else {
            continue;
        };
        for change in progress.changes {
            if let Change::Begun(begun) = change {
                launchers.extend(begun.launcher);
            }
        }
    }
    launchers
}

#[tokio::test(flavor = "multi_thread")]
async fn each_takes_away_its_own_finished_workflows() {
    let bus = bus().await;
    let launcher = Fake::named("host", true);
    let config =
        |owner: &str| Config { owner: owner.into(), claim_time: CLAIM, finished_max: 3, ..Config::default() };
    let first = executor(bus.clone(), Catalog::new(), launcher.clone(), config("first"));
    let second = executor(bus.clone(), Catalog::new(), launcher.beside(), config("second"));
    members(&bus, 2).await;
    for index in 0..20 {
        first.submit(&format!("w{index}"), one("x")).await;
    }
    let left = async || {
        let mut left = 0;
        for index in 0..20 {
            let subject = submit::subject("ns", &format!("w{index}"));
            left += usize::from(bus.last(&subject).await.unwrap().is_some());
        }
        left
    };
    until(async || (launcher.started().len() == 20 && left().await <= 3).then_some(())).await;
    // A deleted name is free, whoever owned it.
    let gone = until(async || {
        for index in 0..20 {
            let name = format!("w{index}");
            if bus.last(&submit::subject("ns", &name)).await.unwrap().is_none() {
                return Some(name);
            }
        }
        None
    })
    .await;
    first.submit(&gone, one("x")).await;
    first.phase(&gone, "Succeeded").await;
    until(async || (left().await == 3).then_some(())).await;
    first.end().await;
    second.end().await;
}
