//! `kill -9` of the Docker engine: what became of each container is told, by an engine that ends what ran and by one that takes it up
//! again.

use serde_json::{Value, json};
use tiphys_servers::Docker;
use tiphys_tests::Server;

use super::crowd::{Crowd, Stage, Word, every_result_is_there, only, patiently, phases, pods};

/// The part that tells of it.
const PART: &str = "executor/docker";
/// How many containers run when it is killed.
const COUNT: usize = 12;

fn dev(engine: &Docker) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--launcher", "docker", "--trust-manifests"];
    Server::with(folder.path(), &arguments, &[("DOCKER_HOST", &engine.host())])
}

/// What is said of the engine: nothing where it answers.
fn trouble(stage: &Stage<'_>) -> Option<String> {
    let status = stage.server.json(&["status"]);
    status["parts"].get(PART)?.as_str().map(str::to_owned)
}

/// A crowd that runs, and an engine that is dead.
fn killed(stage: &Stage<'_>, engine: &mut Docker, crowd: &Crowd) {
    stage.submit(&crowd.workflow("busybox:1", false));
    patiently("all run", || {
        let running = phases(&stage.get("crowd")).get("Running") == Some(&COUNT);
        (running && crowd.begun() == COUNT).then_some(())
    });
    assert_eq!(trouble(stage), None);
    engine.kill();
    let why = patiently("it is told in words", || trouble(stage));
    assert!(why.contains("does not answer"), "{why}");
    let ready = stage.server.send("GET", "/readyz", &[], b"").unwrap();
    assert_eq!(ready.status, 200, "all else works: {}", ready.body);
    assert_eq!(phases(&stage.get("crowd")), [("Running", COUNT)].into());
}

/// A workflow of one step.
fn single(name: &str, script: &str) -> Value {
    let step = json!({"name": "main", "container": {"image": "busybox:1", "command": ["sh", "-c"], "args": [script]}});
    let mut single = super::crowd::workflow(json!({"templates": [step]}));
    single["metadata"]["name"] = json!(name);
    single
}

/// What is started while there is no engine waits, says why, and runs when there is one.
fn waits(stage: &Stage<'_>, name: &str) {
    stage.submit(&single(name, "true"));
    patiently("a reason", || {
        let (phase, message) = only(&stage.get(name))?;
        assert_eq!(phase, "Pending");
        message.contains("does not answer").then_some(())
    });
}

#[test]
fn an_engine_that_takes_up_what_runs_loses_no_end() {
    let Some(mut engine) = tiphys_servers::docker::docker_with(&["--live-restore"]) else { return };
    engine.import_busybox("busybox:1");
    let mut server = dev(&engine);
    let stage = Stage { server: &mut server, namespace: "default" };
    stage.submit(&single("terminated", "trap 'exit 143' TERM; while :; do sleep 1; done"));
    let crowd = Crowd::of(COUNT);
    patiently("it runs", || (only(&stage.get("terminated"))?.0 == "Running").then_some(()));
    killed(&stage, &mut engine, &crowd);
    crowd.say(Word::Early);
    patiently("half end without an engine", || (crowd.ended() == COUNT / 2).then_some(()));
    waits(&stage, "waits");
    stage.ok(&["terminate", "terminated"]);
    engine.start();
    patiently("the ends of that time", || {
        let workflow = stage.get("crowd");
        (phases(&workflow) == [("Running", COUNT / 2), ("Succeeded", COUNT / 2)].into()).then_some(())
    });
    patiently("all is well", || trouble(&stage).is_none().then_some(()));
    crowd.say(Word::Late);
    every_result_is_there(&stage.end_of("crowd"), COUNT);
    crowd.once();
    assert_eq!(stage.end_of("waits")["status"]["phase"], "Succeeded");
    let terminated = stage.end_of("terminated");
    assert_eq!(terminated["status"]["phase"], "Failed");
    assert_eq!(only(&terminated).unwrap(), ("Failed".into(), "Stopped with strategy 'Terminate'".into()));
}

#[test]
fn an_engine_that_ends_what_ran_says_so_of_each() {
    let Some(mut engine) = tiphys_servers::docker() else { return };
    engine.import_busybox("busybox:1");
    let mut server = dev(&engine);
    let stage = Stage { server: &mut server, namespace: "default" };
    let crowd = Crowd::of(COUNT);
    killed(&stage, &mut engine, &crowd);
    waits(&stage, "waits");
    engine.start();
    let workflow = stage.end_of("crowd");
    assert_eq!(workflow["status"]["phase"], "Failed");
    assert_eq!(phases(&workflow), [("Failed", COUNT)].into(), "{workflow:#}");
    for pod in pods(&workflow) {
        assert_eq!(
            (&pod["outputs"]["exitCode"], &pod["message"]),
            (&json!("143"), &json!("main: Error (exit code 143)"))
        );
    }
    assert_eq!((crowd.begun(), crowd.ended()), (COUNT, 0), "none ran twice");
    assert_eq!(stage.end_of("waits")["status"]["phase"], "Succeeded");
    patiently("all is well", || trouble(&stage).is_none().then_some(()));
}

#[test]
fn an_engine_that_dies_while_containers_begin_runs_none_twice() {
    let Some(mut engine) = tiphys_servers::docker::docker_with(&["--live-restore"]) else { return };
    engine.import_busybox("busybox:1");
    let mut server = dev(&engine);
    let stage = Stage { server: &mut server, namespace: "default" };
    let crowd = Crowd::of(2 * COUNT);
    stage.submit(&crowd.workflow("busybox:1", false));
    patiently("some have begun", || (crowd.begun() >= COUNT / 4).then_some(()));
    engine.kill();
    engine.start();
    Word::ALL.into_iter().for_each(|word| crowd.say(word));
    let workflow = stage.end_of("crowd");
    // An engine that is killed in the very moment forgets what it started; nobody else does.
    for pod in pods(&workflow).iter().filter(|pod| pod["phase"] != "Succeeded") {
        assert_eq!(pod["phase"], "Error", "{pod:#}");
        let message = pod["message"].as_str().unwrap();
        assert!(
            message.starts_with("the Docker engine went away while it started the container"),
            "{message}"
        );
    }
    let succeeded = phases(&workflow).get("Succeeded").copied().unwrap_or_default();
    assert!((succeeded..=crowd.count).contains(&crowd.ended()));
    let once = ["", "began\n", "began\nended\n"];
    assert!(crowd.written().iter().all(|text| once.contains(&text.as_str())), "{:?}", crowd.written());
}
