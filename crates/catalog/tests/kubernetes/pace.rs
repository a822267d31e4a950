//! How often objects are written, and that they are in the end, whatever the API server answers.

use std::time::{Duration, Instant};

use tiphys_servers::kubernetes::Request;
use tiphys_servers::{Fault, Flaky};

use crate::stage::{ARGO, Stage, within};

fn is_write(request: &Request) -> bool {
    request.verb == "patch" && request.resource.starts_with("workflows")
}

fn writes(flaky: &Flaky) -> usize {
    flaky.seen().iter().filter(|request| is_write(request)).count()
}

#[tokio::test]
async fn a_status_is_written_once_a_second_at_most_and_at_the_end() {
    let Some(stage) = Stage::new().await else { return };
    let flaky = stage.flaky();
    let run = stage.run_through(&flaky).await;
    let workflow = stage.triggered("busy").await;
    stage.show_with(&workflow, "Running", "0/1000", "begun").await;
    stage.until_phase("busy", "Running").await;
    let (before, began) = (writes(&flaky), Instant::now());
    let mut changes = 0_usize;
    while began.elapsed() < Duration::from_secs(5) {
        changes += 1;
        stage.show_with(&workflow, "Running", &format!("{changes}/1000"), "changed").await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let last = format!("{changes}/1000");
    let objects = stage.objects(ARGO, "Workflow").await;
    within("the last change", || async {
        let live = objects.get("busy").await.unwrap()?;
        (live["status"]["progress"] == last.as_str()).then_some(())
    })
    .await;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let meanwhile = writes(&flaky) - before;
    assert!((2..=seconds + 1).contains(&meanwhile), "{meanwhile} writes in {seconds} s of {changes} changes");
    // The end is written as well, and once.
    let before = writes(&flaky);
    stage.show_with(&workflow, "Succeeded", "1000/1000", "ended").await;
    let ended = stage.until_phase("busy", "Succeeded").await;
    assert_eq!(ended["status"]["progress"], "1000/1000");
    assert_eq!(ended["metadata"]["labels"]["workflows.argoproj.io/completed"], "true");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(writes(&flaky) - before, 1);
    run.end().await;
}

/// What may happen to a request, and whether it is asked for again then: what was done without an answer is seen by the watch, too.
fn faults() -> [(&'static str, Fault, bool); 6] {
    [
        ("limited", Fault::TooMany(1), true),
        ("broken", Fault::Status(500), true),
        ("unavailable", Fault::Status(503), true),
        ("unheard", Fault::Unheard, true),
        ("unanswered", Fault::Unanswered, false),
        ("late", Fault::Late(Duration::from_secs(2)), false),
    ]
}

#[tokio::test]
async fn objects_are_made_written_and_deleted_whatever_is_answered() {
    let Some(stage) = Stage::new().await else { return };
    let flaky = stage.flaky();
    let run = stage.run_through(&flaky).await;
    for (name, fault, again) in faults() {
        for verb in ["create", "patch", "delete"] {
            let concerns =
                move |request: &Request| request.verb == verb && request.resource.starts_with("workflows");
            flaky.inject(2, fault.clone(), concerns);
        }
        let before = flaky.seen().len();
        let workflow = stage.triggered(name).await;
        stage.show(&workflow, "Running", "begun").await;
        stage.until_phase(name, "Running").await;
        stage.show(&workflow, "Succeeded", "ended").await;
        stage.until_phase(name, "Succeeded").await;
        assert_eq!(stage.workflows().await.len(), 1, "{name}");
        stage.delete(name).await;
        within(&format!("{name}: the object goes"), || async {
            stage.workflows().await.is_empty().then_some(())
        })
        .await;
        let least = if again { 3 } else { 1 };
        within("all was asked for again", || async {
            let seen = flaky.seen().split_off(before);
            let asked = |verb: &str| {
                seen.iter()
                    .filter(|request| request.verb == verb && request.resource.starts_with("workflows"))
                    .count()
            };
            ["patch", "delete"].into_iter().all(|verb| asked(verb) >= least).then_some(())
        })
        .await;
        flaky.behave();
    }
    run.end().await;
}
