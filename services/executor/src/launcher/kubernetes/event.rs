//! Why a pod does not begin that has a node and whose status says nothing, as where a volume cannot be mounted: only its events
//! tell. They are listed for such a pod alone, and ever less often.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use tiphys_core::{PodKey, Timestamp};

use super::ask::{Kind, within};
use super::judge::Trouble;
use super::record::{Place, Record};
use super::{REQUEST, Shared};
use crate::launcher::PodState;

/// They are looked at no less often.
const SELDOM: Duration = Duration::from_secs(300);
/// So many are read.
const MOST: u32 = 50;
/// What they say where a volume or a network is missing.
const REASONS: [&str; 4] = ["FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"];
/// What the kubelet says, in the end, of what will not heal by itself.
const ABSENT: [&str; 3] =
    ["not found", "references non-existent secret key", "references non-existent config key"];

impl Shared {
    /// Asks for the events of a pod that stays silent.
    pub(super) fn limit_quiet(self: &Arc<Self>, key: &PodKey, record: &mut Record) {
        if std::mem::replace(&mut record.busy.events, true) {
            return;
        }
        let (shared, key, place) = (Arc::clone(self), key.clone(), record.place.clone());
        let mut wait = self.config.quiet;
        self.tasks.spawn("look at events", async move {
            while shared.pause(wait).await {
                let is_quiet = match shared.pods().get(&key).filter(|record| record.place == place) {
                    Some(Record { state: PodState::Pending { message }, event, .. }) => {
                        message.is_empty() || event.as_ref().is_some_and(|(told, _)| told == message)
                    }
                    _ => return,
                };
                if is_quiet && !shared.look_at_events(&key, &place).await {
                    return;
                }
                wait = wait.saturating_mul(2).min(SELDOM);
            }
        });
    }

    /// False: they may not be looked at.
    async fn look_at_events(self: &Arc<Self>, key: &PodKey, place: &Place) -> bool {
        let api = Api::<Event>::namespaced(self.client.clone(), &place.namespace);
        let fields = format!("involvedObject.uid={},type=Warning", place.uid);
        let params = ListParams::default().fields(&fields).limit(MOST);
        let told = match self.ask(within(REQUEST, api.list(&params))).await {
            Ok(events) => told(&events.items),
            Err(failure) => {
                tracing::debug!(%key, why = failure.text, "the events of a pod cannot be looked at");
                return failure.kind != Kind::Refused;
            }
        };
        let Some((message, trouble)) = told else { return true };
        {
            let mut pods = self.pods();
            let Some(record) = pods.get_mut(key).filter(|record| record.place == *place) else { return true };
            let PodState::Pending { message: shown } = &mut record.state else { return true };
            let was_told = record.event.as_ref().is_some_and(|(told, _)| told == shown);
            if *shown == message || !(shown.is_empty() || was_told) {
                return true;
            }
            shown.clone_from(&message);
            record.event = Some((message, trouble));
            record.trouble = trouble;
            self.limit_patience(key, record);
        }
        self.announce(key).await;
        true
    }
}

/// What the latest of them say; that something is missing before that there was no time to wait for it.
fn told(events: &[Event]) -> Option<(String, Trouble)> {
    let reason = |event: &Event| event.reason.clone().unwrap_or_default();
    let known = events.iter().filter(|event| REASONS.contains(&&*reason(event)));
    let text = |event: &Event| event.message.clone().unwrap_or_default();
    let latest = known.max_by_key(|event| (text(event).starts_with("MountVolume"), time(event)))?;
    let text = text(latest);
    let trouble = if ABSENT.iter().any(|end| text.contains(end)) { Trouble::Stuck } else { Trouble::None };
    Some((format!("{}: {text}", reason(latest)), trouble))
}

fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let times = [series.map(|time| time.0), event.last_timestamp.as_ref().map(|time| time.0)];
    times.into_iter().flatten().max().or_else(|| event.event_time.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(reason: &str, message: &str, second: u32) -> Event {
        serde_json::from_value(
            json!({"metadata": {}, "involvedObject": {}, "reason": reason, "message": message,
            "lastTimestamp": format!("2026-11-30T12:00:{second:02}Z")}),
        )
        .unwrap()
    }

    #[test]
    fn the_latest_reason_is_told() {
        let missing = r#"MountVolume.SetUp failed for volume "v" : secret "keys" not found"#;
        let old = r#"MountVolume.SetUp failed for volume "v" : cannot connect"#;
        let general =
            "Unable to attach or mount volumes: unmounted volumes=[v]: timed out waiting for the condition";
        let all = [
            event("FailedMount", old, 1),
            event("FailedMount", missing, 2),
            event("FailedMount", general, 3),
            event("Unhealthy", "not of interest", 4),
        ];
        assert_eq!(told(&all), Some((format!("FailedMount: {missing}"), Trouble::Stuck)));
        assert_eq!(told(&all[..1]), Some((format!("FailedMount: {old}"), Trouble::None)));
        assert_eq!(told(&all[2..]), Some((format!("FailedMount: {general}"), Trouble::None)));
        assert_eq!(told(&all[3..]), None);
    }
}
