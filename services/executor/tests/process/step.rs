//! What a step is given and what comes of it.

use std::fs;
use std::process::Command;

use serde_json::json;
use tiphys_core::PodKey;
use tiphys_executor::launcher::process::Policy;
use tiphys_executor::launcher::{
    Archive, ArtifactSource, InputArtifact, LaunchError, Launcher, PodSpec, PodState, PodVerdict,
    SecretEnvironment, Secrets,
};

use crate::support::{Host, pod, pod_of};

#[tokio::test]
async fn exit_codes_results_and_logs() {
    let host = Host::new();
    let mut run = host.run().await;
    let good = pod("good", "echo one; echo two >&2; echo three");
    let result = run.through(&good).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Succeeded, Some(0)));
    assert_eq!((result.message.as_str(), result.result.as_deref()), ("", Some("one\nthree")));
    assert!(result.started.unwrap() <= result.finished);

    let lines = run.launcher.logs(&good.key, 0, 100).await.unwrap();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().any(|line| line.stream == "stderr" && line.text == "two"));
    assert!(lines.iter().all(|line| line.time >= result.started.unwrap() && line.time <= result.finished));
    assert_eq!(run.launcher.logs(&good.key, 1, 1).await.unwrap(), lines[1..2]);
    assert_eq!(run.launcher.logs(&good.key, 2, 9).await.unwrap(), lines[2..]);
    assert_eq!(run.launcher.logs(&good.key, 0, 9).await.unwrap(), lines);
    assert!(run.launcher.logs(&good.key, 3, 9).await.unwrap().is_empty());
    let nobody = PodKey("0000000000000000".into());
    assert!(run.launcher.logs(&nobody, 0, 9).await.unwrap().is_empty());

    let result = run.through(&pod("bad", "exit 7")).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(7)));
    assert_eq!(result.message, "main: Error (exit code 7)");
}

#[tokio::test]
async fn an_image_does_not_run_on_the_host_in_silence() {
    let mut host = Host::new();
    let image = PodSpec { process_allowed: false, ..pod("scan", "true") };
    let run = host.run().await;
    let refused = run.launcher.start(&image, Secrets::default()).await.unwrap_err();
    let LaunchError::NotAllowed(text) = refused else { panic!("{refused:?}") };
    for part in ["scan", "busybox", "tiphys.dev/launcher: process", "--launcher process"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(run.launcher.observe(&image.key).await.unwrap(), PodState::Unknown);
    run.end().await;

    host.config.policy = Policy::Process;
    let result = host.run().await.through(&image).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded);
}

