//! Whole decisions.

use serde_json::json;
use tiphys_core::{FiringId, Outcome, Trace};

use super::State;
use crate::testing::{dependency, event, feed, sensor, trigger, wrong};

#[test]
fn one_event_is_judged_for_every_trigger_and_dependency() {
    let mut picky = dependency("d");
    picky["name"] = "picky".into();
    picky["filters"] = json!({"data": [{"path": "p", "type": "string", "value": ["high"]}]});
    let sensor = sensor(json!({
        "dependencies": [dependency("d"), picky, dependency("other")],
        "triggers": [trigger("one", "d"), trigger("two", "picky"), trigger("both", "d && picky"),
            trigger("either", "d || picky"), trigger("none", "other")]}));
    let mut state = State::new();
    let low = feed(&sensor, &mut state, 7, event("d", "e1", r#"{"p":"low"}"#));
    let verdict = low.verdict.unwrap();
    assert_eq!((verdict.sequence, verdict.event.unwrap().0.as_str()), (7, "e1"));
    let rows: Vec<_> = (verdict.triggers.iter())
        .map(|row| {
            let word = match &row.outcome {
                Outcome::Fired { .. } => "fired",
                Outcome::Filtered => "filtered",
                Outcome::Waiting { .. } => "waiting",
                other => panic!("{other:?}"),
            };
            (row.trigger.as_str(), row.dependency.as_str(), word)
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("one", "d", "fired"),
            ("two", "picky", "filtered"),
            ("both", "d", "waiting"),
            ("both", "picky", "filtered"),
            ("either", "d", "fired"),
            ("either", "picky", "filtered"),
        ]
    );
    // One event may satisfy both sides of a condition.
    let high = feed(&sensor, &mut state, 8, event("d", "e2", r#"{"p":"high"}"#));
    let both = high.firings.iter().find(|firing| firing.trigger == "both").unwrap();
    assert_eq!(both.events.len(), 2);
    assert!(both.events.iter().all(|event| event.id.0 == "e2"));
}

#[test]
fn a_firing_brings_the_one_that_follows_when_it_is_given_up() {
    let parameter = |key: &str| json!([{"src": {"dependencyName": "d", "dataKey": key}, "dest": "message"}]);
    let given = |key: &str| {
        let mut trigger = trigger("t", "");
        trigger["dlqTrigger"] =
            json!({"template": {"name": "told", "slack": {"parameters": parameter(key)}}});
        let sensor = sensor(json!({"dependencies": [dependency("d")], "triggers": [trigger]}));
        feed(&sensor, &mut State::new(), 1, event("d", "e1", r#"{"p":"x"}"#)).firings.remove(0)
    };
    let firing = given("p");
    let next = firing.dead_letter.as_ref().unwrap();
    assert_eq!((next.trigger.as_str(), next.parameters[0].value.as_str()), ("told", "\"x\""));
    assert!(firing.parameters.is_empty());
    assert_ne!(next.id, firing.id);
    // One that cannot be made does not hold the first.
    assert!(given("absent").dead_letter.is_none());
}

#[test]
fn a_firing_has_the_identity_of_its_event_set() {
    let sensor = sensor(json!({"dependencies": [dependency("d")], "triggers": [trigger("t", "")]}));
    let mut sent = event("d", "e1", "{}");
    sent.attributes.insert("traceparent".into(), "00-1".into());
    sent.attributes.insert("nativeid".into(), "n".into());
    let decision = feed(&sensor, &mut State::new(), 1, sent.clone());
    let firing = &decision.firings[0];
    assert_eq!(firing.id, FiringId::derive("ns", "watch", "t", &[("d", &sent.id)], 0));
    assert_eq!((firing.sensor_uid.as_str(), firing.replay), ("uid-1", 0));
    assert_eq!((firing.decided, firing.received), (sent.received, sent.received));
    assert_eq!(firing.attributes.len(), 1);
    assert_eq!(firing.trigger_spec, trigger("t", ""));
    // However often it is delivered, it is the same; a replay is another.
    for sequence in [1, 1, 5] {
        let again = feed(&sensor, &mut State::new(), sequence, sent.clone());
        assert_eq!(again.firings[0].id, firing.id);
    }
    sent.attributes.insert("replay".into(), "2".into());
    let replayed = feed(&sensor, &mut State::new(), 9, sent.clone());
    assert_eq!(replayed.firings[0].id, FiringId::derive("ns", "watch", "t", &[("d", &sent.id)], 2));
    assert_eq!(replayed.verdict.unwrap().replay, 2);
}

const OUTSIDE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203332-01";

#[test]
fn a_traced_decision_stands_between_its_events_and_its_firing() {
    let mut with_dlq = trigger("t", "a && b");
    with_dlq["dlqTrigger"] = trigger("told", "");
    let mut sensor =
        sensor(json!({"dependencies": [dependency("a"), dependency("b")], "triggers": [with_dlq]}));
    let decide = |sensor: &crate::compile::Compiled| {
        let mut state = State::new();
        for (sequence, (name, trace)) in [("b", OTHER), ("a", OUTSIDE)].into_iter().enumerate() {
            let mut sent = event(name, name, "{}");
            sent.attributes.insert("traceparent".into(), trace.into());
            sent.attributes.insert("tracestate".into(), name.into());
            let mut decision = feed(sensor, &mut state, sequence as u64 + 1, sent);
            if let Some(firing) = decision.firings.pop() {
                return (firing, decision.spans);
            }
        }
        panic!("nothing was fired");
    };
    let (plain, spans) = decide(&sensor);
    // The context of one event, not a mixture of two.
    assert_eq!(
        (plain.attributes["traceparent"].as_str(), plain.attributes["tracestate"].as_str()),
        (OUTSIDE, "a")
    );
    assert!(spans.is_empty());
    sensor.traced = true;
    let (traced, spans) = decide(&sensor);
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!(span.name, "decide watch/t");
    assert_eq!(span.parent.unwrap().to_string(), OUTSIDE);
    assert_eq!(span.links, [Trace::read(OTHER).unwrap()]);
    assert_eq!(traced.attributes["traceparent"], span.trace.to_string());
    assert_eq!(traced.dead_letter.as_ref().unwrap().attributes, traced.attributes);
    // Nobody's identity depends on it, and judged again it is the same.
    assert_eq!(traced.id, plain.id);
    assert_eq!(decide(&sensor), (traced, spans));
}

#[test]
fn a_failing_trigger_does_not_hold_the_others() {
    let mut failing = trigger("failing", "");
    failing["template"]["k8s"] =
        json!({"parameters": [{"src": {"dependencyName": "d", "dataKey": "none"}, "dest": "x"}]});
    let sensor = sensor(json!({"dependencies": [dependency("d")],
        "triggers": [failing, trigger("sound", "")]}));
    let decision = feed(&sensor, &mut State::new(), 1, event("d", "e1", "{}"));
    assert_eq!(decision.firings.len(), 1);
    assert_eq!(decision.firings[0].trigger, "sound");
    assert_eq!(decision.dead[0].trigger.as_deref(), Some("failing"));
}

#[test]
fn a_condition_that_cannot_be_fired_takes_its_events_along() {
    let mut failing = trigger("t", "a && b");
    failing["template"]["k8s"] =
        json!({"parameters": [{"src": {"dependencyName": "a", "dataKey": "none"}, "dest": "x"}]});
    let sensor = sensor(json!({"dependencies": [dependency("a"), dependency("b")], "triggers": [failing]}));
    let mut state = State::new();
    feed(&sensor, &mut state, 1, event("a", "a1", "{}"));
    let decision = feed(&sensor, &mut state, 2, event("b", "b1", "{}"));
    assert_eq!(decision.dead[0].events.len(), 2);
    assert!(state["t"].held.is_empty());
    let Outcome::Dead { consumed, .. } = &decision.verdict.unwrap().triggers[0].outcome else { panic!() };
    assert_eq!(*consumed, ["a=a1", "b=b1"]);
}

/// The Sensor of the seed system, written anew: legacy keys, a fixed name, the whole event as one parameter.
#[test]
fn the_whole_event_reaches_a_workflow_with_every_digit() {
    let sensor = sensor(json!({
        "template": {"serviceAccountName": "operate-workflow-sa"},
        "dependencies": [{"name": "test-dep", "eventSourceName": "webhook", "eventName": "example"}],
        "triggers": [{"template": {"name": "argo-workflow-trigger", "argoWorkflow": {
            "group": "argoproj.io", "version": "v1alpha1", "resource": "workflows",
            "operation": "submit",
            "source": {"resource": {
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
                "metadata": {"name": "stop-offender", "namespace": "argo"},
                "spec": {"entrypoint": "stop",
                    "arguments": {"parameters": [{"name": "falco_event", "value": "{}"}]}}}},
            "parameters": [{"src": {"dependencyName": "test-dep"},
                "dest": "spec.arguments.parameters.0.value"}]}}}]}));
    let data = r#"{"header":{"Content-Type":["application/json"]},"body":{"output_fields":{"evt.time":1795348800123456789,"k8s.pod.name":"it's \"quoted\""}}}"#;
    let mut alert = event("example", "e1", data);
    alert.origin.source = "webhook".into();
    let decision = feed(&sensor, &mut State::new(), 1, alert);
    let firing = &decision.firings[0];
    assert_eq!(firing.parameters[0].dest, "spec.arguments.parameters.0.value");
    assert_eq!(firing.trigger_spec["template"]["argoWorkflow"]["resource"], "workflows");
    let text: String = serde_json::from_str(&firing.parameters[0].value).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    let encoded = whole["data"].as_str().unwrap();
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).unwrap();
    assert_eq!(decoded, data.as_bytes());
    assert_eq!(whole["context"]["source"], "webhook");
}

#[test]
fn structure_is_checked_when_the_manifest_loads() {
    let sound = json!({"dependencies": [dependency("d")], "triggers": [trigger("t", "")]});
    let cases = [
        ("/dependencies", json!([]), "no dependency"),
        ("/triggers", json!([]), "no trigger"),
        ("/triggers", json!([trigger("t", ""), trigger("t", "")]), "two triggers"),
        ("/dependencies", json!([dependency("d"), dependency("d")]), "two dependencies"),
        ("/dependencies/0/eventName", json!(""), "no eventName"),
        ("/triggers/0/template/name", json!(""), "no name"),
    ];
    for (pointer, value, message) in cases {
        let mut spec = sound.clone();
        *spec.pointer_mut(pointer).unwrap() = value;
        let found = wrong(spec);
        assert!(found.iter().any(|one| one.message.contains(message)), "{message}: {found:?}");
        assert_eq!((found[0].file.as_str(), found[0].object.as_str()), ("sensor.yaml", "Sensor/watch"));
    }
}
