//! `calendar`: an event at each tick of a schedule or an interval.
//!
//! The native id of a tick is the time for which it was planned, so a restart never doubles one. The last
//! tick is remembered on the CRON stream, after the event is stored.

mod memory;
mod plan;

use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;
use serde::Serialize;
use tiphys_core::{Classify as _, Fault, Timestamp};
use tiphys_kit::Backoff;
use tiphys_manifest::event_source::Calendar as Config;

use self::memory::Memory;
use self::plan::Plan;
use super::{Scope, SourceKind};
use crate::emit::{Draft, Emitter, Native};
use crate::error::Error;
use crate::go;

/// The clock is looked at so often while waiting, in case it was set.
const LOOK: Duration = Duration::from_secs(30);

/// The kind.
pub(crate) struct Calendar;

impl SourceKind for Calendar {
    const KEY: &'static str = "calendar";
    const TYPE: &'static str = "calendar";
    type Config = Config;

    async fn run(config: Config, scope: Scope) -> Result<(), Error> {
        let plan = Plan::new(&config)?;
        let emitter = scope.emitter(config.filter.as_ref())?;
        let memory = Memory::new(&scope, &config);
        let last = memory.last().await?;
        scope.up();
        let mut next = plan.first(last, scope.clock.now());
        while let Some(tick) = next {
            if !wait_until(tick, &scope).await {
                return Ok(());
            }
            if !emit(tick, &config, plan.zone(), &emitter, &scope).await? {
                return Ok(());
            }
            memory.remember(tick).await?;
            next = plan.after(tick, scope.clock.now());
        }
        // A schedule without further ticks is done, but its task lives as long as its manifest.
        scope.stop.cancelled().await;
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    event_time: String,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    metadata: &'a std::collections::BTreeMap<String, String>,
}

/// Waits; false when it is time to stop.
async fn wait_until(tick: Timestamp, scope: &Scope) -> bool {
    loop {
        let left = tick.duration_since(scope.clock.now());
        if !left.is_positive() {
            return !scope.stop.is_cancelled();
        }
        let nap = Duration::try_from(left).unwrap_or(LOOK).min(LOOK);
        tokio::select! {
            () = scope.stop.cancelled() => return false,
            () = tokio::time::sleep(nap) => {}
        }
    }
}

/// Stores the event of a tick, however long the bus is away; false when it is time to stop.
async fn emit(
    tick: Timestamp,
    config: &Config,
    zone: &TimeZone,
    emitter: &Emitter,
    scope: &Scope,
) -> Result<bool, Error> {
    let payload = Payload { event_time: go::time_text(tick, zone), metadata: &config.metadata };
    let draft = Draft {
        native: Some(Native { id: tick.to_string(), fingerprint: None }),
        payload: Bytes::from(serde_json::to_vec(&payload).map_err(Error::Payload)?),
        occurred: Some(tick),
        ..Draft::default()
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        match emitter.emit(draft.clone()).await {
            Ok(_) => return Ok(true),
            Err(failure) if failure.fault() == Fault::Transient => {}
            Err(failure) => return Err(failure),
        }
        tokio::select! {
            () = scope.stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
}
