//! Dates and durations. A date is a text as Go prints it, RFC 3339 text, or seconds since 1970.

use gotmpl::Value;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::Outcome;
use super::arguments::{Arguments, text};
use super::run::Run;
use crate::LangError;
use crate::duration::nanoseconds;
use crate::value::layout;
use crate::value::number::{duration_text, truncate};

fn shown(time: &Zoned) -> Value {
    text(layout::format(layout::GO_STRING, time))
}

fn current(run: &Run) -> Zoned {
    run.now().to_zoned(TimeZone::UTC)
}

/// The moment that a value means. What is no date means now, as in sprig.
fn moment(run: &Run, value: &Value) -> Zoned {
    let seconds = match value {
        Value::Int(int) => Some(*int),
        Value::Float(float) => Some(truncate(*float)),
        _ => None,
    };
    let found = match (seconds, value) {
        (Some(seconds), _) => Timestamp::from_second(seconds).ok().map(|time| time.to_zoned(TimeZone::UTC)),
        (None, Value::String(text)) => {
            layout::parse_any(&[layout::GO_STRING, layout::RFC3339], text, &TimeZone::UTC)
        }
        _ => None,
    };
    found.unwrap_or_else(|| current(run))
}

/// Formats are text of the manifest, and short; dates are bounded so that each call costs the same.
fn pay(run: &mut Run, layout: &str) -> Result<(), LangError> {
    run.allow(layout.len().saturating_mul(8))?;
    run.spend(layout.len() as u64 * 32 + 200)
}

pub(super) fn now(run: &mut Run, _: Arguments<'_>) -> Outcome {
    Ok(shown(&current(run)))
}

pub(super) fn date(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let layout = a.text(run, 0)?;
    pay(run, layout)?;
    Ok(text(layout::format(layout, &moment(run, a.any(1)))))
}

pub(super) fn date_in_zone(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let layout = a.text(run, 0)?;
    pay(run, layout)?;
    let time = moment(run, a.any(1));
    let zone = TimeZone::get(a.text(run, 2)?).unwrap_or(TimeZone::UTC);
    Ok(text(layout::format(layout, &time.with_time_zone(zone))))
}

pub(super) fn html_date(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(layout::format("2006-01-02", &moment(run, a.any(0)))))
}

pub(super) fn html_date_in_zone(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let time = moment(run, a.any(0));
    let zone = TimeZone::get(a.text(run, 1)?).unwrap_or(TimeZone::UTC);
    Ok(text(layout::format("2006-01-02", &time.with_time_zone(zone))))
}

pub(super) fn date_modify(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let by = a.text(run, 0)?;
    let time = moment(run, a.any(1));
    let Some(nanos) = nanoseconds(by) else {
        return Err(run.fail(format!("dateModify: {by:?} is no duration; write it as -1.5h")));
    };
    match time.checked_add(SignedDuration::from_nanos(nanos)) {
        Ok(time) => Ok(shown(&time)),
        Err(_) => Err(run.fail("dateModify: the date is out of range")),
    }
}

pub(super) fn to_date(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (layout, subject) = (a.text(run, 0)?, a.text(run, 1)?);
    pay(run, layout)?;
    match layout::parse(layout, subject, &TimeZone::UTC) {
        Some(time) => Ok(shown(&time)),
        None => Err(run.fail(format!("toDate: {subject:?} is not written as {layout:?}"))),
    }
}

pub(super) fn unix_epoch(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(moment(run, a.any(0)).timestamp().as_second().to_string()))
}

pub(super) fn ago(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let seconds = run.now().as_second() - moment(run, a.any(0)).timestamp().as_second();
    Ok(text(duration_text(seconds.saturating_mul(1_000_000_000))))
}

/// A number, or text of one, of seconds.
pub(super) fn duration(_: &mut Run, a: Arguments<'_>) -> Outcome {
    let seconds = match a.any(0) {
        Value::Int(int) => *int,
        Value::Float(float) => truncate(*float),
        Value::String(text) => text.parse().unwrap_or(0),
        _ => 0,
    };
    Ok(text(duration_text(seconds.saturating_mul(1_000_000_000))))
}

/// The greatest unit only: `2h`, `3d`, `1mo`.
pub(super) fn duration_round(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let nanos = match a.any(0) {
        Value::String(text) => nanoseconds(text).unwrap_or(0),
        Value::Int(int) => *int,
        _ => 0,
    };
    let seconds = nanos / 1_000_000_000;
    let units = [(31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    run.spend(8)?;
    let found = units.iter().find(|(size, _)| seconds.abs() > *size);
    Ok(text(match found {
        Some((size, unit)) => format!("{}{unit}", seconds / size),
        None => format!("{seconds}s"),
    }))
}
