//! `spec.pubSub.<event>`: Argo's members, and ours for another endpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Filter, KeySelector, lenient};

/// Messages of a subscription of Google Pub/Sub.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PubSub {
    /// The project of the subscription; the machine's own if empty.
    #[serde(
        rename = "projectID",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub project_id: String,
    /// The project of the topic; that of the subscription if empty.
    #[serde(
        rename = "topicProjectID",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub topic_project_id: String,
    /// The topic. With it a missing subscription is made, and one that exists must belong to it.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// The subscription; a name made from the settings if empty.
    #[serde(
        rename = "subscriptionID",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub subscription_id: String,
    /// A credential in JSON. Without it the process's own serves.
    #[serde(rename = "credentialSecret", skip_serializing_if = "Option::is_none")]
    pub credential_secret: Option<KeySelector>,
    /// Whether the subscription is deleted when the event source stops.
    #[serde(
        rename = "deleteSubscriptionOnFinish",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub delete_subscription_on_finish: bool,
    /// Whether each message is JSON.
    #[serde(
        rename = "jsonBody",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub json_body: bool,
    /// Copied into each payload.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Which messages become events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Ours: the attribute that holds the sender's own id of a message.
    #[serde(
        rename = "idAttribute",
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub id_attribute: String,
    /// Ours: where Pub/Sub is served, such as `https://europe-west1-pubsub.googleapis.com`. With `http://` nobody
    /// is asked for credentials that are not named.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
}
