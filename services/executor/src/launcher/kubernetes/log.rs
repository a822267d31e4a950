//! Logs of pods, as the API server has them. A pod that was taken away has none, unless its log was kept as an artifact.

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use kube::api::LogParams;

use super::ask::{Failure, Kind};
use super::pod::MAIN;
use super::record::Place;
use super::{REQUEST, Shared};
use crate::launcher::{LaunchError, LogLine};

/// Lines from line `from`. The API server does not say which stream a line came from.
pub(super) async fn read(
    shared: &Shared,
    place: &Place,
    from: usize,
    max: usize,
) -> Result<Vec<LogLine>, LaunchError> {
    let options = LogParams { container: Some(MAIN.into()), timestamps: true, ..LogParams::default() };
    let api = shared.api(&place.namespace);
    let opened = shared.ask(super::within(REQUEST, api.log_stream(&place.name, &options))).await;
    let stream = match opened {
        Ok(stream) => stream,
        // Nothing was written yet, or it is gone.
        Err(Failure { kind: Kind::Missing | Kind::Refused, .. }) => return Ok(Vec::new()),
        Err(failure) => return Err(LaunchError::Unavailable(failure.text)),
    };
    let mut lines = stream.lines();
    let (mut number, mut found) = (0, Vec::new());
    while found.len() < max {
        let line = lines.try_next().await;
        let Some(line) = line.map_err(|error| LaunchError::Unavailable(error.to_string()))? else { break };
        if number >= from {
            found.push(parse(&line));
        }
        number += 1;
    }
    Ok(found)
}

/// A time, a space and the text.
fn parse(line: &str) -> LogLine {
    let stream = "stdout".to_owned();
    let split = line.split_once(' ').unwrap_or((line, ""));
    match split.0.parse() {
        Ok(time) => LogLine { time, stream, text: split.1.to_owned() },
        Err(_) => LogLine { time: tiphys_core::Timestamp::UNIX_EPOCH, stream, text: line.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_line_has_a_time() {
        for (line, second, text) in [
            ("2026-11-30T12:00:00.123456789Z hello world", 1_796_040_000, "hello world"),
            ("2026-11-30T12:00:00Z ", 1_796_040_000, ""),
            ("2026-11-30T12:00:00Z", 1_796_040_000, ""),
            ("no time at all", 0, "no time at all"),
        ] {
            let read = parse(line);
            assert_eq!((read.time.as_second(), read.text.as_str()), (second, text), "{line}");
        }
    }
}
