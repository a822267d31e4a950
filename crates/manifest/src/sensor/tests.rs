//! What Go's decoder accepts is accepted here.

use serde_json::json;

use super::*;

#[test]
fn null_and_absent_are_empty_and_scalars_are_text() {
    let spec: SensorSpec = serde_json::from_value(json!({
        "dependencies": [{
            "name": "d", "eventSourceName": "s", "eventName": "e",
            "filters": {"data": [{"path": "p", "type": "number", "value": [5, "6", true]}], "exprs": null}
        }],
        "triggers": [{
            "template": {"name": "t", "conditions": null, "log": {}, "argoWorkflow": {"group": "old", "parameters": null}},
            "parameters": [{"src": {"dependencyName": "d", "value": 3}, "dest": "x"}],
            "retryStrategy": {"duration": 1000, "factor": "1.5", "steps": 3}
        }],
        "errorOnFailedRound": null
    }))
    .unwrap();
    let filters = spec.dependencies[0].filters.clone().unwrap();
    assert_eq!(filters.data[0].value, ["5", "6", "true"]);
    assert!(filters.exprs.is_empty());
    let trigger = &spec.triggers[0];
    assert_eq!(trigger.parameters[0].src.as_ref().unwrap().value.as_deref(), Some("3"));
    assert_eq!(trigger.retry_strategy.as_ref().unwrap().steps, Some(3));
    let template = trigger.template.as_ref().unwrap();
    assert!(template.log.is_some() && template.argo_workflow.is_some());
    assert_eq!(template.conditions, "");
}

#[test]
fn what_is_written_comes_back() {
    let spec = json!({"triggers": [{"template": {"name": "t", "http": {"url": "u", "payload": [
        {"src": {"dependencyName": "d", "dataKey": "a"}, "dest": "b"}]}}}]});
    let typed: SensorSpec = serde_json::from_value(spec).unwrap();
    let again: SensorSpec = serde_json::from_value(serde_json::to_value(&typed).unwrap()).unwrap();
    assert_eq!(typed, again);
}
