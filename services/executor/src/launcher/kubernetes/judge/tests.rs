use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-30T12:00:00Z";

fn seen(metadata: Value, status: Value, stopping: bool) -> Sight {
    let pod: Pod = serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap();
    sight(&pod, NOW.parse().unwrap(), stopping)
}

fn end(code: i32, reason: &str) -> Value {
    json!({"terminated": {
        "exitCode": code, "reason": reason, "startedAt": "2026-11-30T11:00:00Z", "finishedAt": "2026-11-30T11:00:01Z"
    }})
}

fn container(name: &str, state: Value) -> Value {
    json!({"name": name, "state": state, "image": "", "imageID": "", "ready": false, "restartCount": 0})
}

fn failed(containers: &[Value]) -> Value {
    json!({"phase": "Failed", "containerStatuses": containers})
}

/// Verdict, exit code and message of what ended.
fn told(sight: Sight) -> (PodVerdict, Option<i32>, String) {
    let Sight::Ended { result, .. } = sight else { panic!("{sight:?}") };
    (result.verdict, result.exit_code, result.message)
}

#[test]
fn a_container_ends_as_argo_says() {
    use PodVerdict::{Error, Failed, Succeeded};
    let main = |code, reason: &str| container("main", end(code, reason));
    let condition = json!([{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists"}]);
    let running = json!({"running": {"startedAt": NOW}});
    let rows = [
        (json!({"phase": "Succeeded", "containerStatuses": [main(0, "Completed")]}), Succeeded, Some(0), ""),
        (failed(&[main(3, "Error")]), Failed, Some(3), "main: Error (exit code 3)"),
        (failed(&[main(137, "OOMKilled")]), Failed, Some(137), "main: OOMKilled (exit code 137)"),
        (
            json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": "out of time",
                "containerStatuses": [main(143, "Error")]}),
            Failed,
            Some(143),
            "out of time",
        ),
        (
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "}),
            Failed,
            None,
            "The node was low on resource: memory. ",
        ),
        (json!({"phase": "Failed", "reason": "NodeLost"}), Error, None, "NodeLost"),
        (
            json!({"phase": "Failed", "conditions": condition, "containerStatuses": [container("main", running.clone())]}),
            Error,
            None,
            "pod deleted: DeletionByPodGC: PodGC: node no longer exists",
        ),
        (
            failed(&[main(0, "Completed"), container("side", end(1, "Error"))]),
            Failed,
            Some(0),
            "side: Error (exit code 1)",
        ),
        (failed(&[main(0, "Completed"), container("side", end(137, "Error"))]), Succeeded, Some(0), ""),
        (failed(&[main(0, "Completed"), container("side", end(143, "Error"))]), Succeeded, Some(0), ""),
        (
            failed(&[container("a", end(2, "Error")), main(3, "Error")]),
            Failed,
            Some(3),
            "main: Error (exit code 3)",
        ),
        (
            json!({"phase": "Failed", "initContainerStatuses": [container("fetch", end(7, "Error"))],
                "containerStatuses": [container("main", json!({"waiting": {"reason": "PodInitializing"}}))]}),
            Failed,
            None,
            "fetch: Error (exit code 7)",
        ),
        (
            json!({"phase": "Failed", "initContainerStatuses": [container("tiphys-runner", end(1, "Error"))]}),
            Error,
            None,
            "tiphys-runner: Error (exit code 1)",
        ),
        (
            failed(&[container(
                "main",
                json!({"waiting": {"reason": "ContainerCreating", "message": "no"}}),
            )]),
            Error,
            None,
            "Pod failed before main container starts due to ContainerCreating: no",
        ),
        (
            failed(&[main(137, "ContainerStatusUnknown")]),
            Error,
            Some(137),
            "main: ContainerStatusUnknown (exit code 137)",
        ),
        (json!({"phase": "Failed"}), Error, None, "the end of the main container was not seen"),
    ];
    for (status, verdict, code, message) in rows {
        let found = told(seen(json!({"name": "p"}), status.clone(), false));
        assert_eq!(found, (verdict, code, message.to_owned()), "{status}");
    }
}

#[test]
fn who_deleted_it_matters() {
    let metadata = json!({"name": "p", "deletionTimestamp": NOW});
    let status = failed(&[container("main", end(143, "Error"))]);
    let by_hand = told(seen(metadata.clone(), status.clone(), false));
    assert_eq!(by_hand, (PodVerdict::Error, Some(143), "pod deleted".into()));
    let by_us = told(seen(metadata.clone(), status, true));
    assert_eq!(by_us, (PodVerdict::Failed, Some(143), "main: Error (exit code 143)".into()));
    // It was done already.
    let well = json!({"phase": "Succeeded", "containerStatuses": [container("main", end(0, "Completed"))]});
    assert_eq!(told(seen(metadata.clone(), well, false)).0, PodVerdict::Succeeded);
    let evicted = json!({"phase": "Failed", "containerStatuses": [container("main", end(143, "Error"))],
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting"}]});
    let message = told(seen(metadata, evicted, false)).2;
    assert_eq!(message, "pod deleted: EvictionByEvictionAPI: Eviction API: evicting");
}

#[test]
fn a_main_container_that_ended_is_the_end() {
    let side = container("side", json!({"running": {"startedAt": NOW}}));
    let status = |code| json!({"phase": "Running", "containerStatuses": [side, container("main", end(code, "Error"))]});
    let Sight::Ended { result, others, put } = seen(json!({}), status(0), false) else { panic!() };
    assert_eq!((result.verdict, others, put), (PodVerdict::Succeeded, true, false));
    // When we ended the others, the pod's own words are ours.
    let ours = json!({"annotations": {"tiphys.dev/ended": "true"}});
    let over = json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": "x", "containerStatuses": [
        container("side", end(9, "Error")), container("main", end(0, "Completed"))]});
    assert_eq!(told(seen(ours, over, false)), (PodVerdict::Succeeded, Some(0), String::new()));
}

