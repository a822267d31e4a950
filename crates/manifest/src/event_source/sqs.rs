//! `spec.sqs.<event>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Filter, KeySelector, lenient};

/// Messages of an Amazon SQS queue.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sqs {
    /// The id of the access key. Without both keys the process's own credentials serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<KeySelector>,
    /// The secret of the access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<KeySelector>,
    /// The token of temporary keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<KeySelector>,
    /// The region.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Name of the queue.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub queue: String,
    /// The account that the queue belongs to, where it is another.
    #[serde(deserialize_with = "lenient::text_or_number", skip_serializing_if = "String::is_empty")]
    pub queue_account_id: String,
    /// A role to assume with the process's own credentials; it goes before the keys.
    #[serde(
        rename = "roleARN",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub role_arn: String,
    /// How long one question waits for messages, at most 20; 3 if zero.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "is_zero")]
    pub wait_time_seconds: i64,
    /// Whether each body is JSON.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub json_body: bool,
    /// Where the queue is served, if not by Amazon.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Whether messages that can never be events are left to the queue's own dead-letter queue.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub dlq: bool,
    /// Copied into each payload.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Ours: the attribute that holds the sender's own id, which then tells messages that were sent twice. Only for
    /// queues whose senders are trusted; a message without it goes by its MessageId.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub id_attribute: String,
    /// Which messages become events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this form")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}
