//! When a calendar ticks. Pure.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tiphys_lang::cron::Schedule;
use tiphys_manifest::event_source::Calendar as Config;

use crate::error::Error;

/// Missed ticks older than this are let go where the manifest does not say.
const CATCH_UP: SignedDuration = SignedDuration::from_mins(5);
/// A calendar in which so many ticks in a row are excluded has none.
const MAX_EXCLUDED: usize = 100_000;

/// A compiled calendar.
#[derive(Debug)]
pub(super) struct Plan {
    rule: Rule,
    zone: TimeZone,
    excluded: BTreeSet<Date>,
    /// How old a missed tick may be; none: missed ticks are let go.
    catch_up: Option<SignedDuration>,
}

#[derive(Debug)]
enum Rule {
    Cron(Box<Schedule>),
    Every(SignedDuration),
}

impl Plan {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let zone = match config.timezone.as_str() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| {
                Error::config(
                    format!("there is no time zone `{name}`"),
                    "use an IANA name such as `Europe/Vienna`",
                )
            })?,
        };
        let catch_up = config.persistence.as_ref().map(|p| &p.catchup);
        Ok(Self {
            rule: rule(config, &zone)?,
            excluded: excluded(&config.exclusion_dates)?,
            catch_up: match catch_up {
                Some(catch_up) if catch_up.enabled => Some(max_age(&catch_up.max_duration)?),
                _ => None,
            },
            zone,
        })
    }

    pub(super) const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first tick of a task that begins now, where `last` is the last tick whose event was stored.
    pub(super) fn first(&self, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let anchor = last.unwrap_or(now);
        self.from(anchor, self.since(anchor, now))
    }

    /// The tick that follows `tick`.
    pub(super) fn after(&self, tick: Timestamp, now: Timestamp) -> Option<Timestamp> {
        self.from(tick, self.since(tick, now))
    }

    /// After what time the next tick is wanted. Without catch-up what was missed is gone, as in Argo.
    fn since(&self, last: Timestamp, now: Timestamp) -> Timestamp {
        let oldest = match self.catch_up {
            Some(age) => now.checked_sub(age).unwrap_or(last),
            None => now,
        };
        last.max(oldest)
    }

    /// The first tick after `time` that is not excluded; intervals count from `anchor`.
    fn from(&self, anchor: Timestamp, mut time: Timestamp) -> Option<Timestamp> {
        for _ in 0..MAX_EXCLUDED {
            time = match &self.rule {
                Rule::Cron(schedule) => schedule.next_after(time)?,
                Rule::Every(interval) => on_grid(anchor, *interval, time)?,
            };
            if !self.excluded.contains(&time.to_zoned(self.zone.clone()).date()) {
                return Some(time);
            }
        }
        None
    }
}

fn rule(config: &Config, zone: &TimeZone) -> Result<Rule, Error> {
    if !config.schedule.is_empty() {
        return match Schedule::parse(&config.schedule, zone) {
            Ok(schedule) => Ok(Rule::Cron(Box::new(schedule))),
            Err(wrong) => Err(Error::config(
                format!("`schedule: {}` is no schedule: {wrong}", config.schedule),
                "use five cron fields, such as `30 6 * * *`",
            )),
        };
    }
    // Below a second no interval is meant for a calendar, and the bus would be flooded.
    let interval = duration(&config.interval).filter(|i| *i >= SignedDuration::from_secs(1));
    interval.map(Rule::Every).ok_or_else(|| {
        Error::config(
            "a calendar needs a `schedule`, or an `interval` of at least one second",
            "use for example `interval: 10s`",
        )
    })
}

/// A duration that moves on.
fn duration(text: &str) -> Option<SignedDuration> {
    let read = tiphys_lang::duration::parse(text.trim())?;
    SignedDuration::try_from(read).ok().filter(SignedDuration::is_positive)
}

fn max_age(text: &str) -> Result<SignedDuration, Error> {
    if text.is_empty() {
        return Ok(CATCH_UP);
    }
    duration(text)
        .ok_or_else(|| Error::config(format!("`maxDuration: {text}` is no duration"), "use for example `5m`"))
}

/// The dates of `EXDATE` lines: `EXDATE:20190102T150405Z`, with parameters, or lists of them.
fn excluded(lines: &[String]) -> Result<BTreeSet<Date>, Error> {
    let times = lines.iter().flat_map(|line| {
        let times = line.rsplit_once(':').map_or(line.as_str(), |(_, times)| times);
        times.split(',').map(str::trim)
    });
    let date = |text: &str| {
        text.get(..8).and_then(|day| Date::strptime("%Y%m%d", day).ok()).ok_or_else(|| {
            Error::config(
                format!("`{text}` in `exclusionDates` is no date"),
                "write it as `EXDATE:20190102T150405Z`",
            )
        })
    };
    times.map(date).collect()
}

