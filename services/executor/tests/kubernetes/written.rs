//! Each option of a manifest is in the pod that the API server has, as it was written.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tiphys_core::{Clock as _, SystemClock};
use tiphys_executor::launcher::PodSpec;

use crate::common::{Simulator, catalog, good, workflow};
use crate::places::{CONTAINER, TEMPLATE, WHOLE, includes, lacking};
use crate::support::Stage;

/// What the workflows refer to, and the API server wants to know.
async fn prepare(stage: &Stage) {
    let account = json!({"metadata": {"name": "reader"}});
    let accounts = Api::<ServiceAccount>::namespaced(stage.client.clone(), &stage.namespace);
    accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
    let class = json!({"metadata": {"name": "wanted"}, "value": 7});
    let classes = Api::<PriorityClass>::all(stage.client.clone());
    classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
}

/// The first pod of a workflow.
fn planned(document: &Value, namespace: &str) -> PodSpec {
    let mut simulator = Simulator::new(document, catalog(&[]), |_, now| good(now));
    // The deadline of a pod is what is left of it.
    simulator.now = SystemClock.now();
    let spec = simulator.plan(&[]).starts.remove(0);
    PodSpec { namespace: namespace.to_owned(), ..spec }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_option_is_in_the_pod_as_it_was_written() {
    let Some(stage) = Stage::new().await else { return };
    prepare(&stage).await;
    let run = stage.run().await;
    for (text, place) in [(WHOLE, "/spec"), (TEMPLATE, "/spec/templates/0")] {
        let document = workflow(text);
        let spec = planned(&document, &stage.namespace);
        run.start(&spec).await;
        let pod = stage.object(&spec).await.unwrap();
        assert_eq!(lacking(&pod, document.pointer(place).unwrap()), [] as [String; 0]);
        // `podSpecPatch`.
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 7);
        let (main, written) =
            (&pod["spec"]["containers"][0], document.pointer("/spec/templates/0/container").unwrap());
        for name in CONTAINER.iter().filter(|name| written.get(**name).is_some()) {
            assert!(includes(&main[name], &written[name]), "{name}: {}, found {}", written[name], main[name]);
        }
        let deadline = pod["spec"]["activeDeadlineSeconds"].as_i64();
        if text == TEMPLATE {
            assert!(deadline.is_some_and(|seconds| (1..=600).contains(&seconds)), "{deadline:?}");
        } else {
            assert_eq!(deadline, None);
        }
        // Nobody schedules it.
        assert_eq!(pod["status"]["phase"], "Pending");
    }
    run.end().await;
}
