//! What a manifest says of its pod reaches the cluster.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, ResourceQuota};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Api;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tiphys_executor::launcher::kubernetes::KubernetesLauncher;
use tiphys_executor::launcher::{Ended, Launcher, PodGc, PodOptions, PodSpec, PodState, PodVerdict};

use crate::support::{Stage, until};

fn ended(stage: &Stage, claims: &[&str], collect: bool, pods: &[&PodSpec]) -> Ended {
    Ended {
        namespace: stage.namespace.clone(),
        name: "wf".into(),
        uid: format!("uid-{}", stage.namespace),
        claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
        pods: pods.iter().map(|pod| pod.key.clone()).collect(),
        collect,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hardened_pod_runs_with_the_runner() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let container = json!({
        "image": "busybox:1",
        "command": ["sh", "-c"],
        "args": ["id -u; cat /etc/hosts | grep -c alert.example; grep -c search.example /etc/resolv.conf; echo $FROM_PATCH; \
                  touch /no 2>/dev/null || echo read-only; ls /var/run/secrets 2>/dev/null || echo no-token"],
        "securityContext": {"runAsUser": 65534, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"}},
    });
    let mut pod = PodSpec { capture_result: true, ..stage.pod_of("hard", container) };
    let members = json!({
        "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["alert.example"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.9.9.9"], "searches": ["search.example"]},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
    });
    pod.pod.spec = members.as_object().unwrap().clone();
    pod.pod.patches =
        vec![json!({"containers": [{"name": "main", "env": [{"name": "FROM_PATCH", "value": "patched"}]}],
        "terminationGracePeriodSeconds": 7})];
    pod.pod.avoid = vec!["some-host".into()];
    let result = run.through(&pod).await;
    assert_eq!(
        result.result.as_deref(),
        Some("65534\n1\n1\npatched\nread-only\nno-token"),
        "{}",
        result.message
    );
    assert!(result.host.is_some());
    let spec = stage.object(&pod).await.unwrap()["spec"].clone();
    assert_eq!(spec["terminationGracePeriodSeconds"], 7);
    let terms = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchExpressions/0";
    assert_eq!(spec.pointer(terms).unwrap()["values"], json!(["some-host"]));
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_shared_and_goes_with_its_workflow() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let class = format!("class-{}", stage.namespace);
    let volume = json!({"metadata": {"name": format!("volume-{}", stage.namespace)}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "hostPath": {"path": format!("/tmp/tiphys-{}", stage.namespace), "type": "DirectoryOrCreate"}}});
    let volumes = Api::<PersistentVolume>::all(stage.client.clone());
    volumes.create(&PostParams::default(), &serde_json::from_value(volume).unwrap()).await.unwrap();
    let claim = json!({"metadata": {"name": "work"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}});
    let pod = |name: &str, script: &str| {
        let container = json!({"image": "busybox:1", "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "work", "mountPath": "/shelf"}]});
        let mut pod = stage.pod_of(name, container);
        let volumes: Value = json!([{"name": "work", "persistentVolumeClaim": {"claimName": "wf-work"}}]);
        pod.pod.spec.insert("volumes".into(), volumes);
        pod.pod.claims = vec![claim.clone()];
        pod.pod.disruption_budget = json!({"maxUnavailable": 0}).as_object().cloned();
        pod
    };
    let (first, second) =
        (pod("first", "echo shared > /shelf/file"), pod("second", "grep shared /shelf/file"));
    assert_eq!(run.through(&first).await.verdict, PodVerdict::Succeeded);
    assert_eq!(run.through(&second).await.verdict, PodVerdict::Succeeded);
    let budgets = Api::<PodDisruptionBudget>::namespaced(stage.client.clone(), &stage.namespace);
    let budget = budgets.get("wf").await.unwrap();
    assert_eq!(json!(budget.spec)["maxUnavailable"], 0);
    let made =
        |kind: &str| stage.requests().iter().filter(|request| **request == format!("create {kind}")).count();
    assert_eq!((made("persistentvolumeclaims"), made("poddisruptionbudgets")), (1, 1));
    for pod in [&first, &second] {
        run.launcher.forget(&pod.key).await;
    }
    run.launcher.over(&ended(&stage, &["wf-work"], true, &[&first, &second])).await;
    let claims = Api::<PersistentVolumeClaim>::namespaced(stage.client.clone(), &stage.namespace);
    until("all is gone", async || {
        let claim = claims.get_opt("wf-work").await.unwrap().is_none();
        let budget = budgets.get_opt("wf").await.unwrap().is_none();
        let pods = stage.pods().list(&Default::default()).await.unwrap().items.is_empty();
        (claim && budget && pods).then_some(())
    })
    .await;
    volumes.delete(&format!("volume-{}", stage.namespace), &Default::default()).await.unwrap();
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_somebody_else_is_refused() {
    let Some(stage) = Stage::new().await else { return };
    let run = stage.run().await;
    let claims = Api::<PersistentVolumeClaim>::namespaced(stage.client.clone(), &stage.namespace);
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let theirs = json!({"metadata": {"name": "wf-work"}, "spec": spec});
    claims.create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
    let mut pod = stage.pod("claims", "true");
    pod.pod.claims = vec![json!({"metadata": {"name": "work"}, "spec": spec})];
    let refused = run.launcher.start(&pod, Default::default()).await.unwrap_err().to_string();
    assert!(refused.contains("wf-work exists already and is not of this workflow"), "{refused}");
    // Nor is it taken away.
    run.launcher.over(&ended(&stage, &["wf-work"], false, &[])).await;
    until("it was asked for", async || {
        stage
            .requests()
            .iter()
            .any(|request| request == "deletecollection persistentvolumeclaims")
            .then_some(())
    })
    .await;
    assert!(claims.get_opt("wf-work").await.unwrap().is_some());
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_go_at_their_end_where_the_workflow_wants_it() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    for (name, gc, script, goes) in [
        ("completion", PodGc::OnCompletion, "exit 1", true),
        ("success", PodGc::OnSuccess, "true", true),
        ("failure", PodGc::OnSuccess, "exit 1", false),
    ] {
        let pod = PodSpec { pod: PodOptions { gc, ..PodOptions::default() }, ..stage.pod(name, script) };
        run.through(&pod).await;
        run.launcher.forget(&pod.key).await;
        until("the pod is gone or marked", async || match stage.object(&pod).await {
            None => goes.then_some(()),
            Some(object) => {
                let marked = object["metadata"]["labels"]["workflows.argoproj.io/completed"] == "true";
                (!goes && marked).then_some(())
            }
        })
        .await;
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_go_later_where_the_workflow_wants_it_also_after_a_restart() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let pod = |name: &str, gc: PodGc, seconds: u64| PodSpec {
        pod: PodOptions { gc, gc_delay: Duration::from_secs(seconds), ..PodOptions::default() },
        ..stage.pod(name, "true")
    };
    let (soon, late) = (pod("soon", PodGc::OnSuccess, 1), pod("late", PodGc::OnCompletion, 4));
    let (kept, whole) = (pod("kept", PodGc::Kept, 0), pod("whole", PodGc::Later, 0));
    for pod in [&kept, &whole, &soon, &late] {
        run.through(pod).await;
        run.launcher.forget(&pod.key).await;
        until("its end is marked", async || {
            let labels = stage.object(pod).await?["metadata"]["labels"].clone();
            (labels["workflows.argoproj.io/completed"] == "true").then_some(())
        })
        .await;
    }
    run.end().await;
    let run = stage.run().await;
    for pod in [&soon, &late] {
        until("the pod is gone", async || stage.object(pod).await.is_none().then_some(())).await;
    }
    run.launcher.over(&ended(&stage, &[], true, &[&kept, &whole])).await;
    until("the pod is gone", async || stage.object(&whole).await.is_none().then_some(())).await;
    assert!(stage.object(&kept).await.is_some());
    run.launcher.remove(&kept.key).await;
    until("the pod is gone", async || stage.object(&kept).await.is_none().then_some(())).await;
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_ready_when_its_probe_says_so_and_has_an_address() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let container = json!({
        "image": "busybox:1",
        "command": ["sh", "-c", "sleep 2; mkdir /www; echo hello > /www/index.html; httpd -f -p 8080 -h /www"],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    });
    let daemon = stage.pod_of("daemon", container);
    run.start(&daemon).await;
    let seen = |state| match state {
        PodState::Running { ready, address, .. } => Some((ready, address)),
        _ => None,
    };
    let (ready, _) = run.until(&daemon.key, "that it runs", seen).await;
    assert!(!ready);
    let address = |state| match state {
        PodState::Running { ready: true, address: Some(address), .. } => Some(address),
        _ => None,
    };
    let address = run.until(&daemon.key, "that it is ready", address).await;
    let script = format!("test \"$(wget -q -O - http://{address}:8080/)\" = hello");
    assert_eq!(run.through(&stage.pod("asks", &script)).await.verdict, PodVerdict::Succeeded);
    run.launcher.stop(&daemon.key).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(60), run.end_of(&daemon.key));
    waited.await.unwrap();
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_step_still_has_its_outputs() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.config.restricted = true;
    let mut run = stage.run().await;
    let script = "touch /no 2>/dev/null || echo read-only; echo x > /tmp/x; grep CapEff /proc/self/status | tr -d '\\t'; \
                  grep NoNewPrivs /proc/self/status | tr -d '\\t'";
    let pod = PodSpec { capture_result: true, ..stage.pod("restricted", script) };
    let result = run.through(&pod).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    assert_eq!(result.result.as_deref(), Some("read-only\nCapEff:0000000000000000\nNoNewPrivs:1"));
    run.end().await;
}

/// Grants what the file in `deploy` says to an account of the namespace.
async fn grant(stage: &Stage, account: &str) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/kubernetes/executor-role.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let subject = json!([{"kind": "ServiceAccount", "name": account, "namespace": stage.namespace}]);
    for document in tiphys_manifest::load::values(&text).unwrap() {
        let kind = document["kind"].as_str().unwrap().to_owned();
        let name = document["metadata"]["name"].clone();
        let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
        let binding = json!({"metadata": {"name": name}, "roleRef": reference, "subjects": subject});
        let params = PostParams::default();
        if kind == "Role" {
            let api = Api::<Role>::namespaced(stage.client.clone(), &stage.namespace);
            api.create(&params, &serde_json::from_value(document).unwrap()).await.unwrap();
            let api = Api::<RoleBinding>::namespaced(stage.client.clone(), &stage.namespace);
            api.create(&params, &serde_json::from_value(binding).unwrap()).await.unwrap();
        } else {
            let api = Api::<ClusterRole>::all(stage.client.clone());
            api.create(&params, &serde_json::from_value(document).unwrap()).await.unwrap();
            let api = Api::<ClusterRoleBinding>::all(stage.client.clone());
            api.create(&params, &serde_json::from_value(binding).unwrap()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_are_told_are_enough() {
    let Some(stage) = Stage::new().await else { return };
    let kubeconfig = Kubeconfig::read_from(stage.cluster.kubeconfig_of(&stage.namespace, "default")).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let store = std::sync::Arc::new(tiphys_executor::artifact::LocalStore::open(stage.dir.path()).unwrap());
    let (clock, stop) = (std::sync::Arc::new(tiphys_core::SystemClock), tiphys_kit::CancellationToken::new());
    let refused = KubernetesLauncher::open(stage.config.clone(), client.clone(), store, clock, stop).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.starts_with("cannot get the namespace kube-system"), "{refused}");
    grant(&stage, "default").await;
    let mut run = stage.run_with(client, stage.config.clone()).await;
    let mut pod =
        PodSpec { capture_result: true, ..stage.pod("allowed", "head -c 9000 /dev/zero | tr '\\0' x") };
    pod.pod.claims = vec![json!({"metadata": {"name": "none"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}})];
    pod.pod.disruption_budget = json!({"minAvailable": 0}).as_object().cloned();
    let result = run.through(&pod).await;
    assert_eq!(result.result.map(|text| text.len()), Some(9000), "{}", result.message);
    assert_eq!(run.texts(&pod.key).await.concat().len(), 9000);
    run.launcher.forget(&pod.key).await;
    let stopped = stage.pod("stopped", "sleep 1000");
    run.start(&stopped).await;
    run.running(&stopped.key).await;
    run.launcher.stop(&stopped.key).await.unwrap();
    run.end_of(&stopped.key).await;
    run.launcher.over(&ended(&stage, &["wf-none"], true, &[&pod, &stopped])).await;
    let claims = Api::<PersistentVolumeClaim>::namespaced(stage.client.clone(), &stage.namespace);
    let budgets = Api::<PodDisruptionBudget>::namespaced(stage.client.clone(), &stage.namespace);
    until("all is gone", async || {
        let claim = claims.get_opt("wf-none").await.unwrap().is_none();
        let budget = budgets.get_opt("wf").await.unwrap().is_none();
        let pods = stage.pods().list(&Default::default()).await.unwrap().items.is_empty();
        (claim && budget && pods).then_some(())
    })
    .await;
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_takes_the_container_that_brings_the_runner() {
    let Some(mut stage) = Stage::new().await else { return };
    let quotas = Api::<ResourceQuota>::namespaced(stage.client.clone(), &stage.namespace);
    let hard =
        json!({"requests.cpu": "2", "limits.cpu": "2", "requests.memory": "2Gi", "limits.memory": "2Gi"});
    let quota = json!({"metadata": {"name": "all"}, "spec": {"hard": hard}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    until("the quota counts", async || quotas.get("all").await.unwrap().status?.hard).await;
    let resources =
        json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}});
    let container = json!({"image": "busybox:1", "command": ["sh"], "resources": resources});
    let pod = |name: &str| PodSpec { script: Some("exit 4".into()), ..stage.pod_of(name, container.clone()) };
    let (counted, silent) = (pod("counted"), pod("silent"));
    let mut run = stage.run().await;
    assert_eq!(run.through(&counted).await.exit_code, Some(4));
    run.end().await;
    // One that says nothing is not let in.
    stage.config.runner_resources.clear();
    let run = stage.run().await;
    let refused = run.launcher.start(&silent, Default::default()).await.unwrap_err().to_string();
    assert!(refused.contains("must specify") && refused.contains("tiphys-runner"), "{refused}");
    run.end().await;
}
