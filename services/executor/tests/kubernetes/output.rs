//! What goes in and comes out, in both ways: the runner asks us, or we go to it through the API server.

use std::time::Duration;

use serde_json::json;
use tiphys_executor::launcher::{
    Archive, ArtifactSource, InputArtifact, Launcher, OutputArtifact, OutputParameter, PodResult, PodSpec,
    PodVerdict,
};

use crate::support::{Run, Stage, nowhere};

pub(crate) fn artifact(name: &str, path: &str, archive: Archive) -> OutputArtifact {
    OutputArtifact {
        name: name.into(),
        path: path.into(),
        key: format!("out/{name}"),
        archive,
        optional: false,
    }
}

fn input(name: &str, path: &str, from: ArtifactSource) -> InputArtifact {
    InputArtifact { name: name.into(), path: path.into(), mode: None, from, optional: false }
}

fn parameter(name: &str, path: &str) -> OutputParameter {
    OutputParameter { name: name.into(), path: path.into(), default: None }
}

async fn stored(stage: &Stage, run: &Run, key: &str, text: &str) -> ArtifactSource {
    let file = stage.dir.path().join("to-store");
    std::fs::write(&file, text).unwrap();
    run.store.put(key, file).await.unwrap();
    ArtifactSource::Stored { key: key.into(), archive: Archive::None, sub_path: None }
}

