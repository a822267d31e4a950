//! EventSource: what happens outside, by kind and event name.

pub mod calendar;
pub mod connection;
pub mod generic;
pub mod kafka;
mod lenient;
pub mod nats;
pub mod pub_sub;
pub mod sqs;
pub mod webhook;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use calendar::Calendar;
pub use connection::{BasicAuth, TlsConfig};
pub use generic::Generic;
pub use kafka::{Kafka, KafkaConsumerGroup, Sasl};
pub use nats::Nats;
pub use pub_sub::PubSub;
pub use sqs::Sqs;
pub use webhook::Webhook;

/// Events of one kind, by name.
pub type Events<T = Value> = BTreeMap<String, T>;

/// A key within a Secret or ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeySelector {
    /// Name of the object, in the namespace of the event source.
    pub name: String,
    /// The key.
    pub key: String,
    /// Whether it may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// `filter` of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// An expression over the payload; what it does not hold for is not stored.
    pub expression: String,
}

/// Declares the spec with one member for each kind, so that each is known by name to the loader, and lists
/// them once more for [`EventSourceSpec::events`].
macro_rules! spec {
    ($($field:ident $key:literal $events:ty,)*) => {
        /// `spec` of an EventSource.
        ///
        /// What this version runs is typed. Of the other kinds the events are kept as they were written.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct EventSourceSpec {
            /// Name of the EventBus; `default` if empty.
            #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
            pub event_bus_name: String,
            /// Ports of the Service that Argo makes.
            #[serde(skip_serializing_if = "Value::is_null")]
            pub service: Value,
            /// How Argo shapes the pod.
            #[serde(skip_serializing_if = "Value::is_null")]
            pub template: Value,
            /// How many pods.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub replicas: Option<i32>,
            /// HTTP requests.
            #[serde(deserialize_with = "lenient::events", skip_serializing_if = "BTreeMap::is_empty")]
            pub webhook: Events<Webhook>,
            /// Clock ticks.
            #[serde(deserialize_with = "lenient::events", skip_serializing_if = "BTreeMap::is_empty")]
            pub calendar: Events<Calendar>,
            $(
                #[doc = concat!("Events of kind `", $key, "`.")]
                #[serde(rename = $key, deserialize_with = "lenient::events", skip_serializing_if = "BTreeMap::is_empty")]
                pub $field: Events<$events>,
            )*
        }

        impl EventSourceSpec {
            /// The keys of all kinds.
            pub const KINDS: &'static [&'static str] = &["webhook", "calendar", $($key),*];

            /// Each event with the key of its kind, kind by kind.
            pub fn events(&self) -> impl Iterator<Item = (&'static str, &str)> {
                fn pairs<'a, T>(kind: &'static str, events: &'a Events<T>) -> impl Iterator<Item = (&'static str, &'a str)> {
                    events.keys().map(move |name| (kind, name.as_str()))
                }
                pairs("webhook", &self.webhook)
                    .chain(pairs("calendar", &self.calendar))
                    $(.chain(pairs($key, &self.$field)))*
            }
        }
    };
}

spec! {
    amqp "amqp" Value,
    azure_events_hub "azureEventsHub" Value,
    azure_queue_storage "azureQueueStorage" Value,
    azure_service_bus "azureServiceBus" Value,
    bitbucket "bitbucket" Value,
    bitbucket_server "bitbucketserver" Value,
    emitter "emitter" Value,
    file "file" Value,
    generic "generic" Generic,
    gerrit "gerrit" Value,
    github "github" Value,
    gitlab "gitlab" Value,
    hdfs "hdfs" Value,
    kafka "kafka" Kafka,
    minio "minio" Value,
    mns "mns" Value,
    mqtt "mqtt" Value,
    nats "nats" Nats,
    nsq "nsq" Value,
    pub_sub "pubSub" PubSub,
    pulsar "pulsar" Value,
    redis "redis" Value,
    redis_stream "redisStream" Value,
    resource "resource" Value,
    sftp "sftp" Value,
    slack "slack" Value,
    sns "sns" Value,
    sqs "sqs" Sqs,
    storage_grid "storageGrid" Value,
    stripe "stripe" Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_is_known_by_its_key() {
        for kind in EventSourceSpec::KINDS {
            let spec: EventSourceSpec =
                serde_json::from_value(json!({ *kind: { "one": {}, "two": null } })).unwrap();
            let events: Vec<_> = spec.events().collect();
            assert_eq!(events, [(*kind, "one"), (*kind, "two")]);
        }
    }

    #[test]
    fn what_was_read_is_written_again() {
        let text = json!({
            "eventBusName": "other",
            "webhook": { "alerts": {
                "port": "12000", "endpoint": "/alerts", "method": "POST", "idHeader": "X-Id",
                "auth": { "preset": "jira", "secrets": [{ "name": "jira", "key": "secret" }] },
            }},
            "sqs": { "queue": { "region": "eu-west-1" } },
        });
        let spec: EventSourceSpec = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&spec).unwrap(), text);
    }

    #[test]
    fn null_and_numbers_stand_where_argo_lets_them() {
        let spec: EventSourceSpec = serde_json::from_value(json!({
            "calendar": null,
            "webhook": { "a": { "port": 12000, "metadata": null } },
        }))
        .unwrap();
        assert_eq!(spec.webhook["a"].port, "12000");
        assert!(spec.calendar.is_empty());
    }
}
