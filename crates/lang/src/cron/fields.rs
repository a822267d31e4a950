//! The five fields as bit sets, and the search for wall clock times that fit them.

use jiff::civil::{Date, DateTime};

/// The values that a field takes, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) bits: u64,
    /// Written with a star (and no step): it does not restrict.
    pub(super) open: bool,
}

impl Set {
    pub(super) fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.bits & (1 << value) != 0)
    }

    /// The least value from `from` on.
    fn first_from(self, from: i8) -> Option<i8> {
        let above = u64::MAX.checked_shl(u32::try_from(from).ok()?).unwrap_or(0);
        let bits = self.bits & above;
        (bits != 0).then(|| i8::try_from(bits.trailing_zeros()).ok())?
    }

    /// The greatest value up to `to`.
    fn last_until(self, to: i8) -> Option<i8> {
        let below = u64::MAX >> 63_u32.checked_sub(u32::try_from(to).ok()?)?;
        let bits = self.bits & below;
        (bits != 0).then(|| i8::try_from(bits.ilog2()).ok())?
    }

    pub(super) fn values(self) -> impl Iterator<Item = i8> {
        (0..60).filter(move |value| self.has(*value))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) minute: Set,
    pub(super) hour: Set,
    pub(super) day: Set,
    pub(super) month: Set,
    pub(super) weekday: Set,
}

impl Fields {
    /// Day of month or weekday, unless one of them is open; then the other decides.
    fn has_day(&self, date: Date) -> bool {
        let day = self.day.has(date.day());
        let weekday = self.weekday.has(date.weekday().to_sunday_zero_offset());
        if self.day.open || self.weekday.open { day && weekday } else { day || weekday }
    }

    /// The first fitting time not before `from`, up to the end of `last_year`.
    pub(super) fn first_from(&self, from: DateTime, last_year: i16) -> Option<DateTime> {
        let has_part = from.second() > 0 || from.subsec_nanosecond() > 0;
        let minute = from.minute() + i8::from(has_part);
        if let Some(time) = self.on_day(from.date(), |fields| fields.time_from(from.hour(), minute)) {
            return Some(time);
        }
        let mut date = from.date().tomorrow().ok()?;
        while date.year() <= last_year {
            if !self.month.has(date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            if let Some(time) = self.on_day(date, |fields| fields.time_from(0, 0)) {
                return Some(time);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The last fitting time not after `to`, down to the begin of `first_year`.
    pub(super) fn last_until(&self, to: DateTime, first_year: i16) -> Option<DateTime> {
        let time_to = |fields: &Self| fields.time_until(to.hour(), to.minute());
        if let Some(time) = self.on_day(to.date(), time_to) {
            return Some(time);
        }
        let mut date = to.date().yesterday().ok()?;
        while date.year() >= first_year {
            if !self.month.has(date.month()) {
                date = date.first_of_month().yesterday().ok()?;
                continue;
            }
            if let Some(time) = self.on_day(date, |fields| fields.time_until(23, 59)) {
                return Some(time);
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    fn on_day(&self, date: Date, time: impl Fn(&Self) -> Option<(i8, i8)>) -> Option<DateTime> {
        if !(self.month.has(date.month()) && self.has_day(date)) {
            return None;
        }
        let (hour, minute) = time(self)?;
        Some(date.at(hour, minute, 0, 0))
    }

    fn time_from(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        if self.hour.has(hour)
            && let Some(minute) = self.minute.first_from(minute)
        {
            return Some((hour, minute));
        }
        Some((self.hour.first_from(hour + 1)?, self.minute.first_from(0)?))
    }

    fn time_until(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        if self.hour.has(hour)
            && let Some(minute) = self.minute.last_until(minute)
        {
            return Some((hour, minute));
        }
        Some((self.hour.last_until(hour - 1)?, self.minute.last_until(59)?))
    }
}