/// All kinds of inputs and outputs.
pub(crate) async fn everything(stage: &Stage, run: &mut Run) -> PodResult {
    let script = "set -e; cat /in/raw /in/stored; echo; echo v > /tmp/p; mkdir -p /tmp/tree/sub; \
                  echo deep > /tmp/tree/sub/file; printf plain > /tmp/plain; test -z \"$TIPHYS_RUNNER\"; \
                  test $TIPHYS_WORKFLOW = wf; echo oops >&2";
    let pod = PodSpec {
        script: Some(script.into()),
        inputs: vec![
            input("raw", "/in/raw", ArtifactSource::Raw("raw ".into())),
            input("stored", "/in/stored", stored(stage, run, "in/a b", "and stored").await),
        ],
        output_parameters: vec![parameter("p", "/tmp/p")],
        output_artifacts: vec![
            artifact("tree", "/tmp/tree", Archive::Tar),
            artifact("plain", "/tmp/plain", Archive::None),
        ],
        capture_result: true,
        archive_logs: true,
        ..stage.pod_of("everything", json!({"image": "busybox:1", "command": ["sh"]}))
    };
    let result = run.through(&pod).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{} {:?}", result.message, run.texts(&pod.key).await);
    assert_eq!((result.exit_code, result.result.as_deref()), (Some(0), Some("raw and stored")));
    assert_eq!(result.parameters["p"], "v");
    let names: Vec<&str> = result.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(names, ["tree", "plain", "main-logs"]);
    assert_eq!(run.store.get("out/plain").await.unwrap(), "plain");
    assert_eq!(result.artifacts[1].size, 5);
    let tree = stage.dir.path().join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    let packed = run.store.get("out/tree").await.unwrap();
    tiphys_runner::archive::unpack(&packed[..], &tree, Default::default()).unwrap();
    assert_eq!(std::fs::read_to_string(tree.join("tree/sub/file")).unwrap(), "deep\n");
    let log = run.store.get(&result.artifacts[2].key).await.unwrap();
    assert!(String::from_utf8_lossy(&log).contains("raw and stored\n"));
    let mut lines = run.lines(&pod.key).await;
    lines.sort_by(|one, other| one.text.cmp(&other.text));
    let told: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(told, ["oops", "raw and stored"]);
    // The runner tells the streams apart, and hands over what it told where it reaches us.
    let stream = if stage.config.address.is_some() { "stderr" } else { "stdout" };
    assert_eq!((lines[0].stream.as_str(), lines[1].stream.as_str()), (stream, "stdout"));
    assert!(lines.iter().all(|line| line.time > result.started.unwrap()), "{lines:?}");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_and_goes_by_http() {
    let Some(mut stage) = Stage::new().await else { return };
    let mut run = stage.dialled().await;
    everything(&stage, &mut run).await;
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_and_goes_through_the_api_server() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    everything(&stage, &mut run).await;
    run.end().await;
}

/// Longer than Kubernetes keeps, both ways.
async fn large(stage: &Stage, run: &mut Run) {
    let pod = PodSpec {
        inputs: vec![input("raw", "/in/raw", ArtifactSource::Raw("0123456789".repeat(20_000)))],
        output_parameters: vec![parameter("p", "/tmp/p")],
        capture_result: true,
        ..stage.pod("large", "cat /in/raw; head -c 100000 /in/raw > /tmp/p; exit 4")
    };
    let result = run.through(&pod).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(4)), "{}", result.message);
    assert_eq!(result.message, "main: Error (exit code 4)");
    assert_eq!(result.result.map(|text| text.len()), Some(200_000));
    assert_eq!(result.parameters["p"].len(), 100_000);
    let kept = stage.dir.path().join("artifacts/runner");
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 1);
    run.launcher.forget(&pod.key).await;
    crate::support::until("nothing is kept for the pod", async || {
        let left = std::fs::read_dir(&kept).map_or(0, Iterator::count);
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_long_goes_by_the_store() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    large(&stage, &mut run).await;
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_long_goes_by_the_store_and_by_http() {
    let Some(mut stage) = Stage::new().await else { return };
    let mut run = stage.dialled().await;
    large(&stage, &mut run).await;
    run.end().await;
}

/// A folder without archive is stored file by file, and comes back as one.
async fn folders(stage: &Stage, run: &mut Run) {
    let makes = PodSpec {
        output_artifacts: vec![artifact("folder", "/tmp/folder", Archive::None)],
        ..stage.pod("makes", "mkdir -p /tmp/folder/sub; echo a > /tmp/folder/a; echo b > /tmp/folder/sub/b")
    };
    let result = run.through(&makes).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    let from = ArtifactSource::Stored { key: "out/folder".into(), archive: Archive::None, sub_path: None };
    let takes = PodSpec {
        inputs: vec![input("folder", "/in/folder", from)],
        ..stage.pod("takes", "test $(cat /in/folder/a /in/folder/sub/b | tr -d '\\n') = ab")
    };
    let result = run.through(&takes).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{} {:?}", result.message, run.texts(&takes.key).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_go_as_they_are() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    folders(&stage, &mut run).await;
    run.end().await;
}

/// Asks what a runner asks; the status and the text of the answer.
async fn ask(address: &str, method: &str, target: &str, body: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_its_step_do_what_it_declares_and_only_while_it_runs() {
    let Some(mut stage) = Stage::new().await else { return };
    let mut run = stage.dialled().await;
    let address = stage.config.address.clone().unwrap();
    folders(&stage, &mut run).await;
    let file = stage.dir.path().join("secret");
    std::fs::write(&file, "of another").unwrap();
    run.store.put("out/other", file).await.unwrap();
    let pod = PodSpec {
        output_artifacts: vec![artifact("a", "/tmp/a", Archive::None)],
        ..stage.pod("token", "echo -n real > /tmp/a; sleep 5")
    };
    run.start(&pod).await;
    run.running(&pod.key).await;
    let object = stage.object(&pod).await.unwrap();
    let env = object["spec"]["containers"][0]["env"].as_array().unwrap();
    let order = env.iter().find(|variable| variable["name"] == "TIPHYS_RUNNER").unwrap();
    let order: serde_json::Value =
        serde_json::from_str(&order["value"].as_str().unwrap().replace("$$", "$")).unwrap();
    let target = order["parcel"]["here"]["uploads"][0].as_str().unwrap().to_owned();
    let (status, receipt) = ask(&address, "PUT", &target, "early").await;
    assert_eq!((status, receipt.contains("\"size\":5")), (200, true), "{receipt}");
    // Neither read with what lets it write, nor write what another step has.
    assert_eq!(ask(&address, "GET", &target, "").await.0, 403);
    let other = target.replace("out%2Fa", "out%2Fother");
    assert_ne!(other, target);
    assert_eq!(ask(&address, "PUT", &other, "x").await.0, 403);
    assert_eq!(ask(&address, "PUT", &target.replace("token=", "token=0"), "x").await.0, 403);
    let another = PodSpec { key: tiphys_core::PodKey("feedfeedfeedfeed".into()), ..pod.clone() };
    let theirs = target.replace(&pod.key.0, &another.key.0);
    assert_eq!(ask(&address, "PUT", &theirs, "x").await.0, 403);
    let result = run.end_of(&pod.key).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    assert_eq!(run.store.get("out/a").await.unwrap(), "real");
    assert_eq!(ask(&address, "PUT", &target, "late").await.0, 410);
    run.launcher.forget(&pod.key).await;
    assert_eq!(ask(&address, "PUT", &target, "later").await.0, 503);
    assert_eq!(run.store.get("out/a").await.unwrap(), "real");
    assert_eq!(run.store.get("out/other").await.unwrap(), "of another");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_output_is_an_error_and_a_default_none() {
    let Some(mut stage) = Stage::new().await else { return };
    let mut run = stage.dialled().await;
    let lacks = PodSpec { output_parameters: vec![parameter("p", "/tmp/p")], ..stage.pod("lacks", "true") };
    let result = run.through(&lacks).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Error, Some(0)));
    assert!(
        result.message.starts_with("wait: Error (exit code 64): output parameter p"),
        "{}",
        result.message
    );
    let default = OutputParameter { default: Some("d".into()), ..parameter("p", "/tmp/p") };
    let result =
        run.through(&PodSpec { output_parameters: vec![default], ..stage.pod("default", "true") }).await;
    assert_eq!((result.verdict, result.parameters["p"].as_str()), (PodVerdict::Succeeded, "d"));
    let gone = ArtifactSource::Stored { key: "no/such".into(), archive: Archive::Tar, sub_path: None };
    let wants = PodSpec { inputs: vec![input("in", "/in", gone)], ..stage.pod("wants", "true") };
    let result = run.through(&wants).await;
    assert_eq!(result.verdict, PodVerdict::Error);
    assert_eq!(result.message, "input artifact in: it is not in its store");
    let gone = ArtifactSource::Stored { key: "no/such".into(), archive: Archive::Tar, sub_path: None };
    let absent = InputArtifact { optional: true, ..input("absent", "/absent", gone) };
    let there = input("there", "/there", ArtifactSource::Raw("t".into()));
    let can = PodSpec {
        inputs: vec![absent, there],
        ..stage.pod("can", "test ! -e /absent && test $(cat /there) = t")
    };
    let result = run.through(&can).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_takes_is_an_error_in_the_end() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.config.address = Some(nowhere());
    stage.config.patience = Duration::from_secs(2);
    let mut run = stage.run().await;
    let pod = PodSpec {
        output_artifacts: vec![artifact("a", "/etc/passwd", Archive::None)],
        ..stage.pod("upload", "true")
    };
    let result = run.through(&pod).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Error, Some(0)), "{}", result.message);
    assert!(
        result.message.contains("output artifact a was not stored: nobody could be reached"),
        "{}",
        result.message
    );
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_waits_for_a_tiphys_that_is_away() {
    let Some(stage) = Stage::new().await else { return };
    let run = stage.run().await;
    let pod = PodSpec {
        output_artifacts: vec![artifact("a", "/tmp/a", Archive::None)],
        ..stage.pod("away", "sleep 1; echo -n late > /tmp/a")
    };
    run.start(&pod).await;
    run.end().await;
    // Its command has ended long before.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut run = stage.run().await;
    let result = run.end_of(&pod.key).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    assert_eq!(run.store.get("out/a").await.unwrap(), "late");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_must_be_known_for_the_runner() {
    let Some(mut stage) = Stage::new().await else { return };
    let run = stage.run().await;
    let pod = PodSpec { capture_result: true, ..stage.pod_of("unknown", json!({"image": "busybox:1"})) };
    let refused = run.launcher.start(&pod, Default::default()).await.unwrap_err().to_string();
    assert!(refused.contains("name it as `command:`"), "{refused}");
    assert!(stage.object(&pod).await.is_none());
    run.end().await;
    let known = tiphys_executor::launcher::kubernetes::ImageCommand {
        entrypoint: vec!["echo".into()],
        arguments: vec!["known".into()],
    };
    stage.config.images.insert("busybox:1".into(), known);
    let mut run = stage.run().await;
    assert_eq!(run.through(&pod).await.result.as_deref(), Some("known"));
    run.end().await;
    stage.config.runner = None;
    let run = stage.run().await;
    let pod = PodSpec { capture_result: true, ..stage.pod("none", "true") };
    let refused = run.launcher.start(&pod, Default::default()).await.unwrap_err().to_string();
    assert!(refused.contains("--runner-image"), "{refused}");
    run.end().await;
}
