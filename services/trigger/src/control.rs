//! Switches of a trigger, set by hand: while it is paused its firings wait, and none is lost.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tiphys_bus::{Bus, BusError, Publish, streams};
use tiphys_core::Timestamp;

/// The switches of one trigger; last value of `control.NAMESPACE.SENSOR.TRIGGER`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// Whether firings wait.
    pub paused: bool,
    /// Since when.
    pub at: Timestamp,
    /// Who set it.
    pub by: String,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
}

/// The trigger that a subject of FIRINGS or CONTROL names: namespace, sensor, trigger.
#[must_use]
pub fn trigger_of(subject: &str) -> Option<(String, String, String)> {
    let mut names = subject.split('.').skip(1).map(streams::name_of);
    let found = (names.next()?, names.next()?, names.next()?);
    names.next().is_none().then_some(found)
}

/// The subject of a trigger's switches.
#[must_use]
pub fn subject(namespace: &str, sensor: &str, trigger: &str) -> String {
    streams::subject(streams::CONTROL, &[namespace, sensor, trigger])
}

/// Reads the switches of a trigger.
///
/// # Errors
/// Fails when the bus does.
pub async fn read(
    bus: &Arc<dyn Bus>,
    namespace: &str,
    sensor: &str,
    trigger: &str,
) -> Result<Option<Control>, BusError> {
    let message = bus.last(&subject(namespace, sensor, trigger)).await?;
    Ok(message.and_then(|message| serde_json::from_slice(&message.payload).ok()))
}

/// Sets the switches of a trigger.
///
/// # Errors
/// Fails when the bus does.
pub async fn write(bus: &Arc<dyn Bus>, names: (&str, &str, &str), control: &Control) -> Result<(), BusError> {
    bus.publish(record(names, control)?).await.map(|_| ())
}

/// Sets the switches of a trigger that has none yet; what somebody else set meanwhile stands.
pub(crate) async fn write_first(
    bus: &Arc<dyn Bus>,
    names: (&str, &str, &str),
    control: &Control,
) -> Result<(), BusError> {
    match bus.publish(record(names, control)?.expect_last(0)).await {
        Err(BusError::Conflict { .. }) => Ok(()),
        other => other.map(drop),
    }
}

fn record(names: (&str, &str, &str), control: &Control) -> Result<Publish, BusError> {
    let record = serde_json::to_vec(control)
        .map_err(|error| BusError::Invalid { reason: format!("control record: {error}") })?;
    Ok(Publish::new(subject(names.0, names.1, names.2), record))
}
