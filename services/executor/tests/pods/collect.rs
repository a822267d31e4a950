//! `podGC`: which pods go by themselves, and how much later.

use std::time::Duration;

use tiphys_executor::launcher::PodGc;
use tiphys_executor::node::Phase;
use tiphys_executor::status;

use crate::run;

/// What becomes of a pod with the label `keep: \"no\"`, and of one without.
fn collected(gc: &str) -> Result<[(PodGc, Duration); 2], String> {
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: w}}\nspec:\n  entrypoint: main\n  podGC: {gc}
  templates:
  - name: main
    steps: [[{{name: a, template: a}}], [{{name: b, template: b}}]]
  - name: a
    metadata: {{labels: {{keep: 'no'}}}}
    container: {{image: x, command: [x]}}
  - name: b
    container: {{image: x, command: [x]}}
"
    );
    let simulator = run(&text);
    if simulator.phase() != Some(Phase::Succeeded) {
        return Err(simulator.state.nodes.values().map(|node| node.message.clone()).collect());
    }
    let object = status::object(&simulator.state).to_string();
    assert!(!object.contains("SpecWarning"), "{object}");
    let [a, b] = &simulator.started[..] else { panic!("two pods") };
    Ok([a, b].map(|spec| (spec.pod.gc, spec.pod.gc_delay)))
}

#[test]
fn pods_go_as_pod_gc_says() {
    let at_once = Duration::ZERO;
    let later = Duration::from_secs(90);
    let kept = (PodGc::Kept, at_once);
    for (gc, expected) in [
        ("{}", [(PodGc::Later, at_once); 2]),
        ("{strategy: OnPodCompletion}", [(PodGc::OnCompletion, at_once); 2]),
        ("{strategy: OnPodSuccess, deleteDelayDuration: 1m30s}", [(PodGc::OnSuccess, later); 2]),
        ("{strategy: OnWorkflowSuccess, deleteDelayDuration: 1m30s}", [(PodGc::Later, at_once); 2]),
        (
            "{strategy: OnPodSuccess, deleteDelayDuration: 90s, labelSelector: {matchLabels: {keep: 'no'}}}",
            [(PodGc::OnSuccess, later), kept],
        ),
        (
            "{strategy: OnWorkflowCompletion, labelSelector: {matchExpressions: [{key: keep, operator: DoesNotExist}]}}",
            [kept, (PodGc::Later, at_once)],
        ),
        // Argo's own labels count as well.
        (
            "{strategy: OnPodCompletion, labelSelector: {matchLabels: {workflows.argoproj.io/workflow: w}}}",
            [(PodGc::OnCompletion, at_once); 2],
        ),
    ] {
        assert_eq!(collected(gc), Ok(expected), "{gc}");
    }
}

#[test]
fn what_pod_gc_may_not_say_is_told() {
    for (gc, said) in [
        (
            "{strategy: OnPodSuccess, deleteDelayDuration: soon}",
            "podGC.deleteDelayDuration: `soon` is no duration",
        ),
        (
            "{strategy: OnPodSuccess, labelSelector: {matchExpressions: [{key: a, operator: Like}]}}",
            "podGC.labelSelector: 'Like' is none of In, NotIn",
        ),
    ] {
        let why = collected(gc).unwrap_err();
        assert!(why.contains(said), "{gc}: {why}");
    }
}
