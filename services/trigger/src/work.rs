//! One firing, from delivery to ack.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value as Json;
use tiphys_bus::{Bus, BusError, Delivery, Publish, streams};
use tiphys_catalog::Catalog;
use tiphys_core::{Classify as _, Clock, DeadLetter, Fault, Firing, chain};
use tracing::{error, info, warn};

use crate::control::trigger_of;
use crate::error::Error;
use crate::kind::{self, Context, TriggerKind};
use crate::ledger::{Effect, Entry, Ledger, State};
use crate::metric;
use crate::retry::Schedule;
use crate::trace::Act;

/// A delivery that is neither answered nor kept alive for so long comes again: what a dead process had under way.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(5);
/// A delivery is kept alive this often while its effect is under way.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(1500);
/// After a refusal of the bus the firing comes again after this long.
const BUS_PAUSE: Duration = Duration::from_secs(2);

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) kinds: Vec<Box<dyn TriggerKind>>,
    pub(crate) client: reqwest::Client,
    pub(crate) ledger: Ledger,
    #[cfg(feature = "kubernetes")]
    pub(crate) cluster: Option<tiphys_kit::kubernetes::Cluster>,
}

/// What becomes of a delivery.
enum Outcome {
    Done,
    Later(Duration),
}

impl Shared {
    /// Handles one delivery. A failure of the bus is no attempt: the firing comes again.
    pub(crate) async fn handle(&self, delivery: &dyn Delivery) {
        let outcome = match self.judge(delivery).await {
            Ok(outcome) => outcome,
            Err(failure) => {
                warn!(error = %chain(&failure), code = failure.code(), "the bus refused; the firing comes again");
                Outcome::Later(BUS_PAUSE)
            }
        };
        let answered = match outcome {
            Outcome::Done => delivery.ack().await,
            Outcome::Later(delay) => delivery.nack(delay).await,
        };
        if let Err(failure) = answered {
            // Unanswered it comes again, and the ledger knows it.
            warn!(error = %failure, "a firing could not be answered");
        }
    }

    async fn judge(&self, delivery: &dyn Delivery) -> Result<Outcome, BusError> {
        let firing: Firing = match serde_json::from_slice(&delivery.message().payload) {
            Ok(firing) => firing,
            Err(failure) => return self.bury_unreadable(delivery, &failure).await,
        };
        let (entry, over) = self.ledger.read(&firing.id).await?;
        if entry.as_ref().is_some_and(|entry| entry.state != State::Retrying) {
            return Ok(Outcome::Done);
        }
        let mut entry = entry.unwrap_or_else(|| Entry::new(&firing, self.clock.now()));
        let begun = tokio::time::Instant::now();
        entry.attempts = entry.attempts.saturating_add(1);
        let act = Act::begin(&firing, entry.attempts, self.clock.now());
        let result = self.fire(&firing, &act, delivery).await;
        act.end(self.clock.now(), &result);
        match result {
            Ok(effect) => {
                metric::triggered(&firing, begun.elapsed());
                info!(
                    namespace = firing.namespace,
                    sensor = firing.sensor,
                    trigger = firing.trigger,
                    firing = %firing.id,
                    event = firing.events.first().map(|event| event.id.0.as_str()),
                    effect = %describe(&effect),
                    "triggered"
                );
                entry.state = State::Done;
                entry.effect = Some(effect);
                entry.at = self.clock.now();
                self.settle(&entry, over).await?;
                Ok(Outcome::Done)
            }
            Err(Error::Bus(failure)) if failure.fault() == Fault::Transient => Err(failure),
            Err(failure) => self.failed(&firing, entry, over, &failure).await,
        }
    }

    /// Acts, and keeps the delivery alive meanwhile.
    async fn fire(&self, firing: &Firing, act: &Act, delivery: &dyn Delivery) -> Result<Effect, Error> {
        let snapshot = self.catalog.snapshot();
        let template = firing.trigger_spec.get("template").unwrap_or(&Json::Null);
        let kind = kind::choose(&self.kinds, template)?;
        let acting = kind.fire(Context {
            firing,
            template: template.get(kind.key()).unwrap_or(&Json::Null),
            policy: firing.trigger_spec.get("policy").unwrap_or(&Json::Null),
            bus: &self.bus,
            catalog: &snapshot,
            client: &self.client,
            now: self.clock.now(),
            trace: act.context(),
            #[cfg(feature = "kubernetes")]
            cluster: self.cluster.as_ref(),
        });
        tokio::pin!(acting);
        loop {
            tokio::select! {
                result = &mut acting => return result,
                () = tokio::time::sleep(HEARTBEAT) => {
                    if let Err(failure) = delivery.progress().await {
                        warn!(error = %failure, "a firing could not be kept alive");
                    }
                }
            }
        }
    }

