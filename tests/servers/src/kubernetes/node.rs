//! A machine for pods: namespaces of processes, mounts and network in which a containerd and a kubelet run.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;
use serde_json::json;

use super::guard::Guard;
use super::image::PAUSE;
use super::keys::Authority;
use super::parts::only_child;
use crate::docker::run;
use crate::{program, until};

/// What the node is called.
pub const NODE: &str = "node";

/// The namespaces of a node, and its way to the machine.
#[derive(Debug)]
pub(super) struct Node {
    child: Child,
    /// The first process of the namespaces.
    first: Pid,
    /// Which of the networks it has.
    network: u8,
}

impl Node {
    /// Makes the namespaces, and a link to them.
    pub(super) fn new(folder: &Path, guard: &mut Guard) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", include_str!("../../kubernetes/node.sh"), "node.sh"]).arg(folder);
        let log = std::fs::File::create(folder.join("log/node")).expect("a log");
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().expect("unshare starts");
        guard.process(child.id());
        let first = only_child(child.id());
        until("the node's namespaces", || {
            if let Some(status) = child.try_wait().expect("a status") {
                let log = std::fs::read_to_string(folder.join("log/node")).unwrap_or_default();
                panic!("the node's namespaces ended: {status}: {log}");
            }
            folder.join("ready").exists().then_some(())
        });
        Self { child, first, network: link(first, guard) }
    }

    /// A command that runs in the node, and is the parent of what it starts.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.as_raw_nonzero().to_string(), "--net", "--mount", "--pid"]);
        command.arg("--wd").arg(program);
        command
    }

    /// The machine, as the node's neighbour.
    pub(super) const fn machine(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.network, 2)
    }

    /// The node, as the machine's neighbour, and the pods' way out.
    pub(super) const fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.network, 1)
    }

    /// The third part of every address.
    pub(super) const fn network(&self) -> u8 {
        self.network
    }

    /// Makes the pods' network, and leads the address that pods know for the API server to where it listens.
    pub(super) fn connect(&self, service: Ipv4Addr, port: u16) {
        let addresses = [self.address(), self.machine(), service].map(|address| address.to_string());
        let mut command = self.command(Path::new("sh"));
        command.args(["-c", include_str!("../../kubernetes/network.sh"), "network.sh"]).args(addresses);
        run(command.arg(port.to_string()));
    }

    pub(super) fn bury(&mut self) {
        let _ = self.child.wait();
    }
}

/// Links the machine and the namespaces. The addresses are of the range for benchmarks between network devices
/// (RFC 2544), which no network uses; a free name of the link stands for a free network.
fn link(first: Pid, guard: &mut Guard) -> u8 {
    let inside = first.as_raw_nonzero().to_string();
    let begin = u8::try_from(first.as_raw_nonzero().get() % 256).unwrap_or_default();
    let made = (0..=u8::MAX).map(|offset| begin.wrapping_add(offset)).find(|network| {
        let mut link = Command::new("ip");
        link.args(["link", "add", &name(*network), "type", "veth", "peer", "name", "eth0", "netns", &inside]);
        link.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    let network = made.expect("a link to the node");
    guard.link(&name(network));
    run(Command::new("ip").args([
        "address",
        "add",
        &format!("198.18.{network}.2/24"),
        "dev",
        &name(network),
    ]));
    run(Command::new("ip").args(["link", "set", &name(network), "up"]));
    network
}

fn name(network: u8) -> String {
    format!("tiphys{network}")
}

/// Writes what containerd reads, and gives its arguments.
pub(super) fn containerd(folder: &Path, node: &Node) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    let network = node.network();
    let bridge = json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "dataDir": at("addresses"),
            "ranges": [[{
                "subnet": format!("198.18.{network}.0/24"),
                "rangeStart": format!("198.18.{network}.10"),
                "gateway": node.address(),
            }]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    });
    let pods = json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]});
    std::fs::create_dir_all(folder.join("network")).expect("a folder");
    std::fs::write(folder.join("network/pods.conflist"), pods.to_string()).expect("a network");
    // A negative adjustment of the out-of-memory score needs a capability that containers of a CI do not have.
    let config = format!(
        "version = 2
root = '{root}'
state = '{state}'
disabled_plugins = ['io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs', 'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.aufs', 'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing']
[grpc]
  address = '{socket}'
[plugins.'io.containerd.internal.v1.opt']
  path = '{opt}'
[plugins.'io.containerd.grpc.v1.cri']
  sandbox_image = '{PAUSE}'
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins.'io.containerd.grpc.v1.cri'.cni]
    bin_dir = '{plugins}'
    conf_dir = '{network}'
  [plugins.'io.containerd.grpc.v1.cri'.containerd]
    snapshotter = 'overlayfs'
