//! The accounts of `deploy/kubernetes`, a service each: what they may do is enough, and there is no more.

use serde_json::{Value, json};
use tiphys_servers::Kubernetes;
use tiphys_servers::kubernetes::Request;
use tiphys_tests::root;

use crate::cluster::Eyes;

/// What has an account.
pub(crate) const ROLES: [&str; 6] = ["bus", "server", "eventsource", "sensor", "trigger", "executor"];
const FILES: [&str; 5] =
    ["catalog-roles.yaml", "executor-role.yaml", "server-role.yaml", "token-role.yaml", "accounts.yaml"];

/// The accounts, once they are made.
pub(crate) struct Accounts<'c> {
    eyes: Eyes<'c>,
    /// The namespace that they are in.
    home: String,
}

impl<'c> Accounts<'c> {
    /// Makes them as the files say, in a namespace of their own. Workflows are in `work`.
    pub(crate) fn of(cluster: &'c Kubernetes, work: &str) -> Self {
        let this = Self { eyes: Eyes::on(cluster), home: cluster.namespace() };
        for file in FILES {
            let text = std::fs::read_to_string(root().join("deploy/kubernetes").join(file)).unwrap();
            let text = text.replace("namespace: tiphys\n", &format!("namespace: {}\n", this.home));
            let text = text.replace("namespace: argo\n", &format!("namespace: {work}\n"));
            for object in tiphys_manifest::load::values(&text).unwrap() {
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or(work).to_owned();
                this.eyes.make(&namespace, &object);
            }
        }
        for role in ROLES {
            let _ = cluster.kubeconfig_of(&this.home, &format!("tiphys-{role}"));
        }
        this
    }

    /// The options by which each service acts as its account; `{role}` is its name.
    pub(crate) fn options(&self) -> String {
        let folder = self.eyes.server.kubeconfig();
        let folder = folder.parent().unwrap();
        format!("--kubeconfig {}/{}.tiphys-{{role}}.kubeconfig", folder.display(), self.home)
    }

    /// What a service asked of the API server.
    pub(crate) fn requests(&self, role: &str) -> Vec<Request> {
        let user = format!("system:serviceaccount:{}:tiphys-{role}", self.home);
        self.eyes.server.requests().into_iter().filter(|request| request.user == user).collect()
    }

    /// Each of these services has asked for something, and for nothing that it may not have.
    pub(crate) fn were_not_refused(&self, roles: &[&str]) {
        for role in roles {
            let requests = self.requests(role);
            assert!(!requests.is_empty(), "{role} asked for nothing");
            let refused: Vec<&Request> = requests.iter().filter(|request| request.status == 403).collect();
            assert!(refused.is_empty(), "{role}: {refused:#?}");
        }
    }

    /// Whether a service may do something, as the API server says.
    pub(crate) fn may(&self, role: &str, verb: &str, resource: &str, namespace: &str) -> bool {
        let user = format!("system:serviceaccount:{}:tiphys-{role}", self.home);
        may(&self.eyes, &user, &json!({"verb": verb, "resource": resource, "namespace": namespace}))
    }

    /// Takes a right away.
    pub(crate) fn unbind(&self, name: &str) {
        let bindings = self.eyes.objects("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "");
        let removal = tiphys_kit::kubernetes::Removal::default();
        self.eyes.runtime.block_on(bindings.delete(name, &removal)).unwrap();
    }
}

/// Whether a user may do something, which is told as a SubjectAccessReview tells it: verb, resource, namespace.
pub(crate) fn may(eyes: &Eyes<'_>, user: &str, attributes: &Value) -> bool {
    let mut attributes = attributes.clone();
    if let Some((resource, sub)) = attributes["resource"].as_str().and_then(|name| name.split_once('/')) {
        let (resource, sub) = (json!(resource), json!(sub));
        attributes["resource"] = resource;
        attributes["subresource"] = sub;
    }
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "metadata": {}, "spec": {"user": user, "resourceAttributes": attributes}});
    eyes.make("", &review)["status"]["allowed"].as_bool().unwrap()
}
