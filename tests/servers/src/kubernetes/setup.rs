//! How a cluster is put together.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use super::guard::Guard;
use super::keys::{Authority, write_token_keys};
use super::node::{self, NODE, Node};
use super::parts::{Part, Parts};
use super::{Kubernetes, Running, ask, audit, image};
use crate::{free_port, missing, program, skipped};

/// A kubelet is not to be had everywhere; the API server is, and its tests run everywhere.
const NO_NODE: &str =
    "no node of Kubernetes can run here: not even root may make namespaces. Real pods are not tested";

const CONTROL_PLANE: [Part; 4] = [Part::Etcd, Part::ApiServer, Part::ControllerManager, Part::Scheduler];

/// What a cluster is to have.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    node: bool,
    audited: bool,
    arguments: Vec<(Part, String)>,
}

impl Setup {
    /// A cluster without a node and without an audit log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a node on which pods run; only root can.
    #[must_use]
    pub const fn node(mut self) -> Self {
        self.node = true;
        self
    }

    /// With a list of all requests: [`Kubernetes::requests`].
    #[must_use]
    pub const fn audited(mut self) -> Self {
        self.audited = true;
        self
    }

    /// With one more argument for a part.
    #[must_use]
    pub fn argument(mut self, part: Part, argument: &str) -> Self {
        self.arguments.push((part, argument.to_owned()));
        self
    }

    /// Where a node that is silent is given up after a few seconds, and its pods one second later, as long as another node
    /// is well: where all are silent, the controller manager takes it for its own fault. By itself Kubernetes takes 40 s and
    /// five minutes.
    #[must_use]
    pub fn hasty(self) -> Self {
        self.argument(Part::ControllerManager, "--node-monitor-period=1s")
            .argument(Part::ControllerManager, "--node-monitor-grace-period=4s")
            .argument(Part::ApiServer, "--default-not-ready-toleration-seconds=1")
            .argument(Part::ApiServer, "--default-unreachable-toleration-seconds=1")
    }

    /// Starts it, and waits until pods can be made.
    ///
    /// # Panics
    /// When it does not start, or is missing under CI.
    #[must_use]
    pub fn start(&self) -> Option<Kubernetes> {
        if let Some(name) = self.absent() {
            missing(&format!("{name}, for Kubernetes,"));
            return None;
        }
        if self.node && !may_have_namespaces() {
            skipped(NO_NODE);
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder").keep();
        let folder = folder.canonicalize().expect("a folder");
        let mut guard = Guard::of(&folder);
        for name in ["keys", "log", "tmp"] {
            std::fs::create_dir(folder.join(name)).expect("a folder");
        }
        let node = self.node.then(|| Node::new(&folder, &mut guard));
        let cluster = self.lay_out(&folder, guard, node);
        for part in CONTROL_PLANE {
            cluster.start(part);
        }
        cluster.await_account("default");
        if cluster.node.is_some() {
            start_node(&cluster);
        }
        Some(cluster)
    }

    /// What is needed and not there.
    fn absent(&self) -> Option<&'static str> {
        let parts = CONTROL_PLANE.into_iter().chain(self.node.then_some(Part::Kubelet));
        let absent = parts.filter(|part| part.path().is_none()).map(Part::program).next();
        if !self.node {
            return absent;
        }
        let programs = ["containerd", "ctr", "runc", "iptables", "ip", "unshare", "nsenter", "busybox"];
        absent
            .or_else(|| programs.into_iter().find(|name| program(name).is_none()))
            .or_else(|| node::network_plugins().is_none().then_some("containernetworking-plugins"))
            .or_else(|| (!rustix::process::geteuid().is_root()).then_some("root"))
    }

