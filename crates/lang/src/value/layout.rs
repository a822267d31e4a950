//! Go's time layouts, in which the moment of 2 January 2006, 15:04:05, shows the form.

use jiff::Zoned;
use jiff::tz::{Offset, TimeZone};

mod parse;

pub(crate) use parse::{parse, parse_any};

pub(crate) const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
pub(crate) const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";
/// What Go's `Time.String` prints.
pub(crate) const GO_STRING: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(crate) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// One part of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Literal(&'a str),
    Year,
    ShortYear,
    Month,
    ShortMonth,
    MonthNumber { zero: bool },
    Weekday,
    ShortWeekday,
    Day { fill: Option<char> },
    DayOfYear { fill: char },
    Hour,
    Hour12 { zero: bool },
    Minute { zero: bool },
    Second { zero: bool },
    Fraction { digits: usize, trim: bool, comma: bool },
    HalfDay { upper: bool },
    Offset { zulu: bool, colon: bool, minutes: bool, seconds: bool },
    Zone,
}

const fn offset(zulu: bool, colon: bool, minutes: bool, seconds: bool) -> Part<'static> {
    Part::Offset { zulu, colon, minutes, seconds }
}

/// Longer forms stand before those they begin with.
const FORMS: [(&str, Part<'static>); 34] = [
    ("January", Part::Month),
    ("Jan", Part::ShortMonth),
    ("Monday", Part::Weekday),
    ("Mon", Part::ShortWeekday),
    ("MST", Part::Zone),
    ("2006", Part::Year),
    ("002", Part::DayOfYear { fill: '0' }),
    ("__2", Part::DayOfYear { fill: ' ' }),
    ("_2006", Part::Literal("_")),
    ("01", Part::MonthNumber { zero: true }),
    ("02", Part::Day { fill: Some('0') }),
    ("03", Part::Hour12 { zero: true }),
    ("04", Part::Minute { zero: true }),
    ("05", Part::Second { zero: true }),
    ("06", Part::ShortYear),
    ("15", Part::Hour),
    ("_2", Part::Day { fill: Some(' ') }),
    ("PM", Part::HalfDay { upper: true }),
    ("pm", Part::HalfDay { upper: false }),
    ("-07:00:00", offset(false, true, true, true)),
    ("-070000", offset(false, false, true, true)),
    ("-07:00", offset(false, true, true, false)),
    ("-0700", offset(false, false, true, false)),
    ("-07", offset(false, false, false, false)),
    ("Z07:00:00", offset(true, true, true, true)),
    ("Z070000", offset(true, false, true, true)),
    ("Z07:00", offset(true, true, true, false)),
    ("Z0700", offset(true, false, true, false)),
    ("Z07", offset(true, false, false, false)),
    ("1", Part::MonthNumber { zero: false }),
    ("2", Part::Day { fill: None }),
    ("3", Part::Hour12 { zero: false }),
    ("4", Part::Minute { zero: false }),
    ("5", Part::Second { zero: false }),
];

/// Cuts a layout into its parts.
fn parts(layout: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(rest) = layout.get(at..).filter(|rest| !rest.is_empty()) {
        let Some((length, part)) = form(rest) else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if start < at {
            parts.push(Part::Literal(layout.get(start..at).unwrap_or_default()));
        }
        parts.push(part);
        at += length;
        start = at;
    }
    if start < layout.len() {
        parts.push(Part::Literal(layout.get(start..).unwrap_or_default()));
    }
    parts
}

fn form(rest: &str) -> Option<(usize, Part<'static>)> {
    if let Some(part) = fraction(rest) {
        return Some(part);
    }
    FORMS.iter().find_map(|(text, part)| {
        let tail = rest.strip_prefix(text)?;
        // "Janus" and "Month" are words.
        let word = matches!(part, Part::ShortMonth | Part::ShortWeekday)
            && tail.starts_with(|c: char| c.is_ascii_lowercase());
        let length = if *text == "_2006" { 1 } else { text.len() };
        (!word).then_some((length, *part))
    })
}

fn fraction(rest: &str) -> Option<(usize, Part<'static>)> {
    let comma = rest.starts_with(',');
    let tail = rest.strip_prefix(['.', ','])?;
    let digit = tail.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let after = tail.trim_start_matches(digit);
    let digits = tail.len() - after.len();
    let part = Part::Fraction { digits, trim: digit == '9', comma };
    (!after.starts_with(|c: char| c.is_ascii_digit())).then_some((digits + 1, part))
}

/// Writes a moment in a layout.
pub(crate) fn format(layout: &str, time: &Zoned) -> String {
    let mut out = String::new();
    for part in parts(layout) {
        write(&mut out, part, time);
    }
    out
}

fn name<const N: usize>(names: &[&'static str; N], index: i8) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

fn padded(value: i32, zero: bool) -> String {
    if zero { format!("{value:02}") } else { value.to_string() }
}

fn write(out: &mut String, part: Part<'_>, time: &Zoned) {
    let month = name(&MONTHS, time.month() - 1);
    let weekday = name(&DAYS, time.weekday().to_sunday_zero_offset());
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => i32::from(hour),
    };
    let text = match part {
        Part::Literal(text) => text.to_owned(),
        Part::Year => format!("{:04}", time.year()),
        Part::ShortYear => format!("{:02}", time.year().rem_euclid(100)),
        Part::Month => month.to_owned(),
        Part::ShortMonth => month.chars().take(3).collect(),
        Part::MonthNumber { zero } => padded(time.month().into(), zero),
        Part::Weekday => weekday.to_owned(),
        Part::ShortWeekday => weekday.chars().take(3).collect(),
        Part::Day { fill: None } => time.day().to_string(),
        Part::Day { fill: Some('0') } => format!("{:02}", time.day()),
        Part::Day { .. } => format!("{:2}", time.day()),
        Part::DayOfYear { fill: '0' } => format!("{:03}", time.day_of_year()),
        Part::DayOfYear { .. } => format!("{:3}", time.day_of_year()),
        Part::Hour => format!("{:02}", time.hour()),
        Part::Hour12 { zero } => padded(hour12, zero),
        Part::Minute { zero } => padded(time.minute().into(), zero),
        Part::Second { zero } => padded(time.second().into(), zero),
        Part::Fraction { digits, trim, comma } => {
            fraction_text(time.subsec_nanosecond(), digits, trim, comma)
        }
        Part::HalfDay { upper } => match (time.hour() >= 12, upper) {
            (true, true) => "PM",
            (true, false) => "pm",
            (false, true) => "AM",
            (false, false) => "am",
        }
        .to_owned(),
        Part::Offset { zulu, colon, minutes, seconds } => {
            offset_text(time.offset(), zulu, colon, minutes, seconds)
        }
        Part::Zone => zone_text(time),
    };
    out.push_str(&text);
}

fn fraction_text(nanos: i32, digits: usize, trim: bool, comma: bool) -> String {
    let all = format!("{nanos:09}");
    let mut kept: String = all.chars().chain("000000000".chars()).take(digits).collect();
    if trim {
        kept.truncate(kept.trim_end_matches('0').len());
        if kept.is_empty() {
            return kept;
        }
    }
    format!("{}{kept}", if comma { ',' } else { '.' })
}

fn offset_text(offset: Offset, zulu: bool, colon: bool, minutes: bool, seconds: bool) -> String {
    let total = offset.seconds();
    if zulu && total == 0 {
        return "Z".to_owned();
    }
    let sign = if total < 0 { '-' } else { '+' };
    let size = total.unsigned_abs();
    let between = if colon { ":" } else { "" };
    let mut text = format!("{sign}{:02}", size / 3600);
    if minutes {
        text.push_str(&format!("{between}{:02}", size / 60 % 60));
    }
    if seconds {
        text.push_str(&format!("{between}{:02}", size % 60));
    }
    text
}

fn zone_text(time: &Zoned) -> String {
    if time.time_zone() == &TimeZone::UTC {
        return "UTC".to_owned();
    }
    // A zone that is only an offset has no name in Go.
    if time.time_zone().iana_name().is_none() {
        return if time.offset() == Offset::UTC {
            "UTC".to_owned()
        } else {
            let size = time.offset().seconds();
            offset_text(time.offset(), false, false, size % 3600 != 0, false)
        };
    }
    time.strftime("%Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Zoned {
        text.parse().unwrap()
    }

    #[test]
    fn layouts_print_as_go_prints_them() {
        let time = moment("2023-11-04T09:07:05.120+02:00[Europe/Helsinki]");
        for (layout, text) in [
            ("2006-01-02", "2023-11-04"),
            ("Mon Jan _2 15:04:05 2006", "Sat Nov  4 09:07:05 2023"),
            ("Monday, January 2", "Saturday, November 4"),
            ("3:04PM", "9:07AM"),
            ("03:4:5 pm", "09:7:5 am"),
            (RFC3339, "2023-11-04T09:07:05+02:00"),
            (RFC3339_NANO, "2023-11-04T09:07:05.12+02:00"),
            ("05.000", "05.120"),
            ("-0700 MST", "+0200 EET"),
            ("06 002 Z07", "23 308 +02"),
            ("Month of Janus", "Month of Janus"),
            ("grüße 1", "grüße 11"),
        ] {
            assert_eq!(format(layout, &time), text, "{layout}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let time = moment("2023-11-04T09:07:05.120+02:00[+02:00]");
        for layout in [RFC3339_NANO, GO_STRING, "Monday, 02-Jan-06 3:04:05.000pm -07:00"] {
            let text = format(layout, &time);
            let read = parse(layout, &text, &TimeZone::UTC).unwrap();
            assert_eq!(read, time, "{text}");
        }
        assert!(parse("2006-01-02", "2023-02-30", &TimeZone::UTC).is_none());
        assert!(parse("2006-01-02", "2023-02-03x", &TimeZone::UTC).is_none());
        assert!(parse("2006-01-02", "", &TimeZone::UTC).is_none());
    }
}
