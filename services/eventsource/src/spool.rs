//! Runs the spool beside the door: forwards it, and tells how it stands.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tiphys_bus::BusError;
use tiphys_bus::spool::{Backlog, Spool};
use tiphys_core::Clock;
use tiphys_kit::{Backoff, CancellationToken, Health};
use tracing::error;

/// Its name in readiness. It does not make the process unready: senders are served all the same.
const PART: &str = "eventsource/spool";
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Forwards until `stop`. A log that cannot be read just now is tried again: senders were told that it has their
/// events.
pub(crate) async fn keep(spool: Arc<Spool>, clock: Arc<dyn Clock>, health: Health, stop: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    while let Err(error) = run(spool.clone(), clock.clone(), health.clone(), stop.clone()).await {
        let why = format!("its log cannot be used: {}", tiphys_core::chain(&error));
        error!("the spool: {why}");
        health.failing(PART, why);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
}

/// Forwards until `stop`, or until the log fails.
async fn run(
    spool: Arc<Spool>,
    clock: Arc<dyn Clock>,
    health: Health,
    stop: CancellationToken,
) -> Result<(), BusError> {
    let forwarding = spool.clone().forward(stop.clone());
    tokio::pin!(forwarding);
    loop {
        tell(&spool.backlog().await?, clock.as_ref(), &health);
        tokio::select! {
            forwarded = &mut forwarding => {
                tell(&spool.backlog().await?, clock.as_ref(), &health);
                return forwarded;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn tell(backlog: &Backlog, clock: &dyn Clock, health: &Health) {
    let age = backlog.oldest.map(|oldest| clock.now().duration_since(oldest));
    let age = age.map_or(0.0, |age| age.as_secs_f64().max(0.0));
    let depth = u32::try_from(backlog.messages).unwrap_or(u32::MAX);
    gauge!("tiphys_spool_events").set(f64::from(depth));
    gauge!("tiphys_spool_age_seconds").set(age);
    match &backlog.held {
        Some(reason) => {
            let events = backlog.messages;
            health.failing(PART, format!("{events} events wait, the oldest for {age:.0} s: {reason}"));
        }
        None => health.ready(PART),
    }
}
