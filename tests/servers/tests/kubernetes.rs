//! What other tests rely on: real clusters, a kubelet that runs nothing, and an API server that misbehaves.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "kubernetes/cluster.rs"]
mod cluster;
#[path = "kubernetes/flaky.rs"]
mod flaky;
#[path = "kubernetes/kubelet.rs"]
mod kubelet;