",
        root = at("containerd/root"),
        state = at("containerd/state"),
        opt = at("containerd/opt"),
        socket = at("containerd.sock"),
        network = at("network"),
        plugins = network_plugins().expect("plugins for networks").display(),
    );
    std::fs::write(folder.join("containerd.toml"), config).expect("a configuration");
    vec!["--config".into(), "containerd.toml".into()]
}

/// Writes what the kubelet reads, and gives its arguments.
pub(super) fn kubelet(folder: &Path, node: &Node, authority: &Authority, url: &str) -> Vec<String> {
    let user = format!("system:node:{NODE}");
    let shown = authority.client(&user, Some("system:nodes")).kubeconfig(authority, url);
    std::fs::write(folder.join("kubelet.kubeconfig"), shown.to_string()).expect("a kubeconfig");
    let address = node.address().to_string();
    authority.server(&[NODE, &address]).write(&folder.join("keys"), "kubelet");
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::write(folder.join("resolv.conf"), "# no names here\n").expect("a file");
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", at("containerd.sock")),
        "address": address,
        "readOnlyPort": 0,
        "healthzPort": 0,
        "tlsCertFile": at("keys/kubelet.crt"),
        "tlsPrivateKeyFile": at("keys/kubelet.key"),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": at("keys/authority.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "podLogsDir": at("pods"),
        "volumePluginDir": at("volumes"),
        "resolvConf": at("resolv.conf"),
        // Both versions of control groups are met, and machines where nobody but systemd may arrange them.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": false,
        "failSwapOn": false,
        // What is asked for by default takes capabilities that containers of a CI do not have.
        "oomScoreAdj": 0,
        "maxOpenFiles": 4096,
        "makeIPTablesUtilChains": false,
        "maxPods": 200,
        // It says each second that it is there: see `Setup::hasty`.
        "nodeLeaseDurationSeconds": 4,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "serializeImagePulls": false,
        // Nothing is ever thrown out: the machine's disk and memory are not this node's.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "1Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
    });
    std::fs::write(folder.join("kubelet.json"), config.to_string()).expect("a configuration");
    vec![
        "--config=kubelet.json".into(),
        "--kubeconfig=kubelet.kubeconfig".into(),
        format!("--root-dir={}", at("kubelet")),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={address}"),
        format!("--cert-dir={}", at("keys")),
    ]
}

/// Where Debian has the plugins that make pods' networks, or where others have them.
pub(super) fn network_plugins() -> Option<PathBuf> {
    let folders = ["/usr/lib/cni", "/opt/cni/bin"].map(PathBuf::from);
    folders.into_iter().find(|folder| folder.join("bridge").is_file() && folder.join("host-local").is_file())
}

/// Loads an archive of images.
pub(super) fn import(folder: &Path, archive: &Path) {
    let mut ctr = Command::new(program("ctr").expect("ctr"));
    ctr.arg("--address").arg(folder.join("containerd.sock")).args(["--namespace", "k8s.io"]);
    run(ctr.args(["images", "import"]).arg(archive));
}

/// Whether containerd answers.
pub(super) fn answers(folder: &Path) -> bool {
    let mut ctr = Command::new(program("ctr").expect("ctr"));
    ctr.arg("--address").arg(folder.join("containerd.sock")).arg("version");
    ctr.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
