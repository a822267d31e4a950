//! The planner, driven to the end of small workflows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(unreachable_pub, dead_code, reason = "shared by several tests, each using its part")]
mod common;

use std::time::Duration;

use common::{Simulator, catalog, failed, good, workflow};
use serde_json::json;
use tiphys_core::workflow::Verb;
use tiphys_executor::node::Phase;
use tiphys_executor::plan::Place;
use tiphys_executor::{names, status};

fn run<'a>(text: &str) -> Simulator<'a> {
    let mut simulator = Simulator::new(&workflow(text), catalog(&[]), |_, now| good(now));
    simulator.run();
    simulator
}

const ONE: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: one}
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: 'a {{workflow.uid}} b'}]}
  templates:
  - name: main
    inputs: {parameters: [{name: who}]}
    container: {image: x, command: [echo], args: ['{{inputs.parameters.who}} {{ other.tag }}']}
";

#[test]
fn a_pod_is_the_whole_workflow() {
    let simulator = run(ONE);
    assert_eq!(simulator.phase(), Some(Phase::Succeeded));
    let pod = &simulator.started[0];
    assert_eq!((&*pod.name, &*pod.node_id), ("one", "one"));
    // What an argument holds is never scanned again, and foreign tags stay.
    assert_eq!(pod.container["args"], json!(["a {{workflow.uid}} b {{ other.tag }}"]));
    // Submission, start, end: three records.
    assert_eq!(simulator.journal.len(), 3);
    let object = status::object(&simulator.state);
    assert_eq!(object["status"]["progress"], "1/1");
    assert_eq!(object["metadata"]["labels"]["workflows.argoproj.io/completed"], "true");
}

#[test]
fn a_step_is_given_its_place_in_the_trace() {
    let trace = tiphys_core::Trace { id: 1, span: 2, sampled: true };
    let env = |text: &str, place| {
        let simulator = Simulator::new(&workflow(text), catalog(&[]), |_, now| good(now));
        let decided = common::with_trace(&simulator.catalog, simulator.now, place, |context| {
            tiphys_executor::plan::plan(&simulator.state, &[], context)
        });
        (decided.starts[0].key.clone(), decided.starts[0].container["env"].clone())
    };
    assert_eq!(env(ONE, None).1, json!(null));
    let below = json!([{"name": "TRACEPARENT", "value": trace.to_string()}]);
    assert_eq!(env(ONE, Some(Place::Below(trace))).1, below);
    let (key, own) = env(ONE, Some(Place::Span { parent: None, own: trace }));
    assert_eq!(own[0]["value"], format!("00-{:032x}-{key}-01", 1));
    let named = |variables: &str| ONE.replace("image: x,", &format!("image: x, env: {variables},"));
    let author = named("[{name: TRACEPARENT, value: mine}]");
    assert_eq!(env(&author, Some(Place::Below(trace))).1, json!([{"name": "TRACEPARENT", "value": "mine"}]));
    let other = env(&named("[{name: A, value: b}]"), Some(Place::Below(trace))).1;
    assert_eq!(other[0], below[0]);
    assert_eq!(other[1]["name"], "A");
}

const STEPS: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: s}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, template: t}
    - - {name: b, template: t, when: '{{steps.a.outputs.result}} == tails'}
      - {name: c, template: t, withItems: [x, {k: v}]}
    outputs: {parameters: [{name: all, valueFrom: {parameter: '{{steps.c.outputs.result}}'}}]}
  - name: t
    script: {image: x, command: [sh], source: 'echo heads'}
";

#[test]
fn steps_have_the_tree_of_argo() {
    let steps = STEPS.replace("main\n    steps", "main\n    inputs: {}\n    steps");
    let mut simulator = Simulator::new(&workflow(&steps), catalog(&[]), |pod, now| {
        let mut result = good(now);
        result.result = pod.capture_result.then(|| "heads".to_owned());
        result
    });
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Succeeded));
    let expected = [
        ("s", "Succeeded"),
        ("s[0]", "Succeeded"),
        ("s[0].a", "Succeeded"),
        ("s[1]", "Succeeded"),
        ("s[1].b", "Skipped"),
        ("s[1].c(0:x)", "Succeeded"),
        ("s[1].c(1:k:v)", "Succeeded"),
    ];
    let expected = expected.map(|(name, phase)| (name.to_owned(), phase)).into();
    assert_eq!(simulator.phases(), expected);
    let root = simulator.node("s");
    assert_eq!(root.children, [names::node_id("s", "s[0]")]);
    assert_eq!(root.outputs.parameter("all").unwrap().value.as_deref(), Some(r#"["heads","heads"]"#));
    let a = simulator.node("s[0].a");
    assert_eq!(a.children, [names::node_id("s", "s[1]")]);
    assert_eq!((&*a.display_name, a.boundary.as_deref()), ("a", Some("s")));
    assert_eq!(root.outbound.len(), 3);
    assert_eq!(
        simulator.node("s[1].b").message,
        "when '{{steps.a.outputs.result}} == tails' evaluated false"
    );
}

const DAG: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: d}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: t}
      - {name: b, template: t, depends: a}
      - {name: c, template: t, depends: a.Failed}
      - {name: e, template: t, depends: b}
  - name: t
    container: {image: x, command: [x]}
