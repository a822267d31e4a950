//! `spec.calendar.<event>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Filter, lenient};

/// An event that the clock makes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Calendar {
    /// Five cron fields. It goes before `interval`.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub schedule: String,
    /// A Go duration, such as `10s` or `1h30m`.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub interval: String,
    /// `EXDATE` lines of iCalendar; only their dates count.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub exclusion_dates: Vec<String>,
    /// IANA name; UTC if empty.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub timezone: String,
    /// Copied into each payload.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What becomes of ticks that were missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// Which ticks become events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
}

/// What is remembered over a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Persistence {
    /// Whether missed ticks are made good.
    pub catchup: CatchUp,
    /// Where Argo remembers the last tick; we use the bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapPersistence>,
}

/// Whether missed ticks are made good.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CatchUp {
    /// Whether.
    pub enabled: bool,
    /// Those older than this Go duration are not; five minutes if empty.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub max_duration: String,
}

/// Where Argo remembers the last tick.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMapPersistence {
    /// Name of the ConfigMap.
    pub name: String,
    /// Whether Argo makes it.
    pub create_if_not_exist: bool,
}
