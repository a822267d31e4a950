//! What a kubelet writes into objects.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use super::fate::End;

/// A node as it is made.
pub(super) fn node(name: &str) -> Value {
    let labels =
        json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
}

/// A node's status: it is well, and has room for everything.
pub(super) fn heartbeat() -> Value {
    let room = json!({"cpu": "100000", "memory": "100Ti", "ephemeral-storage": "100Ti", "pods": "100000"});
    let now = now();
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    });
    json!({"status": {"capacity": room, "allocatable": room, "conditions": [ready]}})
}

fn now() -> String {
    // Kubernetes counts whole seconds.
    format!("{:.0}", Timestamp::now())
}

/// The names and images of a pod's containers.
pub(super) struct Containers {
    /// Those that end before the others begin.
    initial: Vec<(String, String)>,
    /// Those that begin before the others, and end with them.
    sidecars: Vec<(String, String)>,
    main: Vec<(String, String)>,
    started: String,
}

impl Containers {
    pub(super) fn of(pod: &Pod) -> Self {
        let named =
            |container: &Container| (container.name.clone(), container.image.clone().unwrap_or_default());
        let spec = pod.spec.clone().unwrap_or_default();
        let (sidecars, initial): (Vec<_>, Vec<_>) = spec
            .init_containers
            .unwrap_or_default()
            .into_iter()
            .partition(|container| container.restart_policy.as_deref() == Some("Always"));
        Self {
            initial: initial.iter().map(named).collect(),
            sidecars: sidecars.iter().map(named).collect(),
            main: spec.containers.iter().map(named).collect(),
            started: now(),
        }
    }

    pub(super) fn running(&self) -> Value {
        let running = json!({"running": {"startedAt": self.started}});
        self.status("Running", &running, &running)
    }

    pub(super) fn ended(&self, end: &End) -> Value {
        let phase = if end.exit == 0 { "Succeeded" } else { "Failed" };
        let mut main = self.terminated(end.exit, &end.reason);
        if let Some(message) = &end.message {
            main["terminated"]["message"] = message.as_str().into();
        }
        self.status(phase, &main, &self.terminated(0, "Completed"))
    }

    fn terminated(&self, exit: i32, reason: &str) -> Value {
        let times = (&self.started, now());
        json!({"terminated": {"exitCode": exit, "reason": reason, "startedAt": times.0, "finishedAt": times.1}})
    }

    fn status(&self, phase: &str, main: &Value, sidecar: &Value) -> Value {
        let alive = phase == "Running";
        let all = |containers: &[(String, String)], state: &Value, alive: bool| -> Vec<Value> {
            containers.iter().map(|container| one(container, state, alive)).collect()
        };
        let mut before = all(&self.initial, &self.terminated(0, "Completed"), false);
        before.extend(all(&self.sidecars, sidecar, alive));
        let ready = if alive { "True" } else { "False" };
        let condition = |name: &str, status: &str| json!({"type": name, "status": status, "lastTransitionTime": self.started});
        json!({
            "phase": phase,
            "startTime": self.started,
            "podIP": "192.0.2.1",
            "podIPs": [{"ip": "192.0.2.1"}],
            "conditions": [
                condition("PodScheduled", "True"),
                condition("Initialized", "True"),
                condition("Ready", ready),
                condition("ContainersReady", ready),
            ],
            "initContainerStatuses": before,
            "containerStatuses": all(&self.main, main, alive),
        })
    }
}

fn one((name, image): &(String, String), state: &Value, alive: bool) -> Value {
    json!({
        "name": name, "image": image, "imageID": image, "containerID": format!("stub://{name}"),
        "ready": alive, "started": alive, "restartCount": 0, "state": state,
    })
}
