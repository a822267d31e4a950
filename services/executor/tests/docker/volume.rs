//! Volumes, and the files that are put into them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tiphys_executor::launcher::{Ended, LaunchError, Launcher, PodSpec, PodVerdict, SecretFile, Secrets};

use crate::support::{Host, eventually};

fn with(mut pod: PodSpec, volumes: Value, mounts: Value) -> PodSpec {
    pod.pod.spec.insert("volumes".into(), volumes);
    pod.container["volumeMounts"] = mounts;
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_shared_by_the_pods_of_its_workflow_and_goes_with_it() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let claim = |name: &str, script: &str| {
        let claimed = format!("{}-work", host.workflow());
        let volumes = json!([{ "name": "work", "persistentVolumeClaim": { "claimName": claimed } }]);
        let mut pod =
            with(host.pod(name, script), volumes, json!([{ "name": "work", "mountPath": "/shelf" }]));
        pod.pod.claims =
            vec![json!({ "metadata": { "name": "work" }, "spec": { "accessModes": ["ReadWriteOnce"] } })];
        pod
    };
    let (one, two) = (claim("one", "echo kept > /shelf/file"), claim("two", "cat /shelf/file"));
    assert_eq!(run.through(&one).await.message, "");
    run.launcher.forget(&one.key).await;
    assert_eq!(run.through(&two).await.message, "");
    assert_eq!(run.texts(&two.key).await, ["kept"]);
    assert_eq!(host.volumes(), [format!("tiphys-default-{}-work", host.workflow())]);
    run.launcher.forget(&two.key).await;
    run.launcher
        .over(&Ended {
            namespace: "default".into(),
            name: host.workflow(),
            uid: host.uid(),
            claims: Vec::new(),
            pods: Vec::new(),
            collect: false,
        })
        .await;
    eventually("all is gone", async || {
        (host.volumes().is_empty() && host.containers().is_empty()).then_some(())
    })
    .await;
    let mut pod = claim("other", "true");
    pod.pod.spec["volumes"][0]["persistentVolumeClaim"]["claimName"] = json!("somebody-s");
    let error = run.try_start(&pod).await.unwrap_err();
    assert!(matches!(&error, LaunchError::NotAllowed(text) if text.contains("somebody-s")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_a_volume_too() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let volumes = json!([{ "name": "m", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } }]);
    let script = "grep ' /m ' /proc/mounts | cut -d' ' -f1; head -c 2000000 /dev/zero > /m/x || echo full";
    let pod = with(host.pod("memory", script), volumes, json!([{ "name": "m", "mountPath": "/m" }]));
    assert_eq!(run.through(&pod).await.exit_code, Some(0));
    let texts = run.texts(&pod.key).await;
    assert!(texts[0] == "tmpfs" && texts.contains(&"full".into()), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_config_maps_are_files() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let volumes = json!([
        { "name": "s", "secret": { "secretName": "cloud" } },
        { "name": "f", "projected": { "sources": [
            { "configMap": { "name": "c" } },
            { "downwardAPI": { "items": [{ "path": "pod", "fieldRef": { "fieldPath": "metadata.name" } }] } },
        ] } },
    ]);
    let mounts =
        json!([{ "name": "s", "mountPath": "/etc/cloud" }, { "name": "f", "mountPath": "/etc/facts" }]);
    let file = |path: &str, mode, content: &str| SecretFile {
        path: path.into(),
        mode,
        content: content.to_owned().into(),
    };
    for read_only in [false, true] {
        let script =
            "cat /etc/cloud/deep/token /etc/facts/a /etc/facts/pod; stat -c %a /etc/cloud/deep/token";
        let mut pod = with(host.pod(&format!("files-{read_only}"), script), volumes.clone(), mounts.clone());
        pod.container["securityContext"] = json!({ "readOnlyRootFilesystem": read_only });
        let secrets = Secrets {
            files: BTreeMap::from([
                ("s".to_owned(), vec![file("deep/token", 0o400, "canary-7f3a\n")]),
                ("f".to_owned(), vec![file("a", 0o644, "fact\n")]),
            ]),
            ..Secrets::default()
        };
        run.launcher.start(&pod, secrets.clone()).await.unwrap();
        let result = run.end_of(&pod.key).await;
        assert_eq!((result.message.as_str(), result.exit_code), ("", Some(0)));
        let texts = run.texts(&pod.key).await;
        assert_eq!(texts, ["canary-7f3a".to_owned(), "fact".to_owned(), format!("{}400", pod.name)]);
        if !read_only {
            let mut pod = with(
                host.pod("one-file", "cat /opt/token"),
                volumes.clone(),
                json!([{ "name": "s", "mountPath": "/opt/token", "subPath": "deep/token" }]),
            );
            pod.container["securityContext"] = json!({});
            run.launcher.start(&pod, secrets).await.unwrap();
            assert_eq!(run.end_of(&pod.key).await.verdict, PodVerdict::Succeeded);
            assert_eq!(run.texts(&pod.key).await, ["canary-7f3a"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_volumes_are_refused_by_name() {
    let Some(host) = Host::new() else { return };
    let run = host.run().await;
    for (kind, said) in [
        ("nfs", json!({ "server": "x", "path": "/" })),
        ("csi", json!({ "driver": "x" })),
        ("hostPath", json!({ "path": "/" })),
        ("image", json!({ "reference": "x" })),
    ] {
        let volumes = json!([{ "name": "v", kind: said }]);
        let pod = with(host.pod("x", "true"), volumes, json!([{ "name": "v", "mountPath": "/v" }]));
        let error = run.try_start(&pod).await.unwrap_err();
        assert!(matches!(&error, LaunchError::NotAllowed(text) if text.contains(kind)), "{kind}: {error}");
    }
    let pod = with(
        host.pod("x", "true"),
        json!([{ "name": "v", "emptyDir": {} }]),
        json!([{ "name": "v", "mountPath": "/v", "subPath": "a" }]),
    );
    let error = run.try_start(&pod).await.unwrap_err().to_string();
    assert!(error.contains("subPath"), "{error}");
    assert!(host.containers().is_empty() && host.volumes().is_empty());
}
