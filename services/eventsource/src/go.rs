//! Times as Go writes them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Go's default text of a time, such as `2026-01-02 03:04:05.678 +0000 UTC`.
#[must_use]
pub(crate) fn time_text(time: Timestamp, zone: &TimeZone) -> String {
    let zoned = time.to_zoned(zone.clone());
    let mut fraction = String::new();
    if zoned.subsec_nanosecond() != 0 {
        fraction = format!(".{:09}", zoned.subsec_nanosecond());
        fraction.truncate(fraction.trim_end_matches('0').len());
    }
    let offset = zoned.offset().seconds();
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    let info = zone.to_offset_info(time);
    format!(
        "{}{fraction} {sign}{:02}{:02} {}",
        zoned.strftime("%Y-%m-%d %H:%M:%S"),
        minutes / 60,
        minutes % 60,
        info.abbreviation(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_look_as_in_go() {
        let zone = |name: &str| TimeZone::get(name).unwrap();
        let cases = [
            ("2026-01-02T03:04:05Z", "UTC", "2026-01-02 03:04:05 +0000 UTC"),
            ("2026-01-02T03:04:05.678Z", "UTC", "2026-01-02 03:04:05.678 +0000 UTC"),
            ("2026-01-02T03:04:05Z", "America/New_York", "2026-01-01 22:04:05 -0500 EST"),
            ("2026-07-02T03:04:05Z", "Asia/Kolkata", "2026-07-02 08:34:05 +0530 IST"),
            ("2026-07-02T03:04:05Z", "America/Sao_Paulo", "2026-07-02 00:04:05 -0300 -03"),
        ];
        for (time, name, text) in cases {
            assert_eq!(time_text(time.parse().unwrap(), &zone(name)), text);
        }
    }
}
