//! Messages that can never become an event: kept among the dead letters, and only then acked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tiphys_bus::{BusError, Publish, streams};
use tiphys_core::{Classify as _, DeadLetter, EventId, chain};
use tracing::warn;

use crate::error::Error;
use crate::kind::Scope;

/// Stores the letter. Its id is made from the message's own, so that a redelivery is no second one. Bytes that do not
/// fit into a letter are kept as a blob, which the letter names.
pub(crate) async fn keep(scope: &Scope, native: &str, raw: &[u8], why: &Error) -> Result<(), Error> {
    let origin = &scope.origin;
    let mut letter = DeadLetter {
        stage: "eventsource".into(),
        code: why.code().into(),
        reason: format!("{}/{}: {}", origin.source, origin.event, chain(why)),
        at: scope.clock.now(),
        attempts: 1,
        namespace: origin.namespace.clone(),
        sensor: None,
        trigger: None,
        events: Vec::new(),
        firing: None,
        raw: Some(STANDARD.encode(raw)),
    };
    let id = EventId::derive(&origin.namespace, &origin.source, &origin.event, native);
    match store(scope, &letter, &id).await {
        Err(Error::Bus(BusError::TooLarge { .. })) => {
            let putting = scope.bus.put_blob(Bytes::copy_from_slice(raw));
            let blob = tokio::time::timeout(scope.patience, putting).await.map_err(|_| Error::Patience)??;
            letter.raw = None;
            letter.reason = format!("{}; its {} bytes are the blob {blob}", letter.reason, raw.len());
            store(scope, &letter, &id).await?;
        }
        stored => stored?,
    }
    warn!(
        source = origin.source,
        name = origin.event,
        reason = letter.reason,
        "a message became a dead letter"
    );
    Ok(())
}

async fn store(scope: &Scope, letter: &DeadLetter, id: &EventId) -> Result<(), Error> {
    let origin = &scope.origin;
    let record = serde_json::to_vec(letter).map_err(Error::Payload)?;
    let names = [origin.namespace.as_str(), origin.source.as_str(), origin.event.as_str()];
    let message =
        Publish::new(streams::subject(streams::DEAD, &names), record).id(format!("poison-{}", id.0));
    tokio::time::timeout(scope.patience, scope.bus.publish(message)).await.map_err(|_| Error::Patience)??;
    Ok(())
}
