//! What a step is given and what comes of it.

use serde_json::json;
use tiphys_executor::launcher::{
    Archive, ArtifactSource, InputArtifact, LaunchError, Launcher, OutputArtifact, OutputParameter, PodSpec,
    PodState, PodVerdict, SecretEnvironment, Secrets,
};

use crate::support::{Host, IMAGE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_step_has_no_runner() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    assert!(run.launcher.identity().is_some_and(|id| !id.is_empty()));
    let good =
        host.pod("good", "echo one; echo two >&2; test ! -e /.tiphys && cat /proc/1/cmdline | tr '\\0' ' '");
    let result = run.through(&good).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Succeeded, Some(0)), "{result:?}");
    assert_eq!((result.message.as_str(), result.result), ("", None));
    assert!(result.started.unwrap() <= result.finished);

    let lines = run.launcher.logs(&good.key, 0, 100).await.unwrap();
    let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines.len(), 3, "{texts:?}");
    assert!(
        texts.contains(&"one") && texts.iter().any(|text| text.starts_with("sh -c echo one")),
        "{texts:?}"
    );
    assert!(lines.iter().any(|line| line.stream == "stderr" && line.text == "two"));
    assert_eq!(run.launcher.logs(&good.key, 1, 1).await.unwrap(), lines[1..2]);
    assert_eq!(run.launcher.logs(&good.key, 2, 9).await.unwrap(), lines[2..]);
    assert_eq!(run.launcher.logs(&good.key, 0, 9).await.unwrap(), lines);

    // The container goes, its log stays.
    run.launcher.forget(&good.key).await;
    eventually("the container is gone", async || {
        (!host.containers().contains(&host.name(&good))).then_some(())
    })
    .await;
    assert_eq!(run.launcher.logs(&good.key, 0, 9).await.unwrap(), lines);
    assert_eq!(run.launcher.logs(&good.key, 1, 1).await.unwrap(), lines[1..2]);
    assert_eq!(run.launcher.logs(&good.key, 2, 9).await.unwrap(), lines[2..]);
    run.launcher.remove(&good.key).await;
    assert!(run.launcher.logs(&good.key, 0, 9).await.unwrap().is_empty());

    let result = run.through(&host.pod("bad", "exit 7")).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(7)));
    assert_eq!(result.message, "main: Error (exit code 7)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_has_inputs_and_outputs() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let first = PodSpec {
        script: Some(
            "set -e\nword=`cat /in/word.txt`\nmkdir -p /out/deep\necho $word > /out/deep/a\n\
                      echo -n 42 > /tmp/answer\necho said $word $1\n"
                .into(),
        ),
        inputs: vec![InputArtifact {
            name: "word".into(),
            path: "/in/word.txt".into(),
            mode: Some(0o400),
            from: ArtifactSource::Raw("hello".into()),
            optional: false,
        }],
        output_parameters: vec![
            OutputParameter { name: "answer".into(), path: "/tmp/answer".into(), default: None },
            OutputParameter { name: "none".into(), path: "/tmp/none".into(), default: Some("usual".into()) },
        ],
        output_artifacts: vec![OutputArtifact {
            name: "out".into(),
            path: "/out".into(),
            key: "wf/first/out.tgz".into(),
            archive: Archive::Tar,
            optional: false,
        }],
        capture_result: true,
        archive_logs: true,
        ..host.pod_of("first", json!({ "image": IMAGE, "command": ["sh"] }))
    };
    let result = run.through(&first).await;
    assert_eq!((result.message.as_str(), result.verdict), ("", PodVerdict::Succeeded));
    assert_eq!(result.result.as_deref(), Some("said hello"));
    assert_eq!((result.parameters["answer"].as_str(), result.parameters["none"].as_str()), ("42", "usual"));
    let names: Vec<_> = result.artifacts.iter().map(|stored| stored.name.as_str()).collect();
    assert_eq!(names, ["out", "main-logs"]);
    assert_eq!(run.store.get(&result.artifacts[1].key).await.unwrap(), "said hello\n");
    assert_eq!(run.texts(&first.key).await, ["said hello"]);
    assert_eq!(result.artifacts[0].size, run.store.get("wf/first/out.tgz").await.unwrap().len() as u64);

    let stored = ArtifactSource::Stored {
        key: "wf/first/out.tgz".into(),
        archive: Archive::Tar,
        sub_path: Some("deep".into()),
    };
    let input = InputArtifact {
        name: "in".into(),
        path: "/data/in".into(),
        mode: None,
        from: stored,
        optional: false,
    };
    // A folder as it is, file by file.
    let folder = OutputArtifact {
        name: "folder".into(),
        path: "/data".into(),
        key: "wf/second/folder".into(),
        archive: Archive::None,
        optional: false,
    };
    let second = PodSpec {
        inputs: vec![input],
        output_artifacts: vec![folder],
        ..host.pod("second", "test `cat /data/in/a` = hello")
    };
    let result = run.through(&second).await;
    assert_eq!((result.message.as_str(), result.exit_code), ("", Some(0)));
    let stored =
        ArtifactSource::Stored { key: "wf/second/folder".into(), archive: Archive::None, sub_path: None };
    let input =
        InputArtifact { name: "in".into(), path: "/again".into(), mode: None, from: stored, optional: false };
    let again = PodSpec { inputs: vec![input], ..host.pod("again", "test `cat /again/in/a` = hello") };
    let result = run.through(&again).await;
    assert_eq!((result.message.as_str(), result.exit_code), ("", Some(0)));

    let missing = OutputParameter { name: "none".into(), path: "/tmp/none".into(), default: None };
    let third = PodSpec { output_parameters: vec![missing], ..host.pod("third", "true") };
    let result = run.through(&third).await;
    assert_eq!(result.verdict, PodVerdict::Error);
    assert!(result.message.contains("output parameter none"), "{}", result.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_input_is_named_and_leaves_nothing() {
    let Some(host) = Host::new() else { return };
    let run = host.run().await;
    let stored = ArtifactSource::Stored { key: "no/such".into(), archive: Archive::Tar, sub_path: None };
    let input = InputArtifact {
        name: "in".into(),
        path: "/tmp/in".into(),
        mode: None,
        from: stored,
        optional: false,
    };
    let pod = PodSpec { inputs: vec![input], ..host.pod("x", "true") };
    let error = run.try_start(&pod).await.unwrap_err();
    assert!(matches!(&error, LaunchError::Missing(text) if text.contains("input artifact in")), "{error:?}");
    assert_eq!(run.launcher.observe(&pod.key).await.unwrap(), PodState::Unknown);
    assert!(host.containers().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_the_manifest_s() {
    let Some(mut host) = Host::new() else { return };
    host.config.environment.insert("TIPHYS_SERVER".into(), "http://host.docker.internal:2746".into());
    let mut run = host.run().await;
    let secret = |name: &str| json!({ "secretKeyRef": { "name": name, "key": "k", "optional": true } });
    let container = json!({
        "image": IMAGE,
        "command": ["sh", "-c"],
        "args": ["env | sort; pwd; echo '$(GREETING)' '$(NONE)' '$$(GREETING)'; grep -c host.docker /etc/hosts"],
        "workingDir": "/root",
        "env": [
            { "name": "WHO", "value": "world" },
            { "name": "GREETING", "value": "hello $(WHO) $(TOKEN)" },
            { "name": "TOKEN", "valueFrom": secret("cloud") },
            { "name": "LATE", "value": "$(TOKEN)!" },
            { "name": "ABSENT", "valueFrom": secret("absent") },
            { "name": "APP", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
            { "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "MEMORY", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory", "divisor": "1Mi" } } },
        ],
        "resources": { "limits": { "memory": "64Mi", "cpu": 1 } },
    });
    for (name, capture_result) in [("plain", false), ("captured", true)] {
        let pod = PodSpec { capture_result, ..host.pod_of(name, container.clone()) };
        let secrets = [("TOKEN", "canary-7f3a"), ("WHOLE", "of envFrom")];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned().into()));
        let secrets = Secrets::of_main(SecretEnvironment::from(secrets));
        run.launcher.start(&pod, secrets).await.unwrap();
        let result = run.end_of(&pod.key).await;
        assert_eq!((result.message.as_str(), result.exit_code), ("", Some(0)));
        let texts = run.texts(&pod.key).await;
        for expected in [
            "WHO=world",
            "GREETING=hello world $(TOKEN)",
            "TOKEN=canary-7f3a",
            "WHOLE=of envFrom",
            "LATE=canary-7f3a!",
            "APP=scan",
            &format!("POD={}", pod.name),
            "MEMORY=64",
            "PATH=/bin",
            "TIPHYS_SERVER=http://host.docker.internal:2746",
            &format!("TIPHYS_POD_KEY={}", pod.key),
            &format!("TIPHYS_TEMPLATE={name}"),
            "/root",
            "hello world $(TOKEN) $(NONE) $(GREETING)",
            "1",
        ] {
            assert!(texts.iter().any(|text| text == expected), "{expected}: {texts:#?}");
        }
        assert!(!texts.iter().any(|text| text.starts_with("ABSENT")));
    }
    let reference =
        json!([{ "name": "T", "valueFrom": { "secretKeyRef": { "name": "cloud", "key": "token" } } }]);
    let pod = host.pod_of("refused", json!({ "image": IMAGE, "command": ["true"], "env": reference }));
    let error = run.try_start(&pod).await.unwrap_err().to_string();
    assert!(error.contains("key token of Secret cloud"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_brings_its_own_command() {
    let Some(host) = Host::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    std::fs::copy("/bin/busybox", folder.path().join("bin/busybox")).unwrap();
    let changes = ["ENTRYPOINT [\"/bin/busybox\", \"echo\"]", "CMD [\"by\", \"default\"]"];
    host.engine.import_folder(folder.path(), "echo:1", &changes);
    let mut run = host.run().await;
    for (name, args, said) in [("usual", json!(null), "by default"), ("own", json!(["by", "me"]), "by me")] {
        for capture_result in [false, true] {
            let name = format!("{name}-{capture_result}");
            let container = json!({ "image": "echo:1", "args": args });
            let pod = PodSpec { capture_result, ..host.pod_of(&name, container) };
            let result = run.through(&pod).await;
            assert_eq!((result.message.as_str(), result.exit_code), ("", Some(0)));
            assert_eq!(run.texts(&pod.key).await, [said], "{name}");
        }
    }
    for capture_result in [false, true] {
        let container = json!({ "image": "echo:1", "command": ["/no/such"] });
        let pod = PodSpec { capture_result, ..host.pod_of(&format!("none-{capture_result}"), container) };
        let result = run.through(&pod).await;
        assert_eq!(result.verdict, PodVerdict::Error, "{result:?}");
        assert!(result.message.contains("/no/such"), "{}", result.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lines_and_many_lines_arrive_whole() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let script = "head -c 40000 /dev/zero | tr '\\0' x; echo; i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; echo -n end";
    let pod = host.pod("long", script);
    let result = run.through(&pod).await;
    assert_eq!(result.exit_code, Some(0));
    let check = |texts: Vec<String>| {
        assert_eq!((texts.len(), texts[0].len(), texts[501].as_str()), (502, 40000, "end"));
        assert_eq!((texts[1].as_str(), texts[500].as_str()), ("line 0", "line 499"));
    };
    check(run.texts(&pod.key).await);
    // In parts, as it is followed.
    let mut parts = Vec::new();
    loop {
        let lines = run.launcher.logs(&pod.key, parts.len(), 100).await.unwrap();
        if lines.is_empty() {
            break;
        }
        parts.extend(lines.into_iter().map(|line| line.text));
    }
    check(parts);
    run.launcher.forget(&pod.key).await;
    eventually("the container is gone", async || {
        (!host.containers().contains(&host.name(&pod))).then_some(())
    })
    .await;
    check(run.texts(&pod.key).await);
}
