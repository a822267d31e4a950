//! Whether a cluster can mount images as volumes.
//!
//! Nodes can since Kubernetes 1.36 without being told to (the feature gate `ImageVolume`), and need a runtime that can: containerd
//! since 2.1, CRI-O since 1.33. An API server is never older than its nodes. A pod on a node that cannot does not start, so what is
//! not known for sure counts as no.

use k8s_openapi::api::core::v1::{Node, NodeSystemInfo};
use kube::api::ListParams;
use kube::{Api, Client};

use super::ask::within;
use super::{Config, ImageVolume, REQUEST, RunnerSource};

/// Nodes that are read at once.
const PAGE: u32 = 500;
const KUBERNETES: (u32, u32) = (1, 36);
const CONTAINERD: (u32, u32) = (2, 1);
const CRI_O: (u32, u32) = (1, 33);

/// Decides what was left open.
pub(super) async fn decide(client: &Client, config: &mut Config) {
    let Some(RunnerSource::Image(runner)) = &mut config.runner else { return };
    if runner.volume != ImageVolume::Auto || config.only_reads {
        return;
    }
    runner.volume = match refused(client).await {
        None => ImageVolume::Always,
        Some(why) => {
            tracing::info!(why, "an init container brings the runner");
            ImageVolume::Never
        }
    };
}

/// Why images are not mounted as volumes.
async fn refused(client: &Client) -> Option<String> {
    let nodes = Api::<Node>::all(client.clone());
    let (mut page, mut seen) = (ListParams::default().limit(PAGE), false);
    loop {
        let found = match within(REQUEST, nodes.list(&page)).await {
            Ok(found) => found,
            Err(failure) => return Some(format!("the nodes may not be listed: {}", failure.text)),
        };
        if let Some(why) = found.items.iter().find_map(unable) {
            return Some(why);
        }
        seen |= !found.items.is_empty();
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return (!seen).then(|| "there are no nodes yet".into()),
        }
    }
}

/// Why a node cannot.
fn unable(node: &Node) -> Option<String> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    match node.status.as_ref().and_then(|status| status.node_info.as_ref()) {
        Some(info) if can(info) => None,
        Some(info) => Some(format!(
            "node {name} has kubelet {} and {}",
            info.kubelet_version, info.container_runtime_version
        )),
        None => Some(format!("node {name} does not tell its versions")),
    }
}

fn can(node: &NodeSystemInfo) -> bool {
    let runtime = match node.container_runtime_version.split_once("://") {
        Some(("containerd", version)) => at_least(version, CONTAINERD),
        Some(("cri-o", version)) => at_least(version, CRI_O),
        _ => false,
    };
    runtime && at_least(&node.kubelet_version, KUBERNETES)
}

/// Whether a version such as `v1.36.2+k3s1` or `2.1.0~ds1` is no earlier than another.
fn at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = version.trim_start_matches('v').split(|digit: char| !digit.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) >= wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_able_is() {
        for (kubelet, runtime, wanted) in [
            ("v1.36.0", "containerd://2.1.0", true),
            ("v1.37.1+k3s1", "containerd://2.2.1-k3s1", true),
            ("v1.36.0", "cri-o://1.33.2", true),
            ("v2.0.0", "containerd://10.0.0", true),
            ("v1.35.9", "containerd://2.1.0", false),
            ("v1.36.0", "containerd://1.6.20~ds1", false),
            ("v1.36.0", "containerd://2.0.5", false),
            ("v1.36.0", "cri-o://1.32.9", false),
            ("v1.36.0", "docker://29.1.0", false),
            ("v1.36.0", "containerd", false),
            ("", "", false),
        ] {
            let node = NodeSystemInfo {
                kubelet_version: kubelet.into(),
                container_runtime_version: runtime.into(),
                ..NodeSystemInfo::default()
            };
            assert_eq!(can(&node), wanted, "{kubelet} {runtime}");
        }
    }
}
