//! A process that was stopped or cut off, and goes on: what another wrote meanwhile stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tiphys_bus::{Acked, Bus, BusError, Layer, Publish, streams};

use crate::stage::{ARGO, Projection, Stage, within};

/// A bus over which a process may fall silent: the others do not hear that it is there, and it goes on all the same.
struct Mute {
    inner: Arc<dyn Bus>,
    silent: AtomicBool,
}

#[async_trait]
impl Layer for Mute {
    async fn enter(&self) -> Result<&dyn Bus, BusError> {
        Ok(self.inner.as_ref())
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        if self.silent.load(Ordering::Relaxed) && message.subject.starts_with("claims.") {
            return Err(BusError::Unavailable { reason: "the test wants silence".into() });
        }
        self.inner.publish(message).await
    }
}

impl Mute {
    fn on(stage: &Stage) -> Arc<Self> {
        Arc::new(Self { inner: stage.bus.clone(), silent: AtomicBool::new(false) })
    }
}

#[tokio::test]
async fn what_another_wrote_is_not_overwritten_by_one_that_was_cut_off() {
    let Some(stage) = Stage::new().await else { return };
    let (bus, old) = (Mute::on(&stage), Arc::new(Projection::default()));
    let first = stage.run_on(stage.config(), Some("first".into()), bus.clone(), old.clone()).await;
    let first = first.unwrap();
    let object = stage.workflow("one").await;
    stage.submission("one").await;
    old.put(&object, "Running", "1/1");
    stage.show(&object, "Running", "begun").await;
    stage.until_phase("one", "Running").await;

    bus.silent.store(true, Ordering::Relaxed);
    let second = stage.run_as("second").await;
    // It ends; the first does not see that, and cannot have written it.
    stage.show(&object, "Succeeded", "ended").await;
    let written = stage.until_phase("one", "Succeeded").await;
    // Each record has both look at what is to be written, once the first has seen the object as it is now.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.show(&object, "Succeeded", "more").await;
    }
    let objects = stage.objects(ARGO, "Workflow").await;
    let now = objects.get("one").await.unwrap().unwrap();
    assert_eq!(now["status"]["phase"], "Succeeded", "{now:#}");
    assert_eq!(now["metadata"]["resourceVersion"], written["metadata"]["resourceVersion"]);
    second.end().await;
    first.end().await;
}

#[tokio::test]
async fn a_schedule_keeps_what_another_wrote() {
    let Some(stage) = Stage::new().await else { return };
    let template = json!({"name": "m", "suspend": {}});
    let spec =
        json!({"schedules": ["1 1 1 1 *"], "workflowSpec": {"entrypoint": "m", "templates": [template]}});
    stage.make(ARGO, "CronWorkflow", json!({"metadata": {"name": "yearly"}, "spec": spec})).await;
    let subject = streams::subject(streams::CRON, &[&stage.namespace, "CronWorkflow", "yearly"]);
    let remember = async |succeeded: u64| {
        let memory = json!({"version": 1, "revision": "r", "since": "2026-01-01T00:00:00Z",
            "lastScheduledTime": "2026-01-01T01:01:00Z", "succeeded": succeeded, "failed": 0});
        let record = Publish::new(subject.clone(), memory.to_string().into_bytes());
        stage.bus.publish(record).await.unwrap();
    };
    let schedules = stage.objects(ARGO, "CronWorkflow").await;
    let shows = async |succeeded: u64| {
        within("its status", || async {
            let live = schedules.get("yearly").await.unwrap()?;
            (live["status"]["succeeded"] == succeeded).then_some(live)
        })
        .await
    };
    let (bus, old) = (Mute::on(&stage), Arc::new(Projection::default()));
    // The first sees a run that nobody else sees.
    let run = json!({"metadata": {"name": "yearly-1", "namespace": stage.namespace, "uid": "u",
        "labels": {"workflows.argoproj.io/cron-workflow": "yearly"}}});
    old.put(&run, "Running", "1/1");
    let first = stage.run_on(stage.config(), Some("first".into()), bus.clone(), old).await;
    let first = first.unwrap();
    remember(1).await;
    assert_eq!(shows(1).await["status"]["active"][0]["name"], "yearly-1");
    bus.silent.store(true, Ordering::Relaxed);
    let second = stage.run_as("second").await;
    within("the second writes", || async {
        let live = schedules.get("yearly").await.unwrap()?;
        (live["status"]["active"] == json!([])).then_some(())
    })
    .await;
    remember(2).await;
    shows(2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let now = shows(2).await;
    assert_eq!(now["status"]["active"], json!([]), "{now:#}");
    second.end().await;
    first.end().await;
}
