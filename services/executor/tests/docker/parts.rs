//! Pods of more than one container, and what the pods of a workflow share.

use std::time::Duration;

use serde_json::{Value, json};
use tiphys_executor::launcher::{Ended, LaunchError, Launcher, PodOptions, PodSpec, PodState, PodVerdict};

use crate::support::{Host, IMAGE, eventually};

fn container(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": IMAGE, "command": ["sh", "-c"], "args": [script] })
}

fn over(host: &Host) -> Ended {
    Ended {
        namespace: "default".into(),
        name: host.workflow(),
        uid: host.uid(),
        claims: Vec::new(),
        pods: Vec::new(),
        collect: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_workflow_share_a_network_that_goes_with_it() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let script = "ip -o addr show eth0 | awk '{print $4}'";
    let (one, two) = (host.pod("one", script), host.pod("two", script));
    run.through(&one).await;
    run.through(&two).await;
    let texts = run.texts(&one.key).await;
    assert!(texts[0].contains('/'), "{texts:?}");
    assert_eq!(texts, run.texts(&two.key).await);
    let pauses = || host.containers().into_iter().filter(|name| name.contains("pause")).collect::<Vec<_>>();
    assert_eq!(pauses().len(), 1);
    // With other names it is another network.
    let mut other = host.pod("other", "cat /etc/hosts");
    other
        .pod
        .spec
        .insert("hostAliases".into(), json!([{ "ip": "192.0.2.7", "hostnames": ["a.test", "b.test"] }]));
    other.pod.spec.insert("dnsConfig".into(), json!({ "nameservers": ["192.0.2.53"], "searches": ["test"] }));
    other.container["args"] = json!(["cat /etc/hosts /etc/resolv.conf"]);
    assert_eq!(run.through(&other).await.exit_code, Some(0));
    let texts = run.texts(&other.key).await.join("\n");
    for expected in ["192.0.2.7\ta.test", "192.0.2.7\tb.test", "nameserver 192.0.2.53", "search test"] {
        assert!(texts.contains(expected), "{expected}: {texts}");
    }
    assert_eq!(pauses().len(), 2);
    // It is killed: the next pod has it started again.
    let shared = pauses();
    for pause in &shared {
        host.docker(&["kill", pause]).unwrap();
    }
    let third = host.pod("third", "true");
    while let Err(error) = run.try_start(&third).await {
        assert!(matches!(error, LaunchError::Unavailable(_)), "{error}");
    }
    assert_eq!(run.end_of(&third.key).await.message, "");
    run.launcher.over(&over(&host)).await;
    eventually("the pause containers are gone", async || pauses().is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_its_own_is_a_setting() {
    let Some(mut host) = Host::new() else { return };
    host.config.shared_network = false;
    let mut run = host.run().await;
    let pod = host.pod("one", "hostname");
    assert_eq!(run.through(&pod).await.exit_code, Some(0));
    assert_eq!(run.texts(&pod.key).await, std::slice::from_ref(&pod.name));
    assert_eq!(host.containers(), [host.name(&pod)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_come_first_and_sidecars_go_last() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let mount = json!([{ "name": "work", "mountPath": "/shelf" }]);
    let with = |mut container: Value| {
        container["volumeMounts"] = mount.clone();
        container
    };
    let init = [
        with(container("a", "echo a >> /shelf/order")),
        with(container("b", "sleep 1; echo b >> /shelf/order")),
    ];
    let serve = "echo up > /shelf/side; while true; do echo pong | nc -l -p 7000; done";
    let script =
        "while [ ! -e /shelf/side ]; do sleep 0.1; done; cat /shelf/order; nc 127.0.0.1 7000 < /dev/null";
    let main = with(json!({ "image": IMAGE, "command": ["sh", "-c"], "args": [script] }));
    let pod = PodSpec {
        pod: PodOptions {
            spec: serde_json::from_value(json!({
                "volumes": [{ "name": "work", "emptyDir": {} }],
                "initContainers": init,
            }))
            .unwrap(),
            sidecars: vec![with(container("side", serve))],
            ..PodOptions::default()
        },
        capture_result: true,
        grace: Duration::from_secs(1),
        ..host.pod_of("whole", main)
    };
    let mut seen = Vec::new();
    run.start(&pod).await;
    let result = run
        .until(&pod.key, |state| match state {
            PodState::Ended(result) => Some(*result),
            other => {
                seen.push(other);
                None
            }
        })
        .await;
    assert_eq!((result.message.as_str(), result.verdict), ("", PodVerdict::Succeeded), "{seen:?}");
    assert_eq!(result.result.as_deref(), Some("a\nb\npong"));
    assert!(matches!(seen.first(), Some(PodState::Pending { .. })), "{seen:?}");
    assert_eq!(host.volumes().len(), 1);
    run.launcher.forget(&pod.key).await;
    eventually("all of it is gone", async || {
        (host.containers().is_empty() && host.volumes().is_empty()).then_some(())
    })
    .await;
    assert_eq!(run.texts(&pod.key).await, ["a", "b", "pong"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_is_named() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let mut pod = host.pod("init", "echo never");
    pod.pod.spec.insert("initContainers".into(), json!([container("first", "exit 3")]));
    let result = run.through(&pod).await;
    assert_eq!((result.verdict, result.message.as_str()), (PodVerdict::Error, "first: Error (exit code 3)"));
    assert!(run.texts(&pod.key).await.is_empty());
    run.launcher.remove(&pod.key).await;

    let mut pod = host.pod("side", "sleep 2");
    pod.pod.sidecars = vec![container("helper", "exit 5")];
    let result = run.through(&pod).await;
    assert_eq!(
        (result.verdict, result.message.as_str()),
        (PodVerdict::Failed, "helper: Error (exit code 5)")
    );
    run.launcher.remove(&pod.key).await;
    // But for the pause container of the pod without sidecars.
    let left = host.containers();
    assert!(left.iter().all(|name| name.starts_with("tiphys-pause-")) && left.len() <= 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_ready_when_its_probe_says_so() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let serve = "sleep 2; echo ok > /tmp/ready; httpd -f -p 8080 -h /tmp";
    for (name, probe) in [
        ("exec", json!({ "exec": { "command": ["test", "-e", "/tmp/ready"] }, "periodSeconds": 1 })),
        ("http", json!({ "httpGet": { "path": "/ready", "port": "web" }, "periodSeconds": 1 })),
        ("tcp", json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1 })),
    ] {
        let mut pod = host.pod(name, serve);
        pod.container["readinessProbe"] = probe;
        pod.container["ports"] = json!([{ "containerPort": 8080, "name": "web" }]);
        pod.pod.daemon = true;
        pod.grace = Duration::from_secs(1);
        run.start(&pod).await;
        let PodState::Running { ready, .. } = run.launcher.observe(&pod.key).await.unwrap() else { panic!() };
        assert!(!ready, "{name}");
        let address = run
            .until(&pod.key, |state| match state {
                PodState::Running { ready: true, address, .. } => Some(address),
                PodState::Running { .. } => None,
                other => panic!("{name}: {other:?}"),
            })
            .await
            .unwrap();
        if name == "http" {
            // Another executor finds it as it is.
            let mut again = host.run().await;
            let found = again
                .until(&pod.key, |state| match state {
                    PodState::Running { ready: true, address, .. } => Some(address),
                    _ => None,
                })
                .await;
            assert_eq!(found.as_ref(), Some(&address));
            again.end().await;
        }
        // Another pod of the workflow reaches it under its address.
        let caller = host.pod(&format!("call-{name}"), &format!("wget -q -O - http://{address}:8080/ready"));
        // An `exec` probe does not say whether the server listens already.
        let result = if name == "exec" { None } else { Some(run.through(&caller).await) };
        if let Some(result) = result {
            assert_eq!((result.message.as_str(), result.exit_code), ("", Some(0)), "{name}");
            assert_eq!(run.texts(&caller.key).await, ["ok"]);
        }
        run.launcher.stop(&pod.key).await.unwrap();
        assert_eq!(run.end_of(&pod.key).await.verdict, PodVerdict::Failed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_spec_patch_is_applied() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let mut pod = host.pod(
        "patched",
        "echo $WHO; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null",
    );
    pod.pod.patches = vec![
        json!({ "containers": [{ "name": "main", "env": [{ "name": "WHO", "value": "one" }] }] }),
        json!({ "containers": [{ "name": "main", "resources": { "limits": { "memory": "32Mi" } },
                                 "env": [{ "name": "WHO", "value": "two" }] }] }),
    ];
    assert_eq!(run.through(&pod).await.verdict, PodVerdict::Failed, "one of the two files is missing");
    assert_eq!(run.texts(&pod.key).await, ["two", "33554432"]);
    pod = host.pod("refused", "true");
    pod.pod.patches = vec![json!({ "runtimeClassName": "gvisor" })];
    let error = run.try_start(&pod).await.unwrap_err().to_string();
    assert!(error.contains("runtimeClassName") && error.contains("TIP-EXE-103"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_has_not_is_refused_by_name() {
    let Some(host) = Host::new() else { return };
    let run = host.run().await;
    let of_pod = [
        ("hostPID", json!(true)),
        ("shareProcessNamespace", json!(true)),
        ("resourceClaims", json!([{ "name": "gpu" }])),
        ("hostNetwork", json!(true)),
    ];
    for (name, value) in of_pod {
        let mut pod = host.pod("x", "true");
        pod.pod.spec.insert(name.into(), value);
        let error = run.try_start(&pod).await.unwrap_err();
        assert!(matches!(&error, LaunchError::NotAllowed(text) if text.contains(name)), "{name}: {error}");
    }
    let of_container = [
        ("lifecycle", json!({ "preStop": { "exec": { "command": ["x"] } } })),
        ("livenessProbe", json!({ "exec": { "command": ["x"] } })),
        ("tty", json!(true)),
        ("resources", json!({ "limits": { "nvidia.com/gpu": 1 } })),
    ];
    for (name, value) in of_container {
        let mut pod = host.pod("x", "true");
        pod.container[name] = value;
        let error = run.try_start(&pod).await.unwrap_err();
        assert!(matches!(&error, LaunchError::NotAllowed(text) if text.contains(name)), "{name}: {error}");
    }
    assert!(host.containers().is_empty());
}
