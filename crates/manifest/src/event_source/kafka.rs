//! `spec.kafka.<event>`: Argo's members.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Filter, KeySelector, TlsConfig, lenient};

/// Messages of a topic.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kafka {
    /// Brokers, joined by commas: `HOST:PORT`.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The topic.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Without a consumer group: the one partition that is read.
    #[serde(deserialize_with = "lenient::text_or_number", skip_serializing_if = "String::is_empty")]
    pub partition: String,
    /// Shares the partitions with others of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_group: Option<KafkaConsumerGroup>,
    /// Whether each message is JSON.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub json_body: bool,
    /// Encryption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Who we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// At most so many events a second; 0 = no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_events_per_second: Option<i64>,
    /// The broker's version; it is found out.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Settings of Argo's client library; not ours.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// Where schemas of Avro messages are.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub schema_registry: Value,
    /// Copied into each payload.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Which messages become events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// How Argo tries again. Ours never gives up, with pauses of at most 30 s.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub connection_backoff: Value,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KafkaConsumerGroup {
    /// Its name.
    pub group_name: String,
    /// A group without a position begins with the oldest message, else with the next one.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub oldest: bool,
    /// `range` (default), `roundrobin` or `sticky`.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub rebalance_strategy: String,
}

/// `sasl`: a user and a password.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sasl {
    /// `PLAIN` (default), `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub mechanism: String,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_secret: Option<KeySelector>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<KeySelector>,
}
