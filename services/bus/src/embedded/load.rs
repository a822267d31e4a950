//! Reads at start what is known of streams, messages and consumers.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::error::BusError;
use crate::log::{Entry, State, Stream, is_older};
use crate::store::disk::{Tables, meta, unavailable};
use crate::store::{Remembered, StreamNumber, codec};

/// What a folder holds.
pub(super) struct Loaded {
    pub(super) state: State,
    /// Number of the last commit.
    pub(super) commits: u64,
}

type Ids = BTreeMap<u64, Remembered>;

/// Reads it.
pub(super) fn load(tables: &Tables) -> Result<Loaded, BusError> {
    let commits = tables.meta.get(meta::COMMIT).map_err(unavailable)?;
    let commits = commits.map_or(Ok(0), |value| codec::read_number(&value))?;
    let mut streams = streams(tables)?;
    let mut ids = index(tables, &mut streams)?;
    for pair in tables.ids.iter() {
        let (key, value) = pair.into_inner().map_err(unavailable)?;
        let (number, sequence) = codec::read_key(&key)?;
        let remembered = codec::read_remembered(&value)?;
        ids.entry(number).or_default().insert(sequence, remembered);
    }
    let mut state = State::default();
    for (number, mut stream) in streams {
        for (sequence, Remembered { id, stored }) in ids.remove(&number).unwrap_or_default() {
            stream.duplicates.add(sequence, stored, id);
        }
        state.add(stream);
    }
    consumers(tables, &mut state)?;
    Ok(Loaded { state, commits })
}

fn streams(tables: &Tables) -> Result<BTreeMap<StreamNumber, Stream>, BusError> {
    let mut streams = BTreeMap::new();
    for pair in tables.meta.prefix([meta::STREAM]) {
        let (key, value) = pair.into_inner().map_err(unavailable)?;
        let (number, _) = split(&key)?;
        let mut stream = Stream::new(number, codec::read_stream(&value)?);
        let head = tables.meta.get(meta::key(meta::HEAD, number, ""));
        if let Some(head) = head.map_err(unavailable)? {
            let (last, stored) = codec::read_head(&head)?;
            stream.move_to(last, stored);
        }
        streams.insert(number, stream);
    }
    Ok(streams)
}

/// Fills the streams; returns the ids that they must still know.
fn index(
    tables: &Tables,
    streams: &mut BTreeMap<StreamNumber, Stream>,
) -> Result<BTreeMap<StreamNumber, Ids>, BusError> {
    let mut ids: BTreeMap<StreamNumber, Ids> = BTreeMap::new();
    for pair in tables.index.iter() {
        let (key, value) = pair.into_inner().map_err(unavailable)?;
        let (number, sequence) = codec::read_key(&key)?;
        let found = codec::read_index(&value)?;
        let stream = streams.get_mut(&number).ok_or_else(|| unknown(number))?;
        let window = stream.config.duplicate_window;
        let known = found.id.filter(|_| !is_older(found.stored, stream.stored, window));
        if let Some(id) = known {
            let remembered = Remembered { id, stored: found.stored };
            ids.entry(number).or_default().insert(sequence, remembered);
        }
        let entry = Entry { subject: found.subject, stored: found.stored, size: found.size };
        stream.insert(sequence, entry);
    }
    Ok(ids)
}

fn consumers(tables: &Tables, state: &mut State) -> Result<(), BusError> {
    let now = Instant::now();
    for pair in tables.meta.prefix([meta::CONSUMER]) {
        let (key, value) = pair.into_inner().map_err(unavailable)?;
        let (number, name) = split(&key)?;
        let saved = codec::read_consumer(&value)?;
        state.set_consumer(number, name, Some(saved), now);
    }
    Ok(())
}

/// Undoes [`meta::key`].
fn split(key: &[u8]) -> Result<(StreamNumber, String), BusError> {
    let number = key.get(1..3).and_then(|bytes| bytes.try_into().ok());
    let name = key.get(3..).map(|name| String::from_utf8(name.to_vec()));
    match (number, name) {
        (Some(number), Some(Ok(name))) => Ok((StreamNumber::from_be_bytes(number), name)),
        _ => Err(BusError::Unavailable { reason: "a stored key cannot be read".into() }),
    }
}

fn unknown(number: StreamNumber) -> BusError {
    BusError::Unavailable { reason: format!("messages of stream {number} are stored, and the stream is not") }
}
