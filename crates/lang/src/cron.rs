//! Cron schedules with the semantics of robfig/cron's `ParseStandard`.
//!
//! A time fires if its wall clock fits the fields: what falls into a gap of the clock is skipped, and what
//! falls into an overlap fires twice.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, civil};

use crate::LangError;

mod describe;
mod fields;
mod parse;

#[cfg(test)]
mod tests;

use fields::Fields;

const LANGUAGE: &str = "cron";
/// A schedule without a time in so many years has none.
const YEARS: i16 = 5;

/// A compiled schedule with its time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    rule: Rule,
    zone: TimeZone,
}

#[derive(Debug, Clone)]
enum Rule {
    /// At these times of the wall clock.
    Wall(Fields),
    /// So long after the time before, in whole seconds.
    Every(SignedDuration),
}

impl Schedule {
    /// Compiles; `zone` is used unless the text brings its own (`TZ=…`).
    ///
    /// # Errors
    /// Fails when the text is no schedule.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, LangError> {
        let (zone, rule, skipped) = parse::zone(text, zone)?;
        Ok(Self { rule: parse::rule(rule, skipped)?, zone })
    }

    /// The first time after `time`; `None` if there is none within five years.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(delay) => whole_second(time)?.checked_add(*delay).ok(),
            Rule::Wall(fields) => self.next_wall(fields, time),
        }
    }

    /// The last time before `time`, within five years. There is none for `@every`, whose times depend on
    /// when it began: see [`Schedule::latest_due`].
    #[must_use]
    pub fn last_before(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(_) => None,
            Rule::Wall(fields) => self.last_wall(fields, time),
        }
    }

    /// The latest time after `since` and not after `until`: the run that was missed, if any.
    #[must_use]
    pub fn latest_due(&self, since: Timestamp, until: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(delay) => {
                let start = whole_second(since)?;
                let passed = until.as_second() - start.as_second();
                let count = passed / delay.as_secs();
                let due = Timestamp::from_second(start.as_second() + count * delay.as_secs()).ok()?;
                (count > 0).then_some(due)
            }
            Rule::Wall(fields) => {
                let behind = until.checked_add(SignedDuration::from_nanos(1)).ok()?;
                self.last_wall(fields, behind).filter(|due| *due > since)
            }
        }
    }

    /// What it means, in plain English, without the time zone.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.rule {
            Rule::Every(delay) => format!("every {delay:#}"),
            Rule::Wall(fields) => describe::fields(fields),
        }
    }

    /// The zone that its times are in.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    fn next_wall(&self, fields: &Fields, time: Timestamp) -> Option<Timestamp> {
        let mut start = whole_second(time)?.checked_add(SignedDuration::from_secs(1)).ok()?;
        let last_year = self.zone.to_datetime(start).year().checked_add(YEARS)?;
        // Between two transitions the offset is fixed, so that the wall clock can be searched by itself.
        loop {
            let offset = self.zone.to_offset(start);
            let end = self.zone.following(start).next().map(|change| change.timestamp());
            let from = offset.to_datetime(start);
            if from.year() > last_year {
                return None;
            }
            let to = end.map_or(civil::DateTime::MAX, |end| offset.to_datetime(end));
            let found = fields.first_from(from, last_year).filter(|found| *found < to);
            match (found, end) {
                (Some(found), _) => return timestamp(offset, found),
                (None, Some(end)) => start = end,
                (None, None) => return None,
            }
        }
    }

    fn last_wall(&self, fields: &Fields, time: Timestamp) -> Option<Timestamp> {
        let mut end = time;
        let first_year = self.zone.to_datetime(time).year().checked_sub(YEARS)?;
        loop {
            let change = self.zone.preceding(end).next().map(|change| change.timestamp());
            let before = end.checked_sub(SignedDuration::from_nanos(1)).ok()?;
            let offset = self.zone.to_offset(before);
            let to = offset.to_datetime(before);
            if to.year() < first_year {
                return None;
            }
            let from = change.map_or(civil::DateTime::MIN, |change| offset.to_datetime(change));
            let found = fields.last_until(to, first_year).filter(|found| *found >= from);
            match (found, change) {
                (Some(found), _) => return timestamp(offset, found),
                (None, Some(change)) => end = change,
                (None, None) => return None,
            }
        }
    }
}

fn whole_second(time: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(time.as_nanosecond().div_euclid(1_000_000_000).try_into().ok()?).ok()
}

fn timestamp(offset: Offset, time: civil::DateTime) -> Option<Timestamp> {
    offset.to_timestamp(time).ok()
}