/// The first of `anchor + n * interval`, `n ≥ 1`, after `time`; whole seconds, as in Argo.
fn on_grid(anchor: Timestamp, interval: SignedDuration, time: Timestamp) -> Option<Timestamp> {
    let anchor = i128::from(anchor.as_second()) * 1_000_000_000;
    let (step, time) = (interval.as_nanos(), time.as_nanosecond());
    let steps = (time - anchor).div_euclid(step).max(0) + 1;
    Timestamp::from_nanosecond(anchor + steps * step).ok()
}

#[cfg(test)]
mod tests {
    use tiphys_manifest::event_source::calendar::{CatchUp, Persistence};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn with_catch_up(config: Config, max: &str) -> Config {
        let catchup = CatchUp { enabled: true, max_duration: max.into() };
        Config { persistence: Some(Persistence { catchup, config_map: None }), ..config }
    }

    fn every(interval: &str) -> Config {
        Config { interval: interval.into(), ..Config::default() }
    }

    fn ticks(plan: &Plan, last: Option<&str>, now: &str, n: usize) -> Vec<String> {
        let now = at(now);
        let mut next = plan.first(last.map(at), now);
        let mut all = Vec::new();
        while let Some(tick) = next.filter(|_| all.len() < n) {
            all.push(tick.to_string());
            next = plan.after(tick, now.max(tick));
        }
        all
    }

    #[test]
    fn an_interval_counts_from_the_start_and_goes_on_after_a_restart() {
        let plan = Plan::new(&every("10s")).unwrap();
        assert_eq!(
            ticks(&plan, None, "2026-01-01T00:00:03.4Z", 2),
            ["2026-01-01T00:00:13Z", "2026-01-01T00:00:23Z"]
        );
        assert_eq!(
            ticks(&plan, Some("2026-01-01T00:00:03Z"), "2026-01-01T00:01:00Z", 1),
            ["2026-01-01T00:01:03Z"]
        );
        assert_eq!(
            ticks(&plan, Some("2026-01-01T00:00:03Z"), "2026-01-01T00:00:13Z", 1),
            ["2026-01-01T00:00:23Z"]
        );
    }

    #[test]
    fn missed_ticks_are_made_good_as_far_as_they_are_young() {
        let plan = Plan::new(&with_catch_up(every("1m"), "150s")).unwrap();
        assert_eq!(
            ticks(&plan, Some("2026-01-01T00:00:00Z"), "2026-01-01T00:10:10Z", 4),
            ["2026-01-01T00:08:00Z", "2026-01-01T00:09:00Z", "2026-01-01T00:10:00Z", "2026-01-01T00:11:00Z"]
        );
        let first = ticks(&plan, None, "2026-01-01T00:10:10Z", 1);
        assert_eq!(first, ["2026-01-01T00:11:10Z"]);
    }

    #[test]
    fn excluded_days_are_left_out() {
        let config = Config {
            exclusion_dates: vec![
                "EXDATE:20260102T150405Z".into(),
                "EXDATE;TZID=Europe/Vienna:20260103T000000,20260104".into(),
            ],
            ..every("24h")
        };
        let plan = Plan::new(&config).unwrap();
        assert_eq!(ticks(&plan, None, "2026-01-01T12:00:00Z", 1), ["2026-01-05T12:00:00Z"]);
    }

    #[test]
    fn a_schedule_keeps_to_its_zone() {
        let config = Config {
            schedule: "30 6 * * *".into(),
            timezone: "America/New_York".into(),
            ..Config::default()
        };
        let plan = Plan::new(&config).unwrap();
        assert_eq!(
            ticks(&plan, None, "2026-01-01T12:00:00Z", 2),
            ["2026-01-02T11:30:00Z", "2026-01-03T11:30:00Z"]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let zone = Config { timezone: "Mars/Base".into(), ..every("10s") };
        let date = Config { exclusion_dates: vec!["EXDATE:tomorrow".into()], ..every("10s") };
        let schedule = Config { schedule: "* * *".into(), ..Config::default() };
        let age = with_catch_up(every("10s"), "long");
        for config in [Config::default(), every("10ms"), every("x"), zone, date, schedule, age] {
            assert!(matches!(Plan::new(&config), Err(Error::Config { .. })), "{config:?}");
        }
    }
}
