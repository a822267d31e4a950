//! `k8s` triggers on a real API server.
#![cfg(feature = "kubernetes")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "publish/world.rs"]
mod world;

use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value as Json, json};
use tiphys_core::{Firing, FiringId, Operation, Value};
use tiphys_kit::kubernetes::{Cluster, PRECONDITION_CONTAINER, PRECONDITION_UID, Settings};
use tiphys_trigger::dlq;
use tiphys_trigger::ledger::{Effect, State};

use crate::world::{World, firing};

const CONTAINER: &str = "3ad0bd5e9c1f2b7a6d4e8f901234567890abcdef1234567890abcdef12345678";

/// A room whose sensor may act as `worker`, which may do some things in its namespace.
struct Stage {
    world: World,
    namespace: String,
    client: Client,
    _cluster: tiphys_servers::Kubernetes,
}

impl Stage {
    async fn new() -> Option<Self> {
        let made = tokio::task::spawn_blocking(|| {
            let cluster = tiphys_servers::kubernetes()?;
            let namespace = cluster.namespace();
            Some((cluster, namespace))
        });
        let (server, namespace) = made.await.unwrap()?;
        let accounts = format!("{namespace}/worker").parse().unwrap();
        let settings = Settings { kubeconfig: Some(server.kubeconfig()), context: None, accounts };
        let cluster = Cluster::open(settings).await.unwrap();
        let this = Self {
            client: cluster.client(),
            world: World::in_cluster(cluster).await,
            namespace,
            _cluster: server,
        };
        this.sensor("worker");
        this.make("v1", "ServiceAccount", json!({"metadata": {"name": "worker"}})).await;
        let verbs = ["create", "get", "update", "patch", "delete"];
        let rules = json!([{"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": verbs}]);
        let rbac = "rbac.authorization.k8s.io/v1";
        this.make(rbac, "Role", json!({"metadata": {"name": "worker"}, "rules": rules})).await;
        let subjects = json!([{"kind": "ServiceAccount", "name": "worker", "namespace": this.namespace}]);
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "worker"});
        let binding = json!({"metadata": {"name": "worker"}, "roleRef": role, "subjects": subjects});
        this.make(rbac, "RoleBinding", binding).await;
        Some(this)
    }

    fn sensor(&self, account: &str) {
        self.world.put(&format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {{name: s, namespace: {}}}\nspec:\n  template: \
             {{serviceAccountName: {account}}}\n  dependencies: [{{name: dep, eventSourceName: a, eventName: b}}]\n  \
             triggers: [{{template: {{name: t, log: {{}}}}}}]\n",
            self.namespace
        ));
    }

    fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    async fn make(&self, api_version: &str, kind: &str, object: Json) -> Json {
        let object = serde_json::from_value(object).unwrap();
        let made = self.api(api_version, kind).create(&PostParams::default(), &object).await.unwrap();
        serde_json::to_value(made).unwrap()
    }

    async fn get(&self, kind: &str, name: &str) -> Option<Json> {
        let found = self.api("v1", kind).get_opt(name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    async fn pod(&self, name: &str, container: &str) -> String {
        let spec = json!({"containers": [{"name": "main", "image": "busybox:1"}]});
        let made = self.make("v1", "Pod", json!({"metadata": {"name": name}, "spec": spec})).await;
        let status = json!({"phase": "Running", "containerStatuses": [{"name": "main", "image": "busybox:1", "imageID": "",
            "ready": true, "restartCount": 0, "containerID": format!("containerd://{container}")}]});
        let patch = Patch::Merge(json!({"status": status}));
        self.api("v1", "Pod").patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        made["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    fn firing(&self, name: &str, operation: &str, resource: &Json, more: Json) -> Firing {
        let mut template = json!({"operation": operation, "source": {"resource": resource}});
        template.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut firing = firing(name, &json!({"k8s": template}));
        firing.namespace.clone_from(&self.namespace);
        firing
    }

    async fn effect(&self, firing: &Firing) -> Effect {
        self.world.fire(firing, &firing.id.0).await;
        self.world.until(&firing.id, State::Done).await.effect.unwrap()
    }

    async fn refusal(&self, firing: &Firing) -> String {
        self.world.fire(firing, &firing.id.0).await;
        self.world.until(&firing.id, State::Dead).await;
        dlq::list(&self.world.bus, 1, 100).await.unwrap().pop().unwrap().letter.reason
    }
}

fn config_map(metadata: Json, data: Json) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
}

fn value(dest: &str, operation: Operation, value: &str) -> Value {
    Value { dest: dest.into(), operation, value: json!(value).to_string() }
}

#[tokio::test]
async fn objects_are_made_changed_and_deleted_as_the_sensors_account() {
    let Some(stage) = Stage::new().await else { return };
    // Created once, whatever the ledger has forgotten.
    let made = config_map(json!({"generateName": "made-"}), json!({"a": "1"}));
    let first = stage.firing("create", "create", &made, json!({}));
    let name = format!("made-{}", &first.id.0[..16]);
    let effect = stage.effect(&first).await;
    let live = stage.get("ConfigMap", &name).await.unwrap();
    let labels = &live["metadata"]["labels"];
    assert_eq!(
        (labels["events.argoproj.io/sensor"].as_str(), labels["events.argoproj.io/trigger"].as_str()),
        (Some("s"), Some("create"))
    );
    let again = World::beside_forgetful(&stage.world).await;
    again.fire(&first, "again").await;
    assert_eq!(again.until(&first.id, State::Done).await.effect.unwrap(), effect);
    again.end().await;

    let fixed = config_map(json!({"name": "fixed"}), json!({"a": "1", "list": "x"}));
    assert!(
        matches!(stage.effect(&stage.firing("fixed", "create", &fixed, json!({}))).await, Effect::Object { verb, .. } if verb == "created")
    );
    let told = stage.refusal(&stage.firing("taken", "create", &fixed, json!({}))).await;
    assert!(told.contains("already exists") && told.contains("generateName"), "{told}");

    // Update merges, patch merges and removes, and both make what is not there.
    let update = config_map(json!({"name": "fixed"}), json!({"a": "2"}));
    stage.effect(&stage.firing("update", "update", &update, json!({}))).await;
    assert_eq!(stage.get("ConfigMap", "fixed").await.unwrap()["data"], json!({"a": "2", "list": "x"}));
    let patch = config_map(json!({"name": "fixed"}), json!({"a": null, "b": "3"}));
    stage.effect(&stage.firing("patch", "patch", &patch, json!({}))).await;
    assert_eq!(stage.get("ConfigMap", "fixed").await.unwrap()["data"], json!({"b": "3", "list": "x"}));
    let applied = config_map(json!({"name": "fixed"}), json!({"c": "4"}));
    let strategy = json!({"patchStrategy": "application/apply-patch+yaml"});
    stage.effect(&stage.firing("apply", "patch", &applied, strategy)).await;
    assert_eq!(stage.get("ConfigMap", "fixed").await.unwrap()["data"]["c"], "4");
    for operation in ["update", "patch"] {
        let name = format!("absent-{operation}");
        let resource = config_map(json!({"name": name}), json!({"a": "1"}));
        let effect = stage.effect(&stage.firing(&name, operation, &resource, json!({}))).await;
        assert!(matches!(effect, Effect::Object { verb, .. } if verb == "created"));
        assert!(stage.get("ConfigMap", &name).await.is_some());
    }

    // A live object is changed by the parameters, once.
    let which = config_map(json!({"name": "fixed"}), json!({}));
    let mut live = stage.firing("live", "update", &which, json!({"liveObject": true}));
    live.parameters.push(value("data.list", Operation::Append, ",y"));
    stage.effect(&live).await;
    let again = World::beside_forgetful(&stage.world).await;
    again.fire(&live, "again").await;
    again.until(&live.id, State::Done).await;
    again.end().await;
    assert_eq!(stage.get("ConfigMap", "fixed").await.unwrap()["data"]["list"], "x,y");

    assert!(
        matches!(stage.effect(&stage.firing("delete", "delete", &which, json!({}))).await, Effect::Object { verb, .. } if verb == "deleted")
    );
    assert!(
        matches!(stage.effect(&stage.firing("gone", "delete", &which, json!({}))).await, Effect::Skipped { reason } if reason.contains("is not there"))
    );

    // What the account may not do, and whom nobody may be.
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}});
    let told = stage.refusal(&stage.firing("secret", "create", &secret, json!({}))).await;
    assert!(told.contains(r#"resources: ["secrets"], verbs: ["create"]"#), "{told}");
    stage.sensor("admin");
    let told = stage.refusal(&stage.firing("admin", "create", &made, json!({}))).await;
    assert!(told.contains("--service-accounts"), "{told}");
    stage.world.end().await;
}

#[tokio::test]
async fn only_the_pod_of_the_alert_is_deleted() {
    let Some(stage) = Stage::new().await else { return };
    let uid = stage.pod("web", CONTAINER).await;
    let resource = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}});
    let delete = |name: &str, annotation: &str, id: &str| {
        let mut firing = stage.firing(name, "delete", &resource, json!({}));
        let dest = format!("metadata.annotations.{}", annotation.replace('.', "\\."));
        firing.parameters.push(value(&dest, Operation::Overwrite, id));
        firing.id = FiringId::derive("ns", "s", name, &[], 0);
        firing
    };
    let told = stage.refusal(&delete("host", PRECONDITION_CONTAINER, "<NA>")).await;
    assert!(told.contains("no container id"), "{told}");
    for (name, annotation, id) in [
        ("other-container", PRECONDITION_CONTAINER, "ffffffffffff"),
        ("other-uid", PRECONDITION_UID, "00000000-0000-0000-0000-000000000000"),
    ] {
        let effect = stage.effect(&delete(name, annotation, id)).await;
        assert!(
            matches!(&effect, Effect::Skipped { reason } if reason.contains("not deleted")),
            "{effect:?}"
        );
        assert_eq!(stage.get("Pod", "web").await.unwrap()["metadata"]["uid"], uid);
    }
    let effect = stage.effect(&delete("right", PRECONDITION_CONTAINER, &CONTAINER[..12])).await;
    let expected =
        Effect::Object { verb: "deleted".into(), object: format!("pods {}/web", stage.namespace), uid };
    assert_eq!(effect, expected);
    assert!(stage.get("Pod", "web").await.is_none());
    let second = stage.pod("web", &CONTAINER.replace("3ad0", "feed")).await;
    let effect = stage.effect(&delete("late", PRECONDITION_CONTAINER, &CONTAINER[..12])).await;
    assert!(matches!(effect, Effect::Skipped { .. }));
    assert_eq!(stage.get("Pod", "web").await.unwrap()["metadata"]["uid"], second);
    stage.world.end().await;
}
