//! What the tests share: the built binary, a running server, waiting for conditions, servers of others.

pub mod counting;
pub mod local;
pub mod others;
pub mod server;

pub use counting::counting;
pub use local::Local;
pub use server::Server;
pub use tiphys_servers::until;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// The `tiphys` binary, built once per run.
///
/// # Panics
/// When it cannot be built.
#[must_use]
#[expect(clippy::expect_used, reason = "without the binary there is nothing to test")]
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--offline", "--package", "tiphys", "--bin", "tiphys"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the binary could not be built");
        let test = std::env::current_exe().expect("a test has a path");
        // target/debug/deps/e2e-… stands beside target/debug/tiphys.
        let folder = test.ancestors().nth(2).expect("a test stands in a target folder");
        folder.join("tiphys")
    })
}

/// An event source with event `e` at the path of its own name, and a sensor whose trigger `run` makes a workflow of the template
/// that is called as the sensor. More triggers may be appended.
#[must_use]
pub fn reaction(sensor: &str, source: &str) -> String {
    format!(
        r#"
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {{name: {source}}}
spec:
  webhook: {{e: {{endpoint: /{source}, method: POST}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {{name: {sensor}}}
spec:
  dependencies: [{{name: dep, eventSourceName: {source}, eventName: e}}]
  triggers:
    - template:
        name: run
        argoWorkflow:
          operation: submit
          source:
            resource:
              apiVersion: argoproj.io/v1alpha1
              kind: Workflow
              metadata: {{generateName: {sensor}-}}
              spec: {{workflowTemplateRef: {{name: {sensor}}}}}
"#
    )
}
