//! A crash at any moment: the journal, cut anywhere, goes on to the same end, and what had a result does not
//! run again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(unreachable_pub, dead_code, reason = "shared by several tests, each using its part")]
mod common;

use std::collections::BTreeSet;

use common::{Simulator, catalog, failed, good, workflow};
use tiphys_core::Timestamp;
use tiphys_core::workflow::WorkflowRecord;
use tiphys_executor::journal;
use tiphys_executor::launcher::{PodResult, PodSpec};

const WORKFLOWS: [&str; 3] = [
    "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: mixed}
spec:
  entrypoint: main
  onExit: bye
  templates:
  - name: main
    dag:
      tasks:
      - {name: list, template: t}
      - {name: each, template: inner, depends: list, withParam: '{{tasks.list.outputs.result}}',
         arguments: {parameters: [{name: num, value: '{{item}}'}]}}
      - {name: flaky, template: flaky, depends: list}
      - {name: broken, template: t, depends: list, when: '{{tasks.list.outputs.result}} != x'}
      - {name: after, template: t, depends: 'each && flaky && (broken || broken.Failed)'}
      - {name: never, template: t, depends: 'broken.Succeeded'}
  - name: inner
    inputs: {parameters: [{name: num}]}
    parallelism: 1
    steps:
    - - {name: a, template: t, withSequence: {count: '2'}}
    - - {name: b, template: t, hooks: {exit: {template: t}}}
  - name: flaky
    retryStrategy: {limit: 3, backoff: {duration: '5'}}
    container: {image: x, command: [flaky]}
  - name: t
    container: {image: x, command: [x]}
  - name: bye
    container: {image: x, command: [x], args: ['{{workflow.status}}']}
",
    "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: late}
spec:
  entrypoint: main
  activeDeadlineSeconds: 3
  templates:
  - name: main
    steps: [[{name: a, template: t}], [{name: b, template: t}], [{name: c, template: t}], [{name: d, template: t}]]
  - name: t
    container: {image: x, command: [x]}
",
    "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: pause}
spec:
  entrypoint: main
  templates:
  - name: main
    steps: [[{name: a, template: wait}], [{name: b, template: t, continueOn: {failed: true}}], [{name: c, template: t}]]
  - name: wait
    suspend: {duration: 20}
  - name: t
    container: {image: x, command: [x]}
",
];

fn act(pod: &PodSpec, now: Timestamp) -> PodResult {
    let mut result = good(now);
    if pod.node_id == tiphys_executor::names::node_id("mixed", "mixed.flaky(0)")
        || pod.node_id == tiphys_executor::names::node_id("mixed", "mixed.broken")
        || pod.node_id == tiphys_executor::names::node_id("pause", "pause[1].b")
    {
        result = failed(now, 1);
    }
    result.result = pod.capture_result.then(|| "[1, 2]".to_owned());
    result
}

/// Keys of the pods whose end stands in the journal.
fn ended(records: &[Vec<u8>]) -> BTreeSet<String> {
    let mut pods = std::collections::BTreeMap::new();
    let mut ended = BTreeSet::new();
    for payload in records {
        let Ok(WorkflowRecord::Progress { progress }) = journal::parse(payload) else {
            continue;
        };
        for change in progress["changes"].as_array().unwrap() {
            if change["change"] == "node" && change["pod"].is_string() {
                pods.insert(change["id"].clone().to_string(), change["pod"].to_string());
            }
            let over = ["Succeeded", "Failed", "Error"].iter().any(|p| change["phase"] == *p);
            if change["change"] == "update"
                && over
                && let Some(pod) = pods.get(&change["id"].to_string())
            {
                ended.insert(pod.clone());
            }
        }
    }
    ended
}

#[test]
fn a_journal_cut_anywhere_goes_on_to_the_same_end() {
    let mut cuts = 0;
    for text in WORKFLOWS {
        let object = workflow(text);
        let mut whole = Simulator::new(&object, catalog(&[]), act);
        whole.run();
        assert!(whole.state.is_over(), "{:?}", whole.phases());
        let records = whole.journal.len();
        for cut in 1..=records {
            let mut again = Simulator::new(&object, catalog(&[]), act);
            again.journal.clone_from(&whole.journal);
            let mut again = again.recovered(cut);
            let before = ended(&again.journal);
            again.run();
            assert_eq!(again.phases(), whole.phases(), "cut at {cut}");
            assert_eq!(again.phase(), whole.phase());
            let twice = again.started.iter().find(|pod| before.contains(&format!("\"{}\"", pod.key)));
            assert!(twice.is_none(), "cut at {cut}: {twice:?} runs again");
            cuts += 1;
        }
    }
    assert!(cuts > 20, "{cuts}");
}
