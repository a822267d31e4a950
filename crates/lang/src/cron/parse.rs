//! Reads the text of a schedule.

use jiff::SignedDuration;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::fields::{Fields, Set};
use super::{LANGUAGE, Rule};
use crate::LangError;

/// What a field may hold.
struct Bounds {
    what: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds { what: "minute", least: 0, most: 59, names: &[] };
const HOUR: Bounds = Bounds { what: "hour", least: 0, most: 23, names: &[] };
const DAY: Bounds = Bounds { what: "day of the month", least: 1, most: 31, names: &[] };
const MONTH: Bounds = Bounds {
    what: "month",
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Bounds =
    Bounds { what: "weekday", least: 0, most: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// Longer ones are no schedule anybody wrote.
const LONGEST: usize = 1000;

fn syntax(message: impl Into<String>, offset: usize) -> LangError {
    LangError::Syntax { language: LANGUAGE, message: message.into(), offset }
}

/// The zone of a schedule, the rest of its text, and how many characters were taken off.
pub(super) fn zone<'t>(text: &'t str, zone: &TimeZone) -> Result<(TimeZone, &'t str, usize), LangError> {
    let trimmed = text.trim();
    let own = trimmed.strip_prefix("CRON_TZ=").or_else(|| trimmed.strip_prefix("TZ="));
    let Some(own) = own else {
        let skipped = text.chars().take_while(|character| character.is_whitespace()).count();
        return Ok((zone.clone(), trimmed, skipped));
    };
    let (name, rule) = own
        .split_once(char::is_whitespace)
        .ok_or_else(|| syntax("a schedule must follow the time zone", text.chars().count()))?;
    let rule = rule.trim_start();
    let offset =
        |part: &str| text.chars().count() - text.trim_end().len().abs_diff(text.len()) - part.chars().count();
    let zone = match name {
        "" => TimeZone::UTC,
        "Local" => zone.clone(),
        // The zones that are built in: what a schedule means does not depend on the machine.
        name => TimeZoneDatabase::bundled()
            .get(name)
            .map_err(|_| syntax(format!("there is no time zone `{name}`"), offset(own)))?,
    };
    Ok((zone, rule, offset(rule)))
}

/// Reads a schedule without its zone; `skipped` characters stood before it.
pub(super) fn rule(text: &str, skipped: usize) -> Result<Rule, LangError> {
    if text.is_empty() {
        return Err(syntax("the schedule is empty", skipped));
    }
    if text.len() > LONGEST {
        return Err(LangError::Limit { language: LANGUAGE, limit: "length" });
    }
    if let Some(duration) = text.strip_prefix("@every ") {
        return every(duration.trim()).map_err(|message| syntax(message, skipped + 7));
    }
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other if other.starts_with('@') => {
            let message = format!(
                "`{other}` is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @every"
            );
            return Err(syntax(message, skipped));
        }
        other => other,
    };
    five_fields(fields, skipped).map(Rule::Wall)
}

fn five_fields(text: &str, skipped: usize) -> Result<Fields, LangError> {
    let mut fields = Vec::new();
    let mut offset = skipped;
    for part in text.split(char::is_whitespace) {
        if !part.is_empty() {
            fields.push((part, offset));
        }
        offset += part.chars().count() + 1;
    }
    let [minute, hour, day, month, weekday] = fields[..] else {
        let count = fields.len();
        let hint = if count == 6 { " (there is no field for seconds)" } else { "" };
        let message =
            format!("a schedule has five fields, minute hour day month weekday; there are {count}{hint}");
        return Err(syntax(message, skipped));
    };
    Ok(Fields {
        minute: set(minute, &MINUTE)?,
        hour: set(hour, &HOUR)?,
        day: set(day, &DAY)?,
        month: set(month, &MONTH)?,
        weekday: set(weekday, &WEEKDAY)?,
    })
}

fn set((text, offset): (&str, usize), bounds: &Bounds) -> Result<Set, LangError> {
    let mut set = Set { bits: 0, open: false };
    let mut at = offset;
    for part in text.split(',') {
        if !part.is_empty() {
            let range =
                range(part, bounds).map_err(|message| syntax(format!("{}: {message}", bounds.what), at))?;
            set.bits |= range.bits;
            set.open |= range.open;
        }
        at += part.chars().count() + 1;
    }
    if set.bits == 0 {
        return Err(syntax(format!("{}: there is no value", bounds.what), offset));
    }
    Ok(set)
}

/// `*`, `N`, `N-M`, each perhaps with `/STEP`; `N/STEP` goes on to the end.
fn range(text: &str, bounds: &Bounds) -> Result<Set, String> {
    let (span, step) = match text.split_once('/') {
        Some((span, step)) => (span, Some(whole(step)?)),
        None => (text, None),
    };
    let (low, high) = match span.split_once('-') {
        Some((low, high)) => (low, Some(high)),
        None => (span, None),
    };
    let is_star = matches!(low, "*" | "?");
    let (start, end) = if is_star {
        (bounds.least, bounds.most)
    } else {
        let start = value(low, bounds)?;
        let end = match high {
            Some(high) => value(high, bounds)?,
            None if step.is_some() => bounds.most,
            None => start,
        };
        (start, end)
    };
    if start < bounds.least || end > bounds.most {
        return Err(format!("`{text}` is not within {} to {}", bounds.least, bounds.most));
    }
    if start > end {
        return Err(format!("`{text}` begins after its end"));
    }
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(format!("the step of `{text}` must be greater than zero"));
    }
    let bits = (start..=end)
        .step_by(usize::try_from(step).unwrap_or(usize::MAX))
        .fold(0, |bits, value| bits | 1 << value);
    Ok(Set { bits, open: is_star && step == 1 })
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let name = bounds.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match name {
        Some(index) => Ok(bounds.least + u32::try_from(index).unwrap_or(0)),
        None => whole(text),
    }
}

fn whole(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// A Go duration, cut to whole seconds, of at least one.
fn every(text: &str) -> Result<Rule, String> {
    let wrong = || format!("`{text}` is no duration such as 1h30m or 90s");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0_f64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| !(character.is_ascii_digit() || character == '.'))
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let letters = after
            .find(|character: char| character.is_ascii_digit() || character == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters).ok_or_else(wrong)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            "" if total == 0.0 && number.parse() == Ok(0.0) => 0.0,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * seconds;
        rest = after;
    }
    // Go's durations end at 292 years.
    if total > 9.2e9 {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, reason = "cut to whole seconds, and held within a limit")]
    let seconds = (total + 1e-9) as i64;
    Ok(Rule::Every(SignedDuration::from_secs(seconds.max(1))))
}