#[tokio::test]
async fn what_a_process_cannot_have_is_refused_by_name() {
    let host = Host::new();
    let run = host.run().await;
    let container = |more: serde_json::Value| {
        let mut container = json!({"image": "busybox", "command": ["true"]});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod_of("alien", container)
    };
    let option = |name: &str| {
        let mut pod = pod("alien", "true");
        pod.pod.spec.insert(name.to_owned(), json!([{ "name": "x" }]));
        pod
    };
    let mut beside = pod("alien", "true");
    beside.pod.sidecars.push(json!({"name": "x", "image": "busybox"}));
    for (pod, name) in [
        (container(json!({"volumeMounts": [{"name": "x", "mountPath": "/x"}]})), "volumeMounts"),
        (container(json!({"volumeDevices": [{"name": "x", "devicePath": "/x"}]})), "volumeDevices"),
        (option("initContainers"), "initContainers"),
        (option("resourceClaims"), "resourceClaims"),
        (beside, "sidecars"),
    ] {
        let refused = run.launcher.start(&pod, Secrets::default()).await.unwrap_err();
        let LaunchError::NotAllowed(text) = refused else { panic!("{refused:?}") };
        assert!(text.contains("TIP-EXE-101") && text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named_and_leaves_nothing() {
    let host = Host::new();
    let run = host.run().await;
    let input =
        |from| InputArtifact { name: "in".into(), path: "/tmp/in".into(), mode: None, from, optional: false };
    let stored = ArtifactSource::Stored { key: "no/such".into(), archive: Archive::Tar, sub_path: None };
    let secret = json!({ "command": ["true"], "env": [
        { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "cloud", "key": "token" } } },
    ]});
    let cases = [
        (pod_of("a", json!({ "command": ["no-such-program"] })), "program no-such-program is not installed"),
        (pod_of("b", json!({ "command": ["/no/such"] })), "no program /no/such on this host"),
        (pod_of("c", json!({ "image": "falco:1" })), "image falco:1 brings its own"),
        (pod_of("d", secret), "TOKEN of template d needs key token of Secret cloud"),
        (PodSpec { inputs: vec![input(stored)], ..pod("e", "true") }, "input artifact in: artifact no/such"),
    ];
    for (pod, text) in cases {
        let error = run.launcher.start(&pod, Secrets::default()).await.unwrap_err();
        assert!(matches!(error, LaunchError::Missing(_)) && error.to_string().contains(text), "{error:?}");
        assert_eq!(run.launcher.observe(&pod.key).await.unwrap(), PodState::Unknown);
        assert!(!host.folder(&pod.key).exists());
    }
    for key in ["../x", "", "a/b"] {
        let pod = PodSpec { key: PodKey(key.into()), ..pod("f", "true") };
        assert!(run.launcher.start(&pod, Secrets::default()).await.is_err());
    }
}

#[tokio::test]
async fn the_environment_holds_what_is_named_and_secrets_touch_no_disk() {
    let mut host = Host::new();
    host.config.extra_path = Some("/opt/tiphys".into());
    host.config.environment.insert("TIPHYS_SERVER".into(), "http://127.0.0.1:2746".into());
    let mut run = host.run().await;
    let reference = |name: &str| json!({ "secretKeyRef": { "name": name, "key": "k", "optional": true } });
    let scan = pod_of(
        "scan",
        json!({
            "command": ["sh", "-c", "env | grep -v -e ^PWD -e ^SHLVL -e ^_= | sort; echo $TOKEN | tr a-z A-Z >&2"],
            "env": [
                { "name": "PLAIN", "value": "$(HOME)/x" },
                { "name": "TOKEN", "valueFrom": reference("cloud") },
                { "name": "ABSENT", "valueFrom": reference("absent") },
                { "name": "EMPTY" },
                { "name": "APP", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
                { "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            ],
        }),
    );
    let scan = PodSpec { capture_result: false, ..scan };
    let secrets = ["TOKEN", "WHOLE"].map(|name| (name.to_owned(), "canary-7f3a".to_owned().into()));
    run.launcher.start(&scan, Secrets::of_main(SecretEnvironment::from(secrets))).await.unwrap();
    let result = run.end_of(&scan.key).await;
    assert_eq!((result.message.as_str(), result.result), ("", None));
    let texts = run.texts(&scan.key).await;
    let mut expected = vec![
        "APP=scan".to_owned(),
        "CANARY-7F3A".to_owned(),
        "EMPTY=".to_owned(),
        "HOME=/home/step".to_owned(),
        "PATH=/opt/tiphys:/usr/local/bin:/usr/bin:/bin".to_owned(),
        "PLAIN=/home/step/x".to_owned(),
        "POD=wf-scan-1".to_owned(),
        "TIPHYS_NAMESPACE=default".to_owned(),
        "TIPHYS_NODE_ID=wf-1".to_owned(),
        format!("TIPHYS_POD_KEY={}", scan.key),
        "TIPHYS_SERVER=http://127.0.0.1:2746".to_owned(),
        "TIPHYS_TEMPLATE=scan".to_owned(),
        "TIPHYS_WORKFLOW=wf".to_owned(),
        "TOKEN=canary-7f3a".to_owned(),
        "WHOLE=canary-7f3a".to_owned(),
    ];
    let mut seen = texts.clone();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    // The step itself wrote it to its log; apart from that it is nowhere.
    fs::remove_file(host.folder(&scan.key).join("log")).unwrap();
    let grep = Command::new("grep").args(["-ri", "canary"]).arg(host.dir.path()).output().unwrap();
    assert_eq!(grep.status.code(), Some(1), "{}", String::from_utf8_lossy(&grep.stdout));
}

#[tokio::test]
async fn scripts_and_working_directories() {
    let host = Host::new();
    let mut run = host.run().await;
    let mut script = pod_of("script", json!({ "command": ["sh"], "args": ["-e"] }));
    script.script = Some("echo $((1+1)) \"$0\"\npwd\n".into());
    let result = run.through(&script).await;
    let folder = run.launcher.path_of(&script.key, true, "/");
    let folder = folder.strip_suffix("/files").unwrap();
    assert_eq!(result.result.unwrap(), format!("2 {folder}/script\n{folder}/work"));

    let mut own = pod_of("own", json!({ "command": ["pwd"], "workingDir": "/src/a" }));
    let result = run.through(&own).await;
    assert_eq!(result.result.unwrap(), run.launcher.path_of(&own.key, true, "/src/a"));

    own = pod_of("host", json!({ "command": ["pwd"], "workingDir": "/usr" }));
    assert_eq!(run.through(&own).await.result.unwrap(), "/usr");
}

#[tokio::test]
async fn paths_stay_in_the_folder_of_the_step() {
    let host = Host::new();
    let run = host.run().await;
    let key = PodKey("0123456789abcdef".into());
    let folder = host.folder(&key).to_string_lossy().into_owned();
    for (path, place) in [
        ("/tmp/x", "/files/tmp/x"),
        ("x", "/files/x"),
        ("/a/../../../etc/passwd", "/files/a/etc/passwd"),
        ("", "/files"),
    ] {
        assert_eq!(run.launcher.path_of(&key, true, path), format!("{folder}{place}"));
    }
    let once = run.launcher.path_of(&key, true, "/tmp/x");
    assert_eq!(run.launcher.path_of(&key, true, &once), once);
    assert!(
        run.launcher.path_of(&key, true, &format!("{folder}/../x")).starts_with(&format!("{folder}/files/"))
    );
}
