//! A watch's answer on its way to the client.

use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio::sync::watch;

use super::Mood;
use super::fault::told;

/// How a watch is ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    #[default]
    Quiet,
    Gone,
}

/// The line with which a watch says that it knows too little of the past.
pub(super) fn gone() -> Bytes {
    let mut line = json!({"type": "ERROR", "object": told(410)}).to_string();
    line.push('\n');
    line.into()
}

/// Passes a watch on, held back and ended as the test says.
pub(super) fn watched(body: Body, mut mood: watch::Receiver<Mood>) -> Body {
    let begun = mood.borrow_and_update().ended;
    Body::from_stream(passing(body, mood, begun))
}

fn passing(
    body: Body,
    mood: watch::Receiver<Mood>,
    begun: u64,
) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    stream::unfold((Some(body.into_data_stream()), mood), move |(data, mut mood)| async move {
        let mut data = data?;
        loop {
            let now = *mood.borrow_and_update();
            if now.ended != begun {
                return (now.ending == Ending::Gone).then(|| (Ok(gone()), (None, mood)));
            }
            tokio::select! {
                changed = mood.changed() => changed.ok()?,
                chunk = data.next(), if !now.held => return chunk.map(|chunk| (chunk, (Some(data), mood))),
            }
        }
    })
}
