//! The API server is away for a minute: what the user sees meanwhile, and that nothing is lost and nothing made twice.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiphys_servers::kubernetes::Part;

use super::crowd::{Stage, Word, every_result_is_there, only, patiently, phases, workflow};
use super::{Told, created};

/// How long it is away.
const OUTAGE: Duration = Duration::from_secs(60);
/// The part that tells of it.
const PART: &str = "executor/kubernetes";

/// A workflow of one step, whose pod waits for a word.
fn single(name: &str, word: Word) -> Value {
    let step = json!({
        "name": "main", "nodeSelector": {"kubernetes.io/hostname": word.name()},
        "container": {"image": "busybox:1", "command": ["true"]},
    });
    let mut single = workflow(json!({"templates": [step]}));
    single["metadata"]["name"] = json!(name);
    single
}

/// What is said of the API server: nothing where it answers.
fn trouble(stage: &Stage<'_>) -> Option<String> {
    let status = stage.server.json(&["status"]);
    status["parts"].get(PART)?.as_str().map(str::to_owned)
}

/// While it is away: what runs is shown as running, what is to start says why it does not, and the API answers.
fn look_around(stage: &Stage<'_>, count: usize) {
    let why = patiently("it is told in words", || trouble(stage));
    assert!(why.contains("the pods of the cluster cannot be followed"), "{why}");
    let ready = stage.server.send("GET", "/readyz", &[], b"").unwrap();
    assert_eq!(ready.status, 200, "all else works: {}", ready.body);
    assert!(ready.body.contains(&format!("[-] {PART}: the pods of the cluster")), "{}", ready.body);
    for name in ["begun-away", "never-begun"] {
        stage.submit(&single(name, Word::Late));
    }
    for name in ["begun-away", "never-begun"] {
        let message = patiently("a reason", || {
            let (phase, message) = only(&stage.get(name))?;
            assert_eq!(phase, "Pending");
            (!message.is_empty()).then_some(message)
        });
        assert!(message.starts_with("pod ") && message.contains("onnect"), "{message}");
    }
    stage.ok(&["terminate", "terminated-away"]);
    stage.ok(&["terminate", "never-begun"]);
    let crowd = stage.get("crowd");
    assert_eq!(crowd["status"]["phase"], "Running");
    assert_eq!(phases(&crowd), [("Running", count)].into());
}

#[test]
fn a_minute_without_the_api_server_loses_no_end_and_makes_no_pod_twice() {
    let Some(told_pods) = Told::new() else { return };
    let (namespace, count) = (told_pods.cluster.namespace(), 40);
    let mut server = told_pods.dev(&namespace);
    let mut stage = Stage { server: &mut server, namespace: &namespace };
    stage.submit(&Told::workflow(count));
    stage.submit(&single("terminated-away", Word::Late));
    patiently("all run", || {
        let (crowd, single) = (stage.get("crowd"), stage.get("terminated-away"));
        (phases(&crowd).get("Running") == Some(&count) && only(&single)?.0 == "Running").then_some(())
    });
    assert_eq!(trouble(&stage), None);

    told_pods.cluster.kill(Part::ApiServer);
    let gone = Instant::now();
    look_around(&stage, count);
    // Pods end while nobody can say so, and Tiphys itself is killed and begins without its API server.
    told_pods.say(Word::Early);
    stage.kill(|| {});
    let why = patiently("it is told again", || trouble(&stage));
    assert!(why.contains("onnect"), "{why}");
    assert_eq!(phases(&stage.get("crowd")), [("Running", count)].into());
    std::thread::sleep(OUTAGE.saturating_sub(gone.elapsed()));
    told_pods.cluster.start(Part::ApiServer);

    patiently("all is well", || trouble(&stage).is_none().then_some(()));
    patiently("the ends of the minute", || {
        let crowd = stage.get("crowd");
        (phases(&crowd) == [("Running", count / 2), ("Succeeded", count / 2)].into()).then_some(())
    });
    told_pods.say(Word::Late);
    every_result_is_there(&stage.end_of("crowd"), count);
    assert_eq!(stage.end_of("begun-away")["status"]["phase"], "Succeeded");
    for name in ["terminated-away", "never-begun"] {
        let end = stage.end_of(name);
        assert_eq!(end["status"]["phase"], "Failed");
        assert_eq!(only(&end).unwrap(), ("Failed".into(), "Stopped with strategy 'Terminate'".into()));
    }
    // One pod for each step, but for the one that was given up before it began.
    assert_eq!(created(&told_pods.cluster, &namespace).len(), count + 2);
    let given = told_pods.given();
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len());
}
