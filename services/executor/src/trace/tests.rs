use super::*;

use serde_json::json;
use tiphys_core::workflow::Submission;
use tiphys_core::{FiringId, Timestamp};

use crate::journal::Update;
use crate::node::Target;

const ABOVE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn state(annotations: serde_json::Value) -> State {
    let submission = Submission {
        version: 1,
        uid: "uid-1".into(),
        namespace: "ns".into(),
        name: "wf".into(),
        workflow: json!({"metadata": {"annotations": annotations}, "spec": {"entrypoint": "main", "templates": []}}),
        at: at(0),
        by: "sensor/ns/s".into(),
        firing: Some(FiringId("f".into())),
    };
    let mut state = State::submitted(submission, 1);
    state.change(&Change::Begun(Box::default()), at(1));
    state
}

fn pod(name: &str) -> Change {
    Change::Node(Box::new(Node {
        id: format!("wf-{name}"),
        name: format!("wf.{name}"),
        display_name: name.into(),
        kind: NodeKind::Pod,
        target: Target { template: "t".into(), ..Target::default() },
        phase: Phase::Pending,
        boundary: None,
        message: String::new(),
        started: at(1),
        finished: None,
        inputs: std::sync::Arc::default(),
        outputs: std::sync::Arc::default(),
        children: Vec::new(),
        outbound: Vec::new(),
        pod: Some(PodKey::derive("uid-1", name, 0)),
        pod_name: Some(name.into()),
        attempt: None,
        wants_result: false,
        exit: false,
        complete: false,
        stopping: None,
        daemon: None,
        host: None,
        depth: 0,
    }))
}

fn end(name: &str, phase: Phase, message: &str) -> Change {
    let (phase, message) = (Some(phase), Some(message.into()));
    let times = (Some(at(2)), Some(at(5)));
    Change::Update(Box::new(Update {
        id: format!("wf-{name}"),
        phase,
        message,
        started: times.0,
        finished: times.1,
        ..Update::default()
    }))
}

#[test]
fn without_a_collector_a_step_stands_below_what_caused_its_workflow() {
    let caused = state(json!({ANNOTATION: ABOVE}));
    let place = Place::of(&caused).unwrap();
    assert_eq!(place.step(&PodKey("00000000000000aa".into())).to_string(), ABOVE);
    assert_eq!(Place::of(&state(json!({}))), None);
    assert_eq!(Place::of(&state(json!({ANNOTATION: "nothing of the kind"}))), None);
}

#[test]
fn a_step_is_told_when_its_end_is_recorded() {
    let mut state = state(json!({}));
    let own = Trace { id: 1, span: 2, sampled: true };
    let begin = [pod("a"), pod("b")];
    begin.iter().for_each(|change| state.change(change, at(1)));
    assert_eq!(step_spans(&state, &begin, own), []);
    let running = Update { id: "wf-a".into(), phase: Some(Phase::Running), ..Update::default() };
    let news = [end("b", Phase::Failed, "Error (exit code 3)"), Change::Update(Box::new(running))];
    news.iter().for_each(|change| state.change(change, at(6)));
    let spans = step_spans(&state, &news, own);
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    let key = PodKey::derive("uid-1", "b", 0);
    // The key that the step knows is the span.
    assert_eq!(span.trace.to_string(), format!("00-{:032x}-{key}-01", 1));
    assert_eq!((span.parent, span.name.as_str()), (Some(own), "step b"));
    assert_eq!((span.begun, span.ended), (at(2), at(5)));
    assert_eq!(span.error.as_deref(), Some("Error (exit code 3)"));
    assert_eq!(Place::Span { parent: None, own }.step(&key), span.trace);
}

#[test]
fn each_run_of_a_workflow_is_a_span_of_its_own() {
    let mut state = state(json!({ANNOTATION: ABOVE}));
    let (root, first) = identities(&state);
    assert_eq!(identities(&state), (root, first));
    state.change(&Change::Ended { phase: Phase::Failed, message: "no".into() }, at(9));
    let parent = caused(&state).unwrap();
    let span = workflow_span(&state, Some(parent), parent.child(first));
    assert_eq!((span.begun, span.ended, span.error.as_deref()), (at(1), at(9), Some("no")));
    assert_eq!((span.name.as_str(), span.parent), ("workflow wf", Some(parent)));
    state.generation = 1;
    let (again, second) = identities(&state);
    assert_eq!(again, root);
    assert_ne!(second, first);
}
