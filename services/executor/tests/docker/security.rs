//! What a container may do.

use serde_json::json;
use tiphys_executor::launcher::{
    ArtifactSource, InputArtifact, LaunchError, PodOptions, PodSpec, PodVerdict,
};

use crate::support::{Host, IMAGE};

const LOOK: &str = "grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; id -u; id -g; \
                    touch /x 2>/dev/null && echo writable; echo t > /tmp/t && echo temporary";

#[tokio::test(flavor = "multi_thread")]
async fn one_setting_restricts_all() {
    let Some(mut host) = Host::new() else { return };
    host.config.restricted = true;
    let mut run = host.run().await;
    let raw = InputArtifact {
        name: "in".into(),
        path: "/tmp/in".into(),
        mode: None,
        from: ArtifactSource::Raw("given".into()),
        optional: false,
    };
    for with_runner in [false, true] {
        for user in [None, Some(1000)] {
            let mut pod = host.pod(&format!("r{with_runner}{user:?}").replace(['(', ')'], ""), LOOK);
            if let Some(user) = user {
                pod.container["securityContext"] = json!({ "runAsUser": user, "runAsGroup": 2000 });
            }
            if with_runner {
                let script = format!("{LOOK}; test `cat /tmp/in` = given");
                pod = PodSpec {
                    inputs: vec![raw.clone()],
                    capture_result: true,
                    script: Some(script),
                    container: json!({ "image": IMAGE, "command": ["sh"],
                                       "securityContext": pod.container["securityContext"] }),
                    ..pod
                };
            }
            let result = run.through(&pod).await;
            assert_eq!((result.message.as_str(), result.exit_code), ("", Some(0)));
            let (uid, gid) = if user.is_some() { ("1000", "2000") } else { ("0", "0") };
            let expected = ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", uid, gid, "temporary"];
            assert_eq!(run.texts(&pod.key).await, expected);
        }
    }
    let mut pod = host.pod("asks", "true");
    pod.container["securityContext"] = json!({ "capabilities": { "add": ["CHOWN"] } });
    let error = run.try_start(&pod).await.unwrap_err();
    assert!(matches!(&error, LaunchError::NotAllowed(text) if text.contains("CHOWN")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_setting_restricts_the_containers_around_the_main_one() {
    let Some(mut host) = Host::new() else { return };
    host.config.restricted = true;
    // So that it is this setting and no other that counts.
    host.config.trust_manifests = true;
    let mut run = host.run().await;
    let part = |name: &str, seconds: u32| {
        let script = format!("({LOOK}) > /shelf/part; mv /shelf/part /shelf/{name}; sleep {seconds}");
        json!({ "name": name, "image": IMAGE, "command": ["sh", "-c", script],
            "volumeMounts": [{ "name": "work", "mountPath": "/shelf" }] })
    };
    let script = "while [ ! -e /shelf/beside ]; do sleep 0.1; done; cat /shelf/before /shelf/beside";
    let mut pod = host.pod("parts", script);
    pod.container["volumeMounts"] = json!([{ "name": "work", "mountPath": "/shelf" }]);
    pod.grace = std::time::Duration::from_secs(1);
    pod.pod = PodOptions {
        spec: serde_json::from_value(json!({
            "volumes": [{ "name": "work", "emptyDir": {} }],
            "initContainers": [part("before", 0)],
        }))
        .unwrap(),
        sidecars: vec![part("beside", 1000)],
        ..PodOptions::default()
    };
    assert_eq!(run.through(&pod).await.message, "");
    let each = ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "0", "0", "temporary"];
    assert_eq!(run.texts(&pod.key).await, [each, each].concat());
    for place in ["initContainers", "sidecars"] {
        let mut pod = host.pod(place, "true");
        let mut asks = part("before", 0);
        asks["securityContext"] = json!({ "privileged": true });
        asks.as_object_mut().unwrap().remove("volumeMounts");
        match place {
            "sidecars" => pod.pod.sidecars = vec![asks],
            place => drop(pod.pod.spec.insert(place.into(), json!([asks]))),
        }
        let error = run.try_start(&pod).await.unwrap_err();
        assert!(
            matches!(&error, LaunchError::NotAllowed(text) if text.contains("securityContext.privileged")),
            "{place}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_restricts_and_the_operator_allows() {
    let Some(mut host) = Host::new() else { return };
    let mut run = host.run().await;
    let context = json!({
        "runAsUser": 1000,
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
    });
    let mut pod = host.pod("own", "id -u; touch /tmp/x || echo read only; grep NoNewPrivs /proc/self/status");
    pod.container["securityContext"] = context;
    pod.pod.spec.insert("securityContext".into(), json!({ "runAsUser": 1, "fsGroup": 77 }));
    assert_eq!(run.through(&pod).await.exit_code, Some(0));
    let texts = run.texts(&pod.key).await;
    assert!(texts.contains(&"1000".into()) && texts.contains(&"read only".into()), "{texts:?}");
    assert!(texts.contains(&"NoNewPrivs:\t1".into()), "{texts:?}");

    let asks = [
        ("privileged", json!({ "privileged": true })),
        ("NET_ADMIN", json!({ "capabilities": { "add": ["CAP_NET_ADMIN"] } })),
        ("Unconfined", json!({ "seccompProfile": { "type": "Unconfined" } })),
    ];
    for (name, context) in asks.clone() {
        let mut pod = host.pod(name, "true");
        pod.container["securityContext"] = context;
        let error = run.try_start(&pod).await.unwrap_err();
        assert!(
            matches!(&error, LaunchError::NotAllowed(text) if text.contains(name) && text.contains("--trust-manifests")),
            "{error}"
        );
    }
    for (name, context) in [
        ("root-image", json!({ "runAsNonRoot": true })),
        ("root-user", json!({ "runAsNonRoot": true, "runAsUser": 0 })),
    ] {
        let mut pod = host.pod(name, "true");
        pod.container["securityContext"] = context;
        let error = run.try_start(&pod).await.unwrap_err().to_string();
        assert!(error.contains("runAsNonRoot"), "{error}");
    }
    run.end().await;
    host.config.trust_manifests = true;
    let mut run = host.run().await;
    for (name, context) in asks {
        let mut pod = host.pod(name, "true");
        pod.container["securityContext"] = context;
        let result = run.through(&pod).await;
        // A kernel may keep these from the engine itself; it was asked all the same.
        let kept = result.message.starts_with("main: StartError") && result.message.contains("caps");
        assert!(result.verdict == PodVerdict::Succeeded || kept, "{name}: {result:?}");
        let format = "{{.HostConfig.Privileged}} {{.HostConfig.CapAdd}} {{.HostConfig.SecurityOpt}}";
        let asked = host.docker(&["inspect", "--format", format, &host.name(&pod)]).unwrap();
        assert!(
            ["true", "NET_ADMIN", "seccomp=unconfined"].iter().any(|told| asked.contains(told)),
            "{asked}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("seen"), "yes").unwrap();
    let mut pod = host.pod("mounts", "cat /host/seen");
    pod.pod.spec.insert("volumes".into(), json!([{ "name": "h", "hostPath": { "path": folder.path() } }]));
    pod.container["volumeMounts"] = json!([{ "name": "h", "mountPath": "/host", "readOnly": true }]);
    assert_eq!(run.through(&pod).await.exit_code, Some(0));
    assert_eq!(run.texts(&pod.key).await, ["yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_counted() {
    let Some(mut host) = Host::new() else { return };
    host.config.pids = 16;
    let mut run = host.run().await;
    let pod = host.pod("bomb", "for i in `seq 40`; do sleep 5 & done 2>/dev/null; echo started; wait");
    let result = run.through(&pod).await;
    assert_eq!(result.verdict, PodVerdict::Failed, "{result:?}");
}
