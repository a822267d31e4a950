//! A trace from the request to the step, told to a collector.

mod collector;

use std::net::TcpListener;

use serde_json::{Value, json};
use tiphys_tests::{Local, Server, until};

use collector::{Collector, KEY, Told};

const ID: &str = "0af7651916cd43dd8448eb211c80319c";
const OUTSIDE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// One event, a workflow of two steps that print their context, and a call.
fn manifests(call: &str, step: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        r#"
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {{name: in}}
spec:
  webhook: {{e: {{endpoint: /e, method: POST, idHeader: X-Id}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {{name: s}}
spec:
  dependencies: [{{name: dep, eventSourceName: in, eventName: e}}]
  triggers:
    - template: {{name: call, http: {{url: "{call}/call", method: POST}}}}
      retryStrategy: {{steps: 1}}
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
                templates:
                  - name: main
                    steps:
                      - - {{name: first, template: print}}
                      - - {{name: second, template: fail}}
                  - name: print
                    metadata: {{annotations: {{tiphys.dev/launcher: process}}}}
                    container: {{image: busybox, command: [sh, -c, '{step}; echo "first $TRACEPARENT"']}}
                  - name: fail
                    metadata: {{annotations: {{tiphys.dev/launcher: process}}}}
                    container: {{image: busybox, command: [sh, -c, 'echo "second $TRACEPARENT"; exit 3']}}
"#
    );
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    folder
}

fn environment(collector: &str) -> Vec<(&str, &str)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=let%20me%20in"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ]
}

fn post(server: &Server, id: &str, trace: Option<&str>) -> String {
    until("a 200", || {
        let mut headers = vec![("Content-Type", "application/json"), ("X-Id", id)];
        headers.extend(trace.map(|trace| ("traceparent", trace)));
        let answer = server.send("POST", "/events/default/in/e", &headers, b"{}").ok()?;
        (answer.status == 200).then(|| answer.header("x-event-id").unwrap().to_owned())
    })
}

/// The name of the workflow, once it has ended, and what its steps printed.
fn ended(server: &Server) -> (String, Value, String) {
    let workflow = server.ended(1).remove(0);
    let name = workflow["metadata"]["name"].as_str().unwrap().to_owned();
    let logs = until("the logs", || {
        let logs = server.ok(&["logs", &name]);
        logs.contains("second 00-").then_some(logs)
    });
    (name, workflow, logs)
}

/// All spans of one event, each the child of the one that caused it. Gives them by name.
fn whole(collector: &Collector, server: &Server, trace: &str) -> Vec<Told> {
    let (name, workflow, logs) = ended(server);
    let told = |name: &str| until(name, || collector.span(name));
    let receive = told("receive in/e");
    let (call, run) = (told("decide s/call"), told("decide s/run"));
    let (called, ran) = (told("act call"), told("act run"));
    let whole = told(&format!("workflow {name}"));
    let (first, second) = (told("step first"), told("step second"));
    for (child, parent) in [
        (&call, &receive),
        (&run, &receive),
        (&called, &call),
        (&ran, &run),
        (&whole, &ran),
        (&first, &whole),
        (&second, &whole),
    ] {
        assert_eq!(child.parent, parent.id, "{child:#?} below {parent:#?}");
    }
    let all = vec![receive, call, run, called, ran, whole, first, second];
    assert_eq!(collector.spans().len(), all.len(), "and nothing else");
    for span in &all {
        assert_eq!(span.trace, trace, "{span:#?}");
        assert!(span.begun <= span.ended, "{span:#?}");
        assert_eq!(span.resource["service.name"], "tiphys");
        assert_eq!(span.resource["deployment.environment.name"], "tests");
    }
    let [receive, _, _, called, ran, whole, first, second] = all.as_slice() else { unreachable!() };
    // SERVER, CLIENT and INTERNAL.
    assert_eq!([receive, called, ran].map(|span| span.kind), [2, 3, 1]);
    let failed: Vec<&str> = all.iter().filter(|span| span.failed).map(|span| span.name.as_str()).collect();
    assert_eq!(failed, [whole.name.as_str(), "step second"]);
    assert_eq!(second.attributes["process.exit.code"], "3");
    assert_eq!(ran.attributes["tiphys.attempt"], "1");
    assert_eq!(ran.attributes["tiphys.firing.id"], whole.attributes["tiphys.firing.id"]);
    assert_eq!(workflow["metadata"]["annotations"]["tiphys.dev/traceparent"], ran.context());
    // What is done goes on with the trace.
    assert_eq!(collector.calls(), [called.context()]);
    for (step, word) in [(first, "first"), (second, "second")] {
        assert!(logs.contains(&format!("{word} {}", step.context())), "{logs}");
    }
    all
}

#[test]
fn a_trace_runs_from_the_request_to_the_step() {
    let collector = Collector::start();
    let folder = manifests(&collector.url, "true");
    let mut server = Server::with(folder.path(), &[], &environment(&collector.url));
    post(&server, "one", Some(OUTSIDE));
    let all = whole(&collector, &server, ID);
    assert_eq!(all[0].parent, &OUTSIDE[36..52]);
    until("the count of spans", || {
        let metrics = server.send("GET", "/metrics", &[], b"").ok()?.body;
        metrics.contains(r#"tiphys_spans_total{outcome="sent"} 8"#).then_some(())
    });
    assert!(server.interrupt());
}

#[test]
fn an_event_that_nobody_traces_begins_the_trace_of_its_id() {
    let collector = Collector::start();
    let folder = manifests(&collector.url, "true");
    let server = Server::with(folder.path(), &[], &environment(&collector.url));
    let event = post(&server, "one", None);
    let all = whole(&collector, &server, &event);
    assert_eq!(all[0].parent, "");
    // The same event again is another request, and nothing more.
    assert_eq!(post(&server, "one", None), event);
    let again = until("the second receipt", || {
        collector.spans().into_iter().find(|span| span.name == "receive in/e" && span.id != all[0].id)
    });
    assert_eq!((again.trace, again.attributes["tiphys.outcome"].as_str()), (event, "duplicate"));
    assert_eq!(collector.spans().len(), all.len() + 1);
}

#[test]
fn separate_services_tell_of_one_trace() {
    let collector = Collector::start();
    let folder = manifests(&collector.url, "true");
    let Some(local) = Local::with(folder.path(), &environment(&collector.url)) else { return };
    post(&local, "one", Some(OUTSIDE));
    let all = whole(&collector, &local, ID);
    let roles: Vec<&str> = all.iter().map(|span| span.resource["tiphys.role"].as_str()).collect();
    let (decides, acts) = (["sensor"; 2], ["trigger"; 2]);
    assert_eq!(roles, [&["eventsource"][..], &decides, &acts, &["executor"; 3]].concat());
}

#[test]
fn what_ends_after_a_crash_is_told_in_its_place() {
    let collector = Collector::start();
    let folder = manifests(&collector.url, "sleep 2");
    let mut server = Server::with(folder.path(), &[], &environment(&collector.url));
    post(&server, "one", Some(OUTSIDE));
    for name in ["receive in/e", "decide s/call", "decide s/run", "act call", "act run"] {
        until(name, || collector.span(name));
    }
    until("the first step", || {
        let nodes = server.workflows().first()?["status"]["nodes"].clone();
        let running =
            nodes.as_object()?.values().any(|node| node["type"] == "Pod" && node["phase"] == "Running");
        running.then_some(())
    });
    server.kill();
    server.run();
    whole(&collector, &server, ID);
}

#[test]
fn without_a_collector_the_context_of_the_sender_reaches_the_step() {
    let collector = Collector::start();
    let folder = manifests(&collector.url, "true");
    let server = Server::start(folder.path());
    post(&server, "one", Some(OUTSIDE));
    let (_, workflow, logs) = ended(&server);
    assert_eq!(workflow["metadata"]["annotations"]["tiphys.dev/traceparent"], OUTSIDE);
    for word in ["first", "second"] {
        assert!(logs.contains(&format!("{word} {OUTSIDE}")), "{logs}");
    }
    until("the call", || (collector.calls() == [OUTSIDE]).then_some(()));
    assert!(collector.spans().is_empty());
}

#[test]
fn a_collector_that_is_away_delays_nothing() {
    // One takes connections and never answers, the other takes none.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), gone] {
        let folder = manifests("http://127.0.0.1:9", "true");
        let url = format!("http://{address}");
        let mut environment = environment(&url);
        environment.push(("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"));
        let mut server = Server::with(folder.path(), &[], &environment);
        post(&server, "one", Some(OUTSIDE));
        ended(&server);
        let told = until("a word about it", || {
            let log = server.log();
            log.contains("the collector does not take spans").then_some(log)
        });
        assert!(!told.contains(KEY), "{told}");
        assert!(server.interrupt(), "it stops as always");
    }
}

#[test]
fn who_submits_may_say_within_which_trace() {
    let server = Server::on("");
    let bearer = format!("Bearer {}", server.token());
    let headers =
        [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), ("traceparent", OUTSIDE)];
    let submit = |annotations: Value| {
        let workflow = json!({"metadata": {"generateName": "w-", "annotations": annotations}, "spec": {
            "entrypoint": "main",
            "templates": [{"name": "main", "suspend": {}}],
        }});
        let body = json!({"workflow": workflow}).to_string();
        let answer = server.send("POST", "/api/v1/workflows/default", &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["metadata"]["annotations"]["tiphys.dev/traceparent"].as_str().unwrap().to_owned()
    };
    assert_eq!(submit(json!({})), OUTSIDE);
    // The author's own comes first.
    let own = OUTSIDE.replace("b7ad", "b7ae");
    assert_eq!(submit(json!({"tiphys.dev/traceparent": own})), own);
}