";

#[test]
fn a_dag_omits_what_may_not_run() {
    let fails_a = |pod: &tiphys_executor::launcher::PodSpec, now| match &*pod.node_id {
        id if id == names::node_id("d", "d.a") => failed(now, 3),
        _ => good(now),
    };
    let mut simulator = Simulator::new(&workflow(DAG), catalog(&[]), fails_a);
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Failed));
    let expected =
        [("d", "Failed"), ("d.a", "Failed"), ("d.b", "Omitted"), ("d.c", "Succeeded"), ("d.e", "Omitted")];
    let expected = expected.map(|(name, phase)| (name.to_owned(), phase)).into();
    assert_eq!(simulator.phases(), expected);
    assert_eq!(simulator.node("d.a").outputs.exit_code.as_deref(), Some("3"));
}

#[test]
fn a_retry_by_hand_runs_only_what_failed() {
    let mut times = 0;
    let flaky = |pod: &tiphys_executor::launcher::PodSpec, now| {
        if pod.node_id == names::node_id("d", "d.b") {
            times += 1;
            if times == 1 {
                return failed(now, 1);
            }
        }
        good(now)
    };
    let mut simulator = Simulator::new(&workflow(DAG), catalog(&[]), flaky);
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Failed));
    simulator.command(Verb::Retry { restart_successful: false, node_field_selector: String::new() });
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Succeeded));
    let ran = |name: &str| {
        let id = names::node_id("d", name);
        simulator.started.iter().filter(|pod| pod.node_id == id).count()
    };
    assert_eq!((ran("d.a"), ran("d.b"), ran("d.e")), (1, 2, 1));
    let keys: Vec<_> = simulator.started.iter().map(|pod| pod.key.clone()).collect();
    let mut unique = keys.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), keys.len(), "a retried pod has a key of its own");
}

#[test]
fn retries_stop_at_the_limit_and_wait_in_between() {
    let text = ONE.replace(
        "    container:",
        "    retryStrategy: {limit: 2, backoff: {duration: 10, factor: 2}}\n    container:",
    );
    let mut simulator = Simulator::new(&workflow(&text), catalog(&[]), |_, now| failed(now, 1));
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Failed));
    assert_eq!(simulator.started.len(), 3);
    assert_eq!(simulator.node("one").message, "No more retries left");
    // Three attempts of a second each, and waits of 10 and 20 seconds.
    let took = simulator.now.as_second() - common::time(0).as_second();
    assert_eq!(took, 33);
    assert_eq!(simulator.started[1].name, names::pod_name("one", "one(1)", "main"));
}

#[test]
fn a_suspended_node_waits_for_resume() {
    let text = STEPS.replace(
        "  - name: t\n    script: {image: x, command: [sh], source: 'echo heads'}",
        "  - name: t\n    suspend: {}",
    );
    let text = text.replace("      - {name: c, template: t, withItems: [x, {k: v}]}\n", "");
    let text = text.replace(", when: '{{steps.a.outputs.result}} == tails'", "");
    let text = text.replace(
        "    outputs: {parameters: [{name: all, valueFrom: {parameter: '{{steps.c.outputs.result}}'}}]}\n",
        "",
    );
    let mut simulator = run(&text);
    assert_eq!(simulator.phase(), Some(Phase::Running));
    assert_eq!(simulator.phases()["s[0].a"], "Running");
    for _ in 0..2 {
        simulator.command(Verb::Resume { node_field_selector: String::new() });
        simulator.run();
    }
    assert_eq!(simulator.phase(), Some(Phase::Succeeded));
}

const EXIT: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: x}
spec:
  entrypoint: main
  onExit: bye
  templates:
  - name: main
    container: {image: x, command: [x]}
  - name: bye
    container: {image: x, command: [x], args: ['{{workflow.status}}', '{{workflow.failures}}']}
";

#[test]
fn the_exit_handler_knows_how_it_ended() {
    let mut simulator = Simulator::new(&workflow(EXIT), catalog(&[]), |pod, now| match &*pod.name {
        "x" => failed(now, 1),
        _ => good(now),
    });
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Failed));
    let args = &simulator.started[1].container["args"];
    assert_eq!(args[0], "Failed");
    let twice: String = serde_json::from_str(args[1].as_str().unwrap()).unwrap();
    let list: serde_json::Value = serde_json::from_str(&twice).unwrap();
    assert_eq!(list[0]["displayName"], "x");
}

