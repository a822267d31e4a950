//! Functions on moments and durations.

use jiff::tz::TimeZone;

use super::{Outcome, unfit};
use crate::duration::nanoseconds;
use crate::sprig::run::Run;
use crate::value::{Value, layout};

/// The forms in which `date` reads a text, where no layout is given.
const LAYOUTS: [&str; 10] = [
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    layout::RFC3339,
    "02 Jan 06 15:04 MST",
    "02 Jan 06 15:04 -0700",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 -0700",
    layout::GO_STRING,
];

pub(super) fn now(run: &mut Run, _: &[Value]) -> Outcome {
    Ok(Value::Time(run.now().to_zoned(TimeZone::UTC).into()))
}

pub(super) fn duration(run: &mut Run, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Text(text)] => match nanoseconds(text) {
            Some(nanos) => Ok(Value::Duration(nanos)),
            None => Err(run.fail(format!("{text:?} is no duration; write it as 1h30m"))),
        },
        _ => Err(unfit(run, "duration", arguments.first().unwrap_or(&Value::Nil))),
    }
}

fn zone(run: &Run, name: &str) -> Result<TimeZone, crate::LangError> {
    match name {
        "" | "UTC" | "Local" => Ok(TimeZone::UTC),
        _ => TimeZone::get(name).map_err(|_| run.fail(format!("unknown time zone {name}"))),
    }
}

/// A time zone is known by its name.
pub(super) fn timezone(run: &mut Run, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Text(name)] => zone(run, name).map(|_| Value::Text(name.clone())),
        _ => Err(unfit(run, "timezone", arguments.first().unwrap_or(&Value::Nil))),
    }
}

pub(super) fn date(run: &mut Run, arguments: &[Value]) -> Outcome {
    let mut texts = Vec::new();
    for argument in arguments {
        match argument {
            Value::Text(text) => texts.push(text.as_ref()),
            Value::Time(_) if arguments.len() == 1 => return Ok(argument.clone()),
            other => return Err(unfit(run, "date", other)),
        }
    }
    let text = texts.first().copied().unwrap_or_default();
    let zone = zone(run, texts.get(2).copied().unwrap_or_default())?;
    run.spend(text.len() as u64 * 16)?;
    let time = match texts.get(1) {
        Some(layout) => layout::parse(layout, text, &zone),
        None => layout::parse_any(&LAYOUTS, text, &zone),
    };
    match time {
        Some(time) => Ok(Value::Time(time.into())),
        None => Err(run.fail(format!("invalid date {text}"))),
    }
}
