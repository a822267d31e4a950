//! What the API server does not do at once is asked for again: the token of the account, and what is done with it.

use std::time::Duration;

use serde_json::json;
use tiphys_executor::launcher::resource::Action;
use tiphys_servers::{Fault, Flaky};

use crate::stage::{Stage, spec, stage};

/// What may happen to a request, and whether it is asked for again then.
fn faults() -> [(&'static str, Fault, bool); 6] {
    [
        ("limited", Fault::TooMany(1), true),
        ("broken", Fault::Status(500), true),
        ("unavailable", Fault::Status(503), true),
        ("unheard", Fault::Unheard, true),
        ("unanswered", Fault::Unanswered, true),
        ("late", Fault::Late(Duration::from_secs(2)), false),
    ]
}

/// Runs each action while its own requests and those for the token meet the fault twice.
async fn through(stage: &Stage, name: &str, fault: &Fault, again: bool) {
    let flaky = Flaky::before(stage.cluster);
    let object = |data: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": data}});
    for (action, verb, data) in [
        (Action::Create, "create", "made"),
        (Action::Apply, "patch", "applied"),
        (Action::Get, "get", "applied"),
        (Action::Delete, "delete", ""),
    ] {
        // A launcher of its own, as the token is kept.
        let mut run = stage.run_through(&flaky).await;
        for (verb, resource) in [("create", "serviceaccounts/token"), (verb, "configmaps")] {
            let concerns = move |request: &tiphys_servers::kubernetes::Request| {
                request.verb == verb && request.resource == resource
            };
            flaky.inject(2, fault.clone(), concerns);
        }
        let before = flaky.seen().len();
        let key = run.start(&format!("{name}-{verb}"), &spec(action, object(data))).await.unwrap();
        let result = run.ended(&key).await;
        assert_eq!(result.message, "", "{name} {verb}");
        let asked = |verb: &str, resource: &str| {
            let seen = flaky.seen().split_off(before);
            seen.iter().filter(|request| request.verb == verb && request.resource == resource).count()
        };
        // The fault was met.
        let least = if again { 3 } else { 1 };
        assert!(asked("create", "serviceaccounts/token") >= least, "{name} {verb}");
        assert!(asked(verb, "configmaps") >= least, "{name} {verb}");
        let live = stage.get("configmaps", name).await;
        assert_eq!(live.map_or(String::new(), |live| live["data"]["a"].as_str().unwrap().to_owned()), data);
        flaky.behave();
    }
}

#[tokio::test]
async fn what_an_api_server_refuses_for_the_moment_is_asked_for_again() {
    let Some(stage) = stage(&["configmaps"]).await else { return };
    for (name, fault, again) in faults() {
        through(&stage, name, &fault, again).await;
    }
}
