//! Reads a moment that is written in one of Go's layouts.

use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

use super::{DAYS, MONTHS, Part, parts};

#[derive(Default)]
struct Fields {
    year: Option<i32>,
    month: Option<i32>,
    day: Option<i32>,
    day_of_year: Option<i32>,
    hour: i32,
    minute: i32,
    second: i32,
    nanos: i32,
    afternoon: Option<bool>,
    offset: Option<i32>,
    zone: Option<String>,
}

/// Reads `text` in a layout; `None` where it does not fit. `zone` is taken where the text names none.
pub(crate) fn parse(layout: &str, text: &str, zone: &TimeZone) -> Option<Zoned> {
    let mut fields = Fields::default();
    let mut rest = text;
    let parts = parts(layout);
    for (index, part) in parts.iter().enumerate() {
        rest = fields.read(*part, rest)?;
        // Seconds may have a fraction that the layout does not show.
        let shown = matches!(parts.get(index + 1), Some(Part::Fraction { .. }));
        if matches!(part, Part::Second { .. }) && !shown {
            rest = fields.read_fraction(rest).unwrap_or(rest);
        }
    }
    if !rest.is_empty() {
        return None;
    }
    fields.zoned(zone)
}

/// Reads `text` in the first layout that fits.
pub(crate) fn parse_any(layouts: &[&str], text: &str, zone: &TimeZone) -> Option<Zoned> {
    layouts.iter().find_map(|layout| parse(layout, text, zone))
}

/// One to `most` digits, at least `least`.
fn digits(text: &str, least: usize, most: usize) -> Option<(i32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(count)?;
    (count >= least).then_some(())?;
    Some((number.parse().ok()?, rest))
}

fn one_of<'a>(names: &[&str], letters: usize, text: &'a str) -> Option<(i32, &'a str)> {
    names.iter().zip(0..).find_map(|(name, index)| {
        let name = name.get(..letters.min(name.len()))?;
        let start = text.get(..name.len())?;
        start.eq_ignore_ascii_case(name).then(|| (index, text.get(name.len()..).unwrap_or_default()))
    })
}

impl Fields {
    fn read<'a>(&mut self, part: Part<'_>, text: &'a str) -> Option<&'a str> {
        let (slot, (value, rest)) = match part {
            Part::Literal(literal) => return text.strip_prefix(literal),
            Part::Fraction { trim: true, .. } => {
                return Some(self.read_fraction(text).unwrap_or(text));
            }
            Part::Fraction { .. } => return self.read_fraction(text),
            Part::HalfDay { .. } => return self.read_half_day(text),
            Part::Offset { zulu, colon, minutes, seconds } => {
                return self.read_offset(text, zulu, colon, minutes, seconds);
            }
            Part::Zone => return self.read_zone(text),
            Part::Weekday => return one_of(&DAYS, 9, text).map(|(_, rest)| rest),
            Part::ShortWeekday => return one_of(&DAYS, 3, text).map(|(_, rest)| rest),
            Part::Hour => (&mut self.hour, digits(text, 1, 2)?),
            Part::Hour12 { zero } => (&mut self.hour, digits(text, 1 + usize::from(zero), 2)?),
            Part::Minute { zero } => (&mut self.minute, digits(text, 1 + usize::from(zero), 2)?),
            Part::Second { zero } => (&mut self.second, digits(text, 1 + usize::from(zero), 2)?),
            Part::Year => (self.year.get_or_insert(0), digits(text, 4, 4)?),
            Part::ShortYear => {
                let (year, rest) = digits(text, 2, 2)?;
                self.year = Some(if year >= 69 { 1900 + year } else { 2000 + year });
                return Some(rest);
            }
            Part::Month | Part::ShortMonth => {
                let letters = if part == Part::Month { 9 } else { 3 };
                let (month, rest) = one_of(&MONTHS, letters, text)?;
                self.month = Some(month + 1);
                return Some(rest);
            }
            Part::MonthNumber { zero } => {
                (self.month.get_or_insert(0), digits(text, 1 + usize::from(zero), 2)?)
            }
            Part::Day { fill } => {
                let text = if fill == Some(' ') { text.trim_start_matches(' ') } else { text };
                let least = if fill == Some('0') { 2 } else { 1 };
                (self.day.get_or_insert(0), digits(text, least, 2)?)
            }
            Part::DayOfYear { .. } => {
                (self.day_of_year.get_or_insert(0), digits(text.trim_start_matches(' '), 1, 3)?)
            }
        };
        *slot = value;
        Some(rest)
    }

    fn read_fraction<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let tail = text.strip_prefix(['.', ','])?;
        let count = tail.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = tail.split_at_checked(count)?;
        (count > 0).then_some(())?;
        let nine: String = number.chars().chain("000000000".chars()).take(9).collect();
        self.nanos = nine.parse().ok()?;
        Some(rest)
    }

    fn read_half_day<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let word = text.get(..2)?;
        self.afternoon = Some(if word.eq_ignore_ascii_case("PM") {
            true
        } else if word.eq_ignore_ascii_case("AM") {
            false
        } else {
            return None;
        });
        text.get(2..)
    }

    fn read_offset<'a>(
        &mut self,
        text: &'a str,
        zulu: bool,
        colon: bool,
        minutes: bool,
        seconds: bool,
    ) -> Option<&'a str> {
        if zulu && let Some(rest) = text.strip_prefix('Z') {
            self.offset = Some(0);
            return Some(rest);
        }
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let rest = text.strip_prefix(['+', '-'])?;
        let (hours, mut rest) = digits(rest, 2, 2)?;
        let mut total = hours * 3600;
        for (wanted, scale) in [(minutes, 60), (seconds, 1)] {
            if wanted {
                let tail = if colon { rest.strip_prefix(':')? } else { rest };
                let (value, tail) = digits(tail, 2, 2)?;
                total += value * scale;
                rest = tail;
            }
        }
        self.offset = Some(sign * total);
        Some(rest)
    }

    fn read_zone<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let end =
            text.find(|c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '-').unwrap_or(text.len());
        let (zone, rest) = text.split_at_checked(end)?;
        (zone.len() >= 3).then(|| self.zone = Some(zone.to_owned()))?;
        Some(rest)
    }

    fn zoned(self, zone: &TimeZone) -> Option<Zoned> {
        let hour = match self.afternoon {
            None => self.hour,
            Some(_) if self.hour > 12 => return None,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
        };
        // Go's zero moment has the year 0, month and day 1.
        let year = i16::try_from(self.year.unwrap_or(0)).ok()?;
        let date = match self.day_of_year {
            Some(day) => {
                Date::new(year, 1, 1).ok()?.with().day_of_year(i16::try_from(day).ok()?).build().ok()?
            }
            None => Date::new(
                year,
                i8::try_from(self.month.unwrap_or(1)).ok()?,
                i8::try_from(self.day.unwrap_or(1)).ok()?,
            )
            .ok()?,
        };
        let time = jiff::civil::Time::new(
            i8::try_from(hour).ok()?,
            i8::try_from(self.minute).ok()?,
            i8::try_from(self.second).ok()?,
            self.nanos,
        )
        .ok()?;
        let zone = match (self.offset, self.zone.as_deref()) {
            (Some(0), _) | (None, Some(_)) => TimeZone::UTC,
            (Some(seconds), _) => TimeZone::fixed(Offset::from_seconds(seconds).ok()?),
            (None, None) => zone.clone(),
        };
        date.to_datetime(time).to_zoned(zone).ok()
    }
}