    async fn failed(
        &self,
        firing: &Firing,
        mut entry: Entry,
        over: u64,
        failure: &Error,
    ) -> Result<Outcome, BusError> {
        metric::failed(firing);
        let now = self.clock.now();
        let reason = chain(failure);
        entry.failed(now, failure.code(), reason.clone());
        let wait = match failure.fault() {
            Fault::Transient => Schedule::of(&firing.trigger_spec).wait_after(entry.attempts),
            Fault::Permanent | Fault::Config => None,
        };
        let names = (firing.namespace.as_str(), firing.sensor.as_str(), firing.trigger.as_str());
        if let Some(wait) = wait {
            warn!(
                namespace = names.0, sensor = names.1, trigger = names.2, firing = %firing.id,
                attempt = entry.attempts, error = reason, code = failure.code(), "failed; tried again"
            );
            entry.state = State::Retrying;
            self.settle(&entry, over).await?;
            return Ok(Outcome::Later(wait));
        }
        if self.ledger.read(&firing.id).await?.1 != over {
            // Another process had it too, and came first: what it wrote decides.
            return Ok(Outcome::Later(BUS_PAUSE));
        }
        metric::retries_failed(firing);
        error!(
            namespace = names.0, sensor = names.1, trigger = names.2, firing = %firing.id,
            attempts = entry.attempts, error = reason, code = failure.code(),
            "given up; see `tiphys dlq list`"
        );
        let letter = DeadLetter {
            stage: "trigger".into(),
            code: failure.code().into(),
            reason,
            at: now,
            attempts: entry.attempts,
            namespace: firing.namespace.clone(),
            sensor: Some(firing.sensor.clone()),
            trigger: Some(firing.trigger.clone()),
            events: firing.events.clone(),
            firing: Some(firing.clone()),
            raw: None,
        };
        // The letter first: a crash in between writes it again under the same id.
        self.bury(&letter, &format!("{}-{over}", firing.id)).await?;
        self.fire_dead_letter_trigger(firing).await?;
        entry.state = State::Dead;
        self.settle(&entry, over).await?;
        Ok(Outcome::Done)
    }

    /// Writes the entry. If somebody else settled the firing meanwhile, theirs stands.
    async fn settle(&self, entry: &Entry, over: u64) -> Result<(), BusError> {
        match self.ledger.write(entry, over).await {
            Err(BusError::Conflict { .. }) => {
                warn!(firing = %entry.firing, "another worker wrote the ledger meanwhile; its entry stands");
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    async fn bury(&self, letter: &DeadLetter, id: &str) -> Result<(), BusError> {
        let names = [
            letter.namespace.as_str(),
            letter.stage.as_str(),
            letter.sensor.as_deref().unwrap_or_default(),
            letter.trigger.as_deref().unwrap_or_default(),
        ];
        let record = serde_json::to_vec(letter)
            .map_err(|failure| BusError::Invalid { reason: format!("dead letter: {failure}") })?;
        let publish = Publish::new(streams::subject(streams::DEAD, &names), record).id(id);
        self.bus.publish(publish).await.map(|_| ())
    }

    async fn bury_unreadable(
        &self,
        delivery: &dyn Delivery,
        failure: &serde_json::Error,
    ) -> Result<Outcome, BusError> {
        let message = delivery.message();
        let (namespace, sensor, trigger) = trigger_of(&message.subject).unwrap_or_default();
        error!(namespace, sensor, trigger, error = %failure, "a firing cannot be read; see `tiphys dlq list`");
        let letter = DeadLetter {
            stage: "trigger".into(),
            code: "TIP-TRG-010".into(),
            reason: format!("the firing cannot be read: {failure}"),
            at: self.clock.now(),
            attempts: 1,
            namespace,
            sensor: Some(sensor),
            trigger: Some(trigger),
            events: Vec::new(),
            firing: None,
            raw: Some(base64::engine::general_purpose::STANDARD.encode(&message.payload)),
        };
        self.bury(&letter, &format!("unreadable-{}", message.sequence)).await?;
        Ok(Outcome::Done)
    }

    /// Argo's `dlqTrigger`: another trigger, fired for the same events with values of its own.
    async fn fire_dead_letter_trigger(&self, firing: &Firing) -> Result<(), BusError> {
        let Some(next) = &firing.dead_letter else {
            if firing.trigger_spec.get("dlqTrigger").is_some_and(Json::is_object) {
                error!(
                    sensor = firing.sensor, trigger = firing.trigger, firing = %firing.id,
                    "the `dlqTrigger` is not fired: a parameter of it has no value in these events, or it is too large"
                );
            }
            return Ok(());
        };
        let names = [next.namespace.as_str(), &next.sensor, &next.trigger];
        let subject = streams::subject(streams::FIRINGS, &names);
        let record = serde_json::to_vec(next)
            .map_err(|failure| BusError::Invalid { reason: format!("firing: {failure}") })?;
        self.bus.publish(Publish::new(subject, record).id(next.id.0.clone())).await.map(|_| ())
    }
}

/// What was done, for people.
pub(crate) fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Workflow { namespace, name, .. } => format!("workflow {namespace}/{name}"),
        Effect::Command { namespace, name, verb } => format!("{verb} workflow {namespace}/{name}"),
        Effect::Http { request, status } => format!("{request}: {status}"),
        Effect::Published { to, receipt } => format!("published to {to} {receipt}"),
        Effect::Custom { server, message } => format!("{server} acted: {message}"),
        Effect::Object { verb, object, .. } => format!("{verb} {object}"),
        Effect::Log => "logged".into(),
        Effect::Skipped { reason } => format!("nothing: {reason}"),
    }
}
