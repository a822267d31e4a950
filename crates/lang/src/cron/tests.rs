use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> TimeZone {
    jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap()
}

fn schedule(text: &str, name: &str) -> Schedule {
    Schedule::parse(text, &zone(name)).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next times after `from`, on the wall clock with its offset.
fn times(text: &str, name: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = schedule(text, name);
    let mut time = at(from);
    let next = || {
        time = schedule.next_after(time).unwrap();
        time.to_zoned(schedule.zone().clone()).strftime("%dT%H:%M%:z").to_string()
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn what_falls_into_a_gap_is_skipped() {
    let days = times("30 2 * * *", "America/New_York", "2026-03-07T00:00:00Z", 2);
    assert_eq!(days, ["07T02:30-05:00", "09T02:30-04:00"]);
    let halves = times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3);
    assert_eq!(halves, ["29T01:30+01:00", "29T03:00+02:00", "29T03:30+02:00"]);
    // Midnight itself is missing here.
    let nights = times("0 0 * * *", "America/Sao_Paulo", "2018-11-02T12:00:00Z", 2);
    assert_eq!(nights, ["03T00:00-03:00", "05T00:00-02:00"]);
    // A whole day is.
    let nights = times("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 2);
    assert_eq!(nights, ["29T09:00-10:00", "31T09:00+14:00"]);
}

#[test]
fn what_falls_into_an_overlap_fires_twice() {
    let runs = times("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", 3);
    assert_eq!(runs, ["01T01:30-04:00", "01T01:30-05:00", "02T01:30-05:00"]);
    // Clocks go back by half an hour here, from 02:00 to 01:30.
    let runs = times("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 3);
    assert_eq!(runs, ["05T01:45+11:00", "05T01:45+10:30", "06T01:45+10:30"]);
}

#[test]
fn a_shift_of_half_an_hour_loses_no_later_run() {
    // robfig misses the first of these, and the first of the month after it.
    let runs = times("15 5 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2);
    assert_eq!(runs, ["04T05:15+11:00", "05T05:15+11:00"]);
}

#[test]
fn every_counts_whole_seconds_from_the_time_before() {
    let hourly = schedule("@every 1h", "UTC");
    let next = hourly.next_after(at("2026-01-01T00:00:00.75Z"));
    assert_eq!(next, Some(at("2026-01-01T01:00:00Z")));
    assert_eq!(hourly.last_before(at("2026-01-01T00:00:00Z")), None);
    let due = hourly.latest_due(at("2026-01-01T00:30:00Z"), at("2026-01-01T05:00:00Z"));
    assert_eq!(due, Some(at("2026-01-01T04:30:00Z")));
    let none = hourly.latest_due(at("2026-01-01T00:30:00Z"), at("2026-01-01T01:29:59.9Z"));
    assert_eq!(none, None);
    assert!(Schedule::parse("@every -5m", &TimeZone::UTC).is_err());
    for (short, expected) in [("@every 0s", 1), ("@every 100ms", 1), ("@every .5m", 30), ("@every 1.9s", 1)] {
        let next = schedule(short, "UTC").next_after(Timestamp::UNIX_EPOCH);
        assert_eq!(next.unwrap().as_second(), expected, "{short}");
    }
}

#[test]
fn missed_runs_are_found() {
    let nightly = schedule("TZ=Etc/GMT 1 6 * * *", "Asia/Tokyo");
    assert_eq!(nightly.last_before(at("2026-05-05T06:01:00Z")), Some(at("2026-05-04T06:01:00Z")));
    assert_eq!(nightly.last_before(at("2026-05-05T06:01:00.1Z")), Some(at("2026-05-05T06:01:00Z")));
    let due = |since, until| nightly.latest_due(at(since), at(until));
    assert_eq!(due("2026-05-01T06:01:00Z", "2026-05-05T06:01:00Z"), Some(at("2026-05-05T06:01:00Z")));
    assert_eq!(due("2026-05-05T06:01:00Z", "2026-05-05T09:00:00Z"), None);
}

#[test]
fn days_that_never_come_have_no_time() {
    let never = schedule("0 0 30 2 *", "UTC");
    assert_eq!(never.next_after(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(never.last_before(at("2026-01-01T00:00:00Z")), None);
    let leap = schedule("0 0 29 2 *", "UTC");
    assert_eq!(leap.next_after(at("2096-03-01T00:00:00Z")), None);
    assert_eq!(leap.last_before(at("2027-03-01T00:00:00Z")), Some(at("2024-02-29T00:00:00Z")));
    assert_eq!(leap.next_after(Timestamp::MAX), None);
    assert_eq!(leap.last_before(Timestamp::MIN), None);
}

#[test]
fn errors_say_where_and_what() {
    let error = |text: &str| Schedule::parse(text, &TimeZone::UTC).unwrap_err().to_string();
    assert_eq!(error("0 24 * * *"), "cron: hour: `24` is not within 0 to 23 at character 2");
    assert_eq!(
        error("TZ=Europe/Berlin  0 0 1,x * *"),
        "cron: day of the month: `x` is no number at character 24"
    );
    assert_eq!(
        error(" TZ=Europe/Berlni 0 0 * * *"),
        "cron: there is no time zone `Europe/Berlni` at character 4"
    );
    assert!(error("0 30 7 * * *").contains("there are 6 (there is no field for seconds)"));
    assert!(error("@reboot").contains("@every"));
    assert!(error("@every soon").contains("no duration"));
    for text in ["", " ", "TZ=UTC", "TZ=UTC ", ", * * * *", "1-2-3 * * * *", "1/2/3 * * * *", "5-1 * * * *"] {
        assert!(Schedule::parse(text, &TimeZone::UTC).is_err(), "{text:?}");
    }
}

#[test]
fn speaks_plain_english() {
    for (text, expected) in [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("15 * * * *", "every hour at minute 15"),
        ("1 6 * * *", "at 06:01 every day"),
        ("30 7 * * 1,4", "at 07:30 on Monday and Thursday"),
        ("0 9-17/4 * * MON-FRI", "at 09:00, 13:00 and 17:00 on Monday to Friday"),
        ("0 0 1,15 * 3", "at 00:00 on day 1 and 15 of the month or on Wednesday"),
        ("0 */2 * * *", "at minute 0 of every 2 hours every day"),
        ("0 0 1 jan-mar *", "at 00:00 on day 1 of the month in January to March"),
        ("@every 90m", "every 1h 30m"),
    ] {
        assert_eq!(schedule(text, "UTC").describe(), expected, "{text}");
    }
}

fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("*".to_owned()),
        1 => (1..20_u32).prop_map(|step| format!("*/{step}")),
        2 => (least..=most).prop_map(|value| value.to_string()),
        1 => (least..=most, least..=most).prop_map(|(one, other)| format!("{one},{other}")),
        1 => (least..=most, 1..9_u32).prop_map(|(from, step)| format!("{from}/{step}")),
        1 => (least..=most, least..=most)
            .prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other))),
    ]
}

fn fits(fields: &Fields, time: civil::DateTime) -> bool {
    let day = fields.day.has(time.day());
    let weekday = fields.weekday.has(time.weekday().to_sunday_zero_offset());
    let open = fields.day.open || fields.weekday.open;
    let on_day = if open { day && weekday } else { day || weekday };
    on_day
        && fields.month.has(time.month())
        && fields.hour.has(time.hour())
        && fields.minute.has(time.minute())
}

proptest! {
    /// The same as looking at each minute by itself, also around each shift of the clocks.
    #[test]
    fn equals_a_scan_of_the_minutes(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), weekday in field(0, 6),
        name in prop::sample::select(vec![
            "UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia",
        ]),
        shift in 0..12_usize,
        lead in 0..4000_i64,
    ) {
        let schedule = schedule(&format!("{minute} {hour} {day} * {weekday}"), name);
        let Rule::Wall(fields) = &schedule.rule else { panic!("not at wall clock times") };
        let start = at("2010-01-01T00:00:00Z");
        let change = schedule.zone.following(start).nth(shift).map_or(start, |change| change.timestamp());
        let begin = change - SignedDuration::from_mins(lead);
        let minutes = 3 * 1440;
        let scan = (1..=minutes)
            .map(|minute| begin + SignedDuration::from_mins(minute))
            .find(|time| fits(fields, schedule.zone.to_datetime(*time)));
        let next = schedule.next_after(begin);
        let end = begin + SignedDuration::from_mins(minutes);
        prop_assert_eq!(next.filter(|next| *next <= end), scan);
        if let Some(next) = next {
            prop_assert_eq!(schedule.last_before(next + SignedDuration::from_secs(1)), Some(next));
            prop_assert!(schedule.last_before(next).is_none_or(|before| before <= begin));
            prop_assert_eq!(schedule.latest_due(begin, next), Some(next));
        }
    }

    #[test]
    fn no_text_panics(text in r"(TZ=|CRON_TZ=|UTC|@every |\PC|[0-9*/,\- ?LW#@hms.]){0,30}") {
        if let Ok(schedule) = Schedule::parse(&text, &TimeZone::UTC) {
            let _ = schedule.next_after(at("2026-01-01T00:00:00Z"));
            let _ = schedule.describe();
        }
    }
}