#[test]
fn what_a_pod_waits_for_is_told() {
    let waits = |reason: &str, message: &str| json!({"phase": "Pending", "containerStatuses": [container("main", json!({"waiting": {"reason": reason, "message": message}}))]});
    let rows = [
        (json!({"phase": "Pending"}), "", Trouble::None),
        (waits("ContainerCreating", ""), "", Trouble::None),
        (waits("ImagePullBackOff", "Back-off"), "ImagePullBackOff: Back-off", Trouble::Stuck),
        (waits("ErrImageNeverPull", ""), "ErrImageNeverPull", Trouble::Hopeless),
        (
            waits("CreateContainerConfigError", "secret \"s\" not found"),
            "CreateContainerConfigError: secret \"s\" not found; a secret of the manifests that Tiphys reads is not copied into \
             the cluster: apply it with kubectl in namespace shop",
            Trouble::Stuck,
        ),
        (
            waits("CreateContainerConfigError", "couldn't find key a in Secret shop/s"),
            "CreateContainerConfigError: couldn't find key a in Secret shop/s",
            Trouble::Stuck,
        ),
        (
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/1 nodes are available"}]}),
            "Unschedulable: 0/1 nodes are available",
            Trouble::None,
        ),
    ];
    for (status, message, trouble) in rows {
        let expected = Sight::Pending { message: message.into(), trouble };
        assert_eq!(seen(json!({"namespace": "shop"}), status.clone(), false), expected, "{status}");
    }
}

#[test]
fn a_running_pod_tells_where_it_is() {
    let main = container("main", json!({"running": {"startedAt": "2026-11-30T11:00:00Z"}}));
    let status = |ready: &str| {
        json!({"phase": "Running", "podIP": "10.0.0.7", "containerStatuses": [main],
            "conditions": [{"type": "Ready", "status": ready}]})
    };
    for (text, ready) in [("True", true), ("False", false)] {
        let expected = Sight::Running {
            started: "2026-11-30T11:00:00Z".parse().unwrap(),
            ready,
            address: Some("10.0.0.7".into()),
        };
        assert_eq!(seen(json!({}), status(text), false), expected);
    }
}

#[test]
fn a_runner_says_what_became_of_its_step() {
    let exit = json!({"started": NOW, "finished": NOW, "exitCode": 0, "verdict": "succeeded", "message": "",
        "result": "r", "parameters": {"p": "v"},
        "artifacts": [{"name": "a", "key": "k", "archive": "tar", "file": "0"}]});
    let report = |exit: &Value| {
        json!({"report": {"exit": exit, "receipts": [{"size": 3, "sha256": "ff"}]}}).to_string()
    };
    let ends = |code: i32, reason: &str, message: &str| {
        let mut state = end(code, reason);
        state["terminated"]["message"] = json!(message);
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({"phase": phase, "containerStatuses": [container("main", state)]});
        seen(json!({"annotations": {"tiphys.dev/runner": "dial"}}), status, false)
    };
    let Sight::Ended { result, put, .. } = ends(0, "Completed", &report(&exit)) else { panic!() };
    assert_eq!((result.verdict, result.result.as_deref(), put), (PodVerdict::Succeeded, Some("r"), false));
    assert_eq!(result.parameters["p"], "v");
    assert_eq!((result.artifacts[0].key.as_str(), result.artifacts[0].size), ("k", 3));
    let Sight::Ended { put, .. } = ends(0, "Completed", "\"put\"") else { panic!() };
    assert!(put);
    let mut bad = exit.clone();
    (bad["exitCode"], bad["verdict"], bad["message"]) =
        (json!(137), json!("failed"), json!("main: Error (exit code 137)"));
    assert_eq!(told(ends(137, "Error", &report(&bad))).2, "main: Error (exit code 137)");
    assert_eq!(told(ends(137, "OOMKilled", &report(&bad))).2, "main: OOMKilled (exit code 137)");
    (bad["verdict"], bad["message"]) = (json!("error"), json!("wait: Error (exit code 64): no file"));
    assert_eq!(
        told(ends(64, "Error", &report(&bad))),
        (PodVerdict::Error, Some(137), "wait: Error (exit code 64): no file".into())
    );
    // Killed with its step, it reports nothing.
    assert_eq!(
        told(ends(137, "OOMKilled", "")),
        (PodVerdict::Failed, Some(137), "main: OOMKilled (exit code 137)".into())
    );
    assert_eq!(told(ends(0, "Completed", "")).0, PodVerdict::Error);
    // A step without a runner may write there what it likes.
    let mut state = end(0, "Completed");
    state["terminated"]["message"] = json!(report(&bad));
    let status = json!({"phase": "Succeeded", "containerStatuses": [container("main", state)]});
    assert_eq!(told(seen(json!({}), status, false)), (PodVerdict::Succeeded, Some(0), String::new()));
}

#[test]
fn what_could_not_start_did_not_run_since_1970() {
    let epoch = "1970-01-01T00:00:00Z";
    let state = json!({"terminated": {"exitCode": 128, "reason": "StartError", "startedAt": epoch, "finishedAt": epoch}});
    let mut status = failed(&[container("main", state)]);
    status["startTime"] = json!("2026-11-30T11:00:00Z");
    let Sight::Ended { result, .. } = seen(json!({}), status, false) else { panic!("it has ended") };
    assert_eq!(result.started, Some("2026-11-30T11:00:00Z".parse().unwrap()));
    assert_eq!(result.finished, NOW.parse().unwrap());
}
