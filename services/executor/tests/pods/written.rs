//! Each option of a manifest reaches the launcher as it was written.

use serde_json::{Value, json};
use tiphys_executor::launcher::{PodResult, PodSpec};

use crate::common::{Simulator, catalog, failed, workflow};
use crate::places::{CONTAINER, PLACES, TEMPLATE, WHOLE, lacking};
use crate::run;

/// What a launcher is given, in the form of a pod.
fn pod(spec: &PodSpec) -> Value {
    let mut pod = Value::Object(spec.pod.spec.clone());
    let containers = [&spec.container].into_iter().chain(&spec.pod.sidecars);
    pod["containers"] = containers.cloned().collect();
    json!({"metadata": {"labels": spec.labels, "annotations": spec.annotations}, "spec": pod})
}

#[test]
fn each_option_reaches_the_launcher_as_it_was_written() {
    let mut named = Vec::new();
    for (text, place) in [(WHOLE, "/spec"), (TEMPLATE, "/spec/templates/0")] {
        let document = workflow(text);
        let holder = document.pointer(place).unwrap();
        named.extend(holder.as_object().unwrap().keys().cloned());
        let simulator = run(text);
        let spec = &simulator.started[0];
        assert_eq!(lacking(&pod(spec), holder), [] as [String; 0]);
        assert_eq!(spec.pod.patches, [json!({"terminationGracePeriodSeconds": 7})]);
        let main = document.pointer("/spec/templates/0/container").unwrap();
        for name in CONTAINER.iter().filter(|name| main.get(**name).is_some()) {
            assert_eq!(spec.container[name], main[name], "{name}");
        }
    }
    let missing: Vec<_> =
        PLACES.iter().filter(|(name, _)| !named.iter().any(|other| other == name)).collect();
    assert!(missing.is_empty(), "no workflow of this test names {missing:?}");
}

const RETRIED: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: r}
spec:
  entrypoint: main
  templates:
  - name: main
    retryStrategy: {limit: 3, affinity: {nodeAntiAffinity: {}}}
    container: {image: x, command: [x]}
";

/// The hosts that each attempt stays away from, where every attempt fails on the next of `hosts`.
fn avoided(text: &str, hosts: &[Option<&str>]) -> Vec<Vec<String>> {
    let mut hosts = hosts.iter().cycle();
    let mut simulator = Simulator::new(&workflow(text), catalog(&[]), move |_, now| PodResult {
        host: hosts.next().and_then(|host| host.map(str::to_owned)),
        ..failed(now, 1)
    });
    simulator.run();
    simulator.started.iter().map(|spec| spec.pod.avoid.clone()).collect()
}

#[test]
fn an_attempt_stays_away_from_hosts_where_earlier_ones_failed_if_the_retry_strategy_says_so() {
    let hosts = [Some("b"), Some("a"), None];
    assert_eq!(avoided(RETRIED, &hosts), [vec![], vec!["b"], vec!["a", "b"], vec!["a", "b"]]);
    assert_eq!(
        avoided(RETRIED, &[Some("a")]),
        [vec![], vec!["a"], vec!["a"], vec!["a"]],
        "each is named once"
    );
    // The workflow's strategy counts where the template has none.
    let own = "    retryStrategy: {limit: 3, affinity: {nodeAntiAffinity: {}}}\n";
    let of_whole = RETRIED.replace(own, "").replace("  templates:", &format!("{}  templates:", &own[2..]));
    assert_eq!(avoided(&of_whole, &hosts), [vec![], vec!["b"], vec!["a", "b"], vec!["a", "b"]]);
    let without = RETRIED.replace(", affinity: {nodeAntiAffinity: {}}", "");
    assert_eq!(avoided(&without, &hosts), vec![Vec::<String>::new(); 4]);
}
