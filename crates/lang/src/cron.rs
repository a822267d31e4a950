//! Cron schedules with the semantics of robfig/cron's `ParseStandard`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::LangError;

/// A compiled schedule with its time zone.
#[derive(Debug, Clone)]
pub struct Schedule {}

impl Schedule {
    /// Compiles; `zone` is used unless the text brings its own (`TZ=…`).
    ///
    /// # Errors
    /// Fails when the text is no schedule.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, LangError> {
        let _ = (text, zone);
        Err(LangError::Eval {
            language: "cron",
            message: "not ready".into(),
        })
    }

    /// The first time after `time`; `None` if there is none within five years.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let _ = time;
        None
    }
}
