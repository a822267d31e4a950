//! The methods of moments and durations.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Span, Zoned};

use super::arithmetic::{between, shift};
use crate::LangError;
use crate::duration::nanoseconds;
use crate::sprig::run::Run;
use crate::value::number::duration_text;
use crate::value::{Value, layout};

const KNOWN: [&str; 34] = [
    "Year",
    "Month",
    "Day",
    "Hour",
    "Minute",
    "Second",
    "Nanosecond",
    "Weekday",
    "YearDay",
    "Unix",
    "UnixMilli",
    "UnixMicro",
    "UnixNano",
    "Format",
    "Add",
    "Sub",
    "AddDate",
    "Before",
    "After",
    "Equal",
    "Truncate",
    "UTC",
    "Local",
    "In",
    "String",
    "IsZero",
    "Hours",
    "Minutes",
    "Seconds",
    "Milliseconds",
    "Microseconds",
    "Nanoseconds",
    "Abs",
    "Compare",
];

/// Whether any value has such a method.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

pub(super) fn call(
    run: &mut Run,
    object: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, LangError> {
    let result = match object {
        Value::Time(time) => of_time(time, name, arguments),
        Value::Duration(nanos) => of_duration(*nanos, name, arguments),
        _ => None,
    };
    result.ok_or_else(|| {
        let arguments: Vec<&str> = arguments.iter().map(Value::go_type).collect();
        let arguments = arguments.join(", ");
        run.fail(format!("{} has no method {name}({arguments})", object.go_type()))
    })
}

fn of_time(time: &Arc<Zoned>, name: &str, arguments: &[Value]) -> Option<Value> {
    let stamp = time.timestamp();
    Some(match (name, arguments) {
        ("Year", []) => Value::Int(time.year().into()),
        ("Month", []) => Value::Int(time.month().into()),
        ("Day", []) => Value::Int(time.day().into()),
        ("Hour", []) => Value::Int(time.hour().into()),
        ("Minute", []) => Value::Int(time.minute().into()),
        ("Second", []) => Value::Int(time.second().into()),
        ("Nanosecond", []) => Value::Int(time.subsec_nanosecond().into()),
        ("Weekday", []) => Value::Int(time.weekday().to_sunday_zero_offset().into()),
        ("YearDay", []) => Value::Int(time.day_of_year().into()),
        ("Unix", []) => Value::Int(stamp.as_second()),
        ("UnixMilli", []) => Value::Int(stamp.as_millisecond()),
        ("UnixMicro", []) => Value::Int(stamp.as_microsecond()),
        ("UnixNano", []) => Value::Int(i64::try_from(stamp.as_nanosecond()).ok()?),
        ("Format", [Value::Text(text)]) => Value::text(layout::format(text, time)),
        ("String", []) => Value::text(layout::format(layout::GO_STRING, time)),
        ("Add", [Value::Duration(nanos)]) => shift(time, *nanos)?,
        ("Sub", [Value::Time(other)]) => between(time, other),
        ("AddDate", [Value::Int(years), Value::Int(months), Value::Int(days)]) => {
            add_date(time, *years, *months, *days)?
        }
        ("Before", [Value::Time(other)]) => Value::Bool(time < other),
        ("After", [Value::Time(other)]) => Value::Bool(time > other),
        ("Equal", [Value::Time(other)]) => Value::Bool(time == other),
        ("Compare", [Value::Time(other)]) => Value::Int(time.cmp(other) as i64),
        ("Truncate", [Value::Duration(step)]) if *step > 0 => {
            let past = stamp.as_nanosecond().rem_euclid(i128::from(*step));
            shift(time, -i64::try_from(past).ok()?)?
        }
        ("UTC" | "Local", []) => Value::Time(time.with_time_zone(TimeZone::UTC).into()),
        ("In", [Value::Text(zone)]) => Value::Time(time.in_tz(zone).ok()?.into()),
        ("IsZero", []) => Value::Bool(time.year() == 1 && stamp.as_second() == -62_135_596_800),
        _ => return None,
    })
}

/// Go lets days that a month does not have run into the next one.
fn add_date(time: &Zoned, years: i64, months: i64, days: i64) -> Option<Value> {
    let day = time.day();
    let first = time.with().day(1).build().ok()?;
    let span = Span::new().try_years(years).ok()?.try_months(months).ok()?;
    let moved = first.checked_add(span).ok()?;
    let days = days.checked_add(i64::from(day) - 1)?;
    let days = Span::new().try_days(days).ok()?;
    Some(Value::Time(moved.checked_add(days).ok()?.into()))
}

#[expect(clippy::cast_precision_loss, reason = "as Go converts")]
fn of_duration(nanos: i64, name: &str, arguments: &[Value]) -> Option<Value> {
    let float = nanos as f64;
    Some(match (name, arguments) {
        ("Hours", []) => Value::Float(float / 3600e9),
        ("Minutes", []) => Value::Float(float / 60e9),
        ("Seconds", []) => Value::Float(float / 1e9),
        ("Milliseconds", []) => Value::Int(nanos / 1_000_000),
        ("Microseconds", []) => Value::Int(nanos / 1_000),
        ("Nanoseconds", []) => Value::Int(nanos),
        ("String", []) => Value::text(duration_text(nanos)),
        ("Abs", []) => Value::Duration(nanos.saturating_abs()),
        ("Truncate", [Value::Duration(step)]) if *step > 0 => Value::Duration(nanos - nanos % step),
        ("Truncate", [Value::Text(step)]) => {
            let step = nanoseconds(step).filter(|step| *step > 0)?;
            Value::Duration(nanos - nanos % step)
        }
        _ => return None,
    })
}