    /// Writes all that the parts read.
    fn lay_out(&self, folder: &Path, guard: Guard, node: Option<Node>) -> Kubernetes {
        let keys = folder.join("keys");
        let authority = Authority::new();
        std::fs::write(keys.join("authority.crt"), authority.pem()).expect("a certificate");
        write_token_keys(&keys);
        let address = node.as_ref().map_or(Ipv4Addr::LOCALHOST, Node::machine);
        let service = Ipv4Addr::new(198, 19, node.as_ref().map_or(0, Node::network), 1);
        let (port, store) = (free_port(), free_port());
        let url = format!("https://{address}:{port}");
        let names =
            [&address.to_string(), &service.to_string(), "127.0.0.1", "localhost", "kubernetes.default.svc"];
        authority.server(&names).write(&keys, "server");
        authority.client("kubelet-client", Some("system:masters")).write(&keys, "kubelet-client");
        for (name, user, group) in [
            ("admin", "admin", Some("system:masters")),
            ("controller-manager", "system:kube-controller-manager", None),
            ("scheduler", "system:kube-scheduler", None),
        ] {
            let config = authority.client(user, group).kubeconfig(&authority, &url);
            let file = folder.join(format!("{name}.kubeconfig"));
            std::fs::write(file, config.to_string()).expect("a kubeconfig");
        }
        let mut arguments = HashMap::from([
            (Part::Etcd, etcd(store)),
            (Part::ApiServer, api_server(address, service, port, store)),
            (Part::ControllerManager, controller_manager()),
            (Part::Scheduler, client_of("scheduler")),
        ]);
        if self.audited {
            std::fs::write(folder.join("audit.json"), audit::POLICY).expect("a policy");
            let audit =
                ["--audit-policy-file=audit.json", "--audit-log-path=audit.log", "--audit-log-maxsize=4000"];
            arguments.entry(Part::ApiServer).or_default().extend(audit.map(str::to_owned));
        }
        if let Some(node) = &node {
            node.connect(service, port);
            arguments.insert(Part::Containerd, node::containerd(folder, node));
            arguments.insert(Part::Kubelet, node::kubelet(folder, node, &authority, &url));
        }
        for (part, argument) in &self.arguments {
            arguments.entry(*part).or_default().push(argument.clone());
        }
        let kubeconfig = std::fs::read_to_string(folder.join("admin.kubeconfig")).expect("a kubeconfig");
        Kubernetes {
            folder: folder.to_owned(),
            url,
            authority,
            kubeconfig: serde_json::from_str(&kubeconfig).expect("a kubeconfig"),
            arguments,
            running: Mutex::new(Running { parts: Parts::new(folder), guard: Some(guard) }),
            node,
            namespaces: AtomicU32::new(1),
        }
    }
}

fn start_node(cluster: &Kubernetes) {
    cluster.start(Part::Containerd);
    for archive in image::own(&cluster.folder) {
        cluster.import(&archive);
    }
    cluster.start(Part::Kubelet);
    cluster.until("the node", async |client| ask::node_is_ready(client, NODE).await);
}

/// Whether the kernel allows what a node needs: nothing that could be installed helps where it does not.
fn may_have_namespaces() -> bool {
    let mut tried = Command::new("unshare");
    tried.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]);
    tried.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn etcd(port: u16) -> Vec<String> {
    let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()));
    vec![
        "--name=test".into(),
        "--data-dir=etcd".into(),
        // What a test loses with the machine it does not miss.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=test={peers}"),
    ]
}

fn api_server(address: Ipv4Addr, service: Ipv4Addr, port: u16, store: u16) -> Vec<String> {
    // The address of the service `kubernetes` may not be one of loopback.
    let told = if address.is_loopback() {
        "--endpoint-reconciler-type=none".to_owned()
    } else {
        format!("--advertise-address={address}")
    };
    vec![
        told,
        format!("--etcd-servers=http://127.0.0.1:{store}"),
        format!("--bind-address={address}"),
        format!("--secure-port={port}"),
        format!("--service-cluster-ip-range={}/24", Ipv4Addr::from(u32::from(service) & 0xffff_ff00)),
        "--tls-cert-file=keys/server.crt".into(),
        "--tls-private-key-file=keys/server.key".into(),
        "--client-ca-file=keys/authority.crt".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        "--service-account-key-file=keys/tokens.pub".into(),
        "--service-account-signing-key-file=keys/tokens.key".into(),
        "--kubelet-client-certificate=keys/kubelet-client.crt".into(),
        "--kubelet-client-key=keys/kubelet-client.key".into(),
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--allow-privileged=true".into(),
        "--profiling=false".into(),
        "--cert-dir=keys".into(),
    ]
}

fn controller_manager() -> Vec<String> {
    let own = [
        "--service-account-private-key-file=keys/tokens.key",
        "--root-ca-file=keys/authority.crt",
        "--use-service-account-credentials=true",
    ];
    client_of("controller-manager").into_iter().chain(own.map(str::to_owned)).collect()
}

/// One that is alone, and is asked for nothing.
fn client_of(name: &str) -> Vec<String> {
    vec![
        format!("--kubeconfig={name}.kubeconfig"),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        "--profiling=false".into(),
    ]
}
