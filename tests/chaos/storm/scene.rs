//! The services, each behind a network of its own that can be cut.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tiphys_servers::Proxy;
use tiphys_tests::{Local, binary};

use super::again::WINDOW;
use crate::sink::Sink;

/// So many names the events have, each with a sensor of its own.
pub(super) const LANES: usize = 8;
pub(super) const ROLES: [&str; 6] = ["bus", "server", "eventsource", "sensor", "trigger", "executor"];

/// The services, and who hears of their effects.
pub(super) struct Scene {
    local: Local,
    pub(super) sink: Sink,
    networks: BTreeMap<&'static str, Proxy>,
    folder: TempDir,
}

impl Deref for Scene {
    type Target = Local;

    fn deref(&self) -> &Local {
        &self.local
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.logs();
            let told =
                |line: &&str| ["---", " WARN ", " ERROR ", "panicked"].iter().any(|mark| line.contains(mark));
            logs.lines().filter(told).for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Scene {
    /// Starts them. `None`: there is no NATS server here.
    pub(super) fn set() -> Option<Self> {
        let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
        let ledger = folder.path().join("ledger");
        let manifests = folder.path().join("manifests");
        std::fs::create_dir(&manifests).unwrap();
        std::fs::write(manifests.join("all.yaml"), text(&ledger, &sink.url)).unwrap();
        let program = program(folder.path());
        let local =
            Local::with(&manifests, &[("TIPHYS_BIN", program.to_str().unwrap()), ("TIPHYS_PATIENCE", "90")])?;
        let bus = local.environment("bus")[0].1.rsplit(':').next().unwrap().parse().unwrap();
        let networks: BTreeMap<_, _> = ROLES.into_iter().map(|role| (role, Proxy::to(bus))).collect();
        for (role, network) in &networks {
            std::fs::write(folder.path().join(role), network.port().to_string()).unwrap();
            local.kill(role);
        }
        local.up();
        Some(Self { local, sink, networks, folder })
    }

    /// Where the steps write.
    pub(super) fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Cuts a service off from the bus.
    pub(super) fn cut(&self, role: &str, time: Duration) {
        let network = &self.networks[role];
        network.cut();
        std::thread::sleep(time);
        network.mend();
    }
}

/// Stands for the program: a service that has a network of its own goes through that.
fn program(folder: &Path) -> PathBuf {
    let file = folder.join("tiphys");
    let text = format!(
        "#!/bin/sh\nport=$(cat '{}'/\"$1\" 2>/dev/null) && export NATS_URL=nats://127.0.0.1:\"$port\"\nexec '{}' \"$@\"\n",
        folder.display(),
        binary().display()
    );
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
    file
}

/// Events of several names, so that several are on their way to the bus at once: of one name it is one.
fn text(ledger: &Path, sink: &str) -> String {
    let window = WINDOW.as_secs();
    let events =
        (0..LANES).map(|lane| format!("    e{lane}: {{endpoint: /e{lane}, method: POST, idHeader: X-Id}}\n"));
    let sensors = (0..LANES).map(|lane| sensor(lane, ledger, sink));
    format!(
        r#"
apiVersion: argoproj.io/v1alpha1
kind: EventBus
metadata: {{name: default}}
spec: {{jetstream: {{version: latest, streamConfig: "duplicates: {window}s"}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {{name: in}}
spec:
  webhook:
{}{}"#,
        events.collect::<String>(),
        sensors.collect::<String>()
    )
}

/// Tells the sink of every event of a name; one with `"skip": false` starts a workflow, too, whose step appends its
/// number to `ledger`.
fn sensor(lane: usize, ledger: &Path, sink: &str) -> String {
    let ledger = ledger.display();
    format!(
        r#"---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {{name: s{lane}}}
spec:
  dependencies:
    - {{name: each, eventSourceName: in, eventName: e{lane}}}
    - name: some
      eventSourceName: in
      eventName: e{lane}
      filters:
        data: [{{path: body.skip, type: bool, value: ["false"]}}]
  triggers:
    - template:
        name: tell
        conditions: each
        http:
          url: {sink}
          method: POST
          payload:
            - src: {{dependencyName: each, dataKey: body.n}}
              dest: number
      retryStrategy: {{steps: 100, duration: 200ms}}
    - template:
        name: run
        conditions: some
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
                      args: ['echo "$NUMBER" >> "$LEDGER"']
                      env:
                        - {{name: NUMBER, value: "{{{{workflow.parameters.number}}}}"}}
                        - {{name: LEDGER, value: "{ledger}"}}
          parameters:
            - src: {{dependencyName: some, dataKey: body.n}}
              dest: spec.arguments.parameters.0.value
"#
    )
}