#[test]
fn stop_runs_the_exit_handler_and_terminate_does_not() {
    for (verb, handlers) in [(Verb::Stop { message: String::new() }, 1), (Verb::Terminate, 0)] {
        let mut simulator = Simulator::new(&workflow(EXIT), catalog(&[]), |_, now| good(now));
        simulator.plan(&[]);
        simulator.command(verb);
        simulator.run();
        assert_eq!(simulator.phase(), Some(Phase::Failed));
        assert_eq!(simulator.started.len(), 1 + handlers);
        assert!(simulator.state.message.starts_with("Stopped with strategy"));
        assert!(simulator.node("x").message.starts_with("Stopped with strategy"));
    }
}

#[test]
fn what_is_wrong_is_said_on_the_workflow() {
    for (from, to, phase, message) in [
        ("entrypoint: main", "entrypoint: mian", Phase::Failed, "did you mean 'main'"),
        ("{name: who, value: 'a {{workflow.uid}} b'}", "{name: who}", Phase::Failed, "has no value"),
        ("{{inputs.parameters.who}}", "{{inputs.parameters.whom}}", Phase::Error, "whom"),
        ("container:", "http: {url: x}\n    data:", Phase::Error, "TIP-EXE-100"),
        ("entrypoint: main", "workflowTemplateRef: {name: nowhere}", Phase::Error, "default/nowhere"),
    ] {
        let simulator = run(&ONE.replace(from, to));
        assert_eq!(simulator.phase(), Some(phase), "{to}");
        assert!(simulator.state.message.contains(message), "{}", simulator.state.message);
        assert!(simulator.started.is_empty());
    }
}

#[test]
fn a_deadline_stops_what_runs() {
    let text = ONE.replace("  entrypoint: main", "  entrypoint: main\n  activeDeadlineSeconds: 5");
    let mut simulator = Simulator::new(&workflow(&text), catalog(&[]), |_, now| good(now));
    simulator.takes = |_| std::time::Duration::from_secs(100);
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Failed));
    assert_eq!(simulator.stopped.len(), 1);
    assert_eq!(simulator.node("one").message, "Step exceeded its deadline");
}

#[test]
fn a_template_timeout_counts_from_the_first_pass() {
    let text = ONE.replace("    container:", "    timeout: 10s\n    container:");
    let mut simulator = Simulator::new(&workflow(&text), catalog(&[]), |_, now| good(now));
    simulator.takes = |_| std::time::Duration::from_secs(100);
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Failed));
    assert_eq!(simulator.now.as_second() - common::time(0).as_second(), 10);
}

#[test]
fn parallelism_holds_back_and_lets_go() {
    let text = STEPS
        .replace("    steps:", "    parallelism: 1\n    steps:")
        .replace("withItems: [x, {k: v}]", "withItems: [1, 2, 3, 4]");
    let mut simulator = Simulator::new(&workflow(&text), catalog(&[]), |pod, now| {
        let mut result = good(now);
        result.result = pod.capture_result.then(|| "1".to_owned());
        result
    });
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Succeeded));
    assert_eq!(simulator.started.len(), 5);
    // One after the other: each takes a second.
    assert_eq!(simulator.now.as_second() - common::time(0).as_second(), 5);
}

#[test]
fn a_workflow_that_calls_itself_for_ever_ends() {
    let text = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: r}
spec:
  entrypoint: main
  templates:
  - {name: main, steps: [[{name: again, template: main}]]}
";
    let simulator = run(text);
    assert_eq!(simulator.phase(), Some(Phase::Failed));
    let deepest = simulator.state.nodes.values().find(|node| node.phase == Phase::Error);
    assert!(deepest.unwrap().message.contains("100 deep"));
}

#[test]
fn a_step_that_is_out_of_time_has_failed_also_if_its_program_ends_well_after_that() {
    let text = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: main
  templates:
  - name: main
    timeout: 10s
    container: {image: x, command: [sleep, '20']}
";
    let mut simulator = Simulator::new(&workflow(text), catalog(&[]), |_, now| good(now));
    let started = simulator.plan(&[]).starts;
    simulator.now = simulator.now.checked_add(Duration::from_secs(11)).unwrap();
    assert_eq!(simulator.plan(&[]).stops, [started[0].key.clone()]);
    simulator.now = simulator.now.checked_add(Duration::from_secs(9)).unwrap();
    simulator.plan(&[common::seen(&started[0], good(simulator.now))]);
    assert_eq!(simulator.phase(), Some(Phase::Failed));
    let node = simulator.node("w");
    assert!(node.message.contains("deadline"), "{}", node.message);
}
