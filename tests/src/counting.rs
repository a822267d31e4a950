//! Manifests by which a test counts: each event's step writes the event's number into a file.
#![expect(clippy::expect_used, reason = "a test that cannot write its manifests has failed")]

use std::path::Path;

/// A folder with an event source `in`, event `e`, and a sensor `s` whose trigger `run` starts a workflow for each event
/// with `"skip": false`. Its step appends `n` of the body to `ledger`, and then does `step`, a shell command.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn counting(ledger: &Path, step: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        r#"
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {{name: in}}
spec:
  webhook:
    e: {{endpoint: /e, method: POST, idHeader: X-Id}}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {{name: s}}
spec:
  dependencies:
    - name: dep
      eventSourceName: in
      eventName: e
      filters:
        data: [{{path: body.skip, type: bool, value: ["false"]}}]
  triggers:
    - template:
        name: run
        argoWorkflow:
          operation: submit
          source:
            resource:
              apiVersion: argoproj.io/v1alpha1
              kind: Workflow
              metadata: {{generateName: w-}}
              spec:
                entrypoint: main
                arguments: {{parameters: [{{name: number, value: "?"}}]}}
                templates:
                  - name: main
                    metadata: {{annotations: {{tiphys.dev/launcher: process}}}}
                    container:
                      image: busybox
                      command: [sh, -c]
                      args: ['echo "$NUMBER" >> "$LEDGER"; {step}; echo done "$NUMBER"']
                      env:
                        - {{name: NUMBER, value: "{{{{workflow.parameters.number}}}}"}}
                        - {{name: LEDGER, value: "{}"}}
          parameters:
            - src: {{dependencyName: dep, dataKey: body.n}}
              dest: spec.arguments.parameters.0.value
"#,
        ledger.display()
    );
    std::fs::write(folder.path().join("all.yaml"), text).expect("a manifest");
    folder
}
