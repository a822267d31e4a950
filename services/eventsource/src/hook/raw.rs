//! The bytes as they were sent, kept beside the compacted body.
//!
//! | attribute | when | what |
//! |---|---|---|
//! | none | nothing was changed | the body in the payload is what was sent |
//! | `rawspace` | JSON with white space | what is needed to put it back |
//! | `rawbody` | a form of at most 16 KiB | the bytes in base64 |
//! | `rawblob` | more than that | reference to the bytes on the bus |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tiphys_bus::{Bus, BusError};
use tiphys_core::Event;

use crate::emit::Draft;
use crate::json::{self, Space};

/// Forms up to this size are kept within the event.
const INLINE: usize = 16 * 1024;

/// How the body in the payload differs from what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Raw {
    /// There was no body.
    Absent,
    /// White space was left out.
    Json(Space),
    /// It was no JSON, and was written anew.
    Other,
}

impl Raw {
    /// Puts into the draft what is needed to get the bytes back.
    pub(crate) fn keep(self, body: &Bytes, draft: &mut Draft) {
        match self {
            Self::Absent | Self::Json(Space::None) => {}
            Self::Json(Space::Runs(runs)) => {
                draft.attributes.insert("rawspace".into(), runs);
            }
            Self::Other if body.len() <= INLINE => {
                draft.attributes.insert("rawbody".into(), STANDARD.encode(body));
            }
            Self::Json(Space::Much) | Self::Other => draft.blob = Some(("rawblob", body.clone())),
        }
    }
}

/// The bytes that a sender sent, out of a stored webhook event; `None` where there are none.
///
/// # Errors
/// Fails when the bus cannot be read.
pub async fn original(event: &Event, bus: &dyn Bus) -> Result<Option<Bytes>, BusError> {
    #[derive(Deserialize)]
    struct Payload<'a> {
        #[serde(borrow)]
        body: &'a RawValue,
    }
    if let Some(reference) = event.attributes.get("rawblob") {
        return bus.get_blob(reference).await;
    }
    if let Some(text) = event.attributes.get("rawbody") {
        return Ok(STANDARD.decode(text).ok().map(Bytes::from));
    }
    let Ok(payload) = serde_json::from_slice::<Payload<'_>>(&event.data) else {
        return Ok(None);
    };
    let body = payload.body.get().as_bytes();
    Ok(match event.attributes.get("rawspace") {
        Some(runs) => json::restore(body, runs).map(Bytes::from),
        None => Some(Bytes::copy_from_slice(body)),
    })
}
