//! The full names of the subscription and its topic.

use std::fmt::Write as _;

use serde::Serialize;
use tiphys_kit::google;
use tiphys_manifest::event_source::{Filter, KeySelector, PubSub as Config};

use crate::error::Error;

/// Full names, as the service takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The subscription.
    pub(super) subscription: String,
    /// The topic that it belongs to, where the manifest says so.
    pub(super) topic: Option<String>,
}

impl Names {
    /// The names that the manifest gives, or leaves to be found.
    ///
    /// # Errors
    /// Fails where no project is named, and this machine belongs to none.
    pub(super) async fn of(config: &Config, event: &str, emulated: bool) -> Result<Self, Error> {
        if !config.project_id.is_empty() {
            return Ok(Self::within(config, event, &config.project_id));
        }
        if emulated && google::named_project().is_none() {
            let help = "name the project, there or by the variable GOOGLE_CLOUD_PROJECT";
            return Err(Error::config("the `pubSub` event lacks `projectID`", help));
        }
        let found = google::project().await.map_err(|reason| {
            let what =
                format!("the `pubSub` event names no `projectID`, and this machine has none: {reason}");
            Error::upstream(what, "name the project of the subscription")
        })?;
        Ok(Self::within(config, event, &found))
    }

    fn within(config: &Config, event: &str, project: &str) -> Self {
        let topic_project = match config.topic_project_id.as_str() {
            "" if config.topic.is_empty() => "",
            "" => project,
            named => named,
        };
        let id = match config.subscription_id.as_str() {
            "" => format!("{event}-{}", fingerprint(config, event, project, topic_project)),
            named => named.to_owned(),
        };
        let subscription = match id.contains('/') {
            true => id,
            false => format!("projects/{project}/subscriptions/{id}"),
        };
        let topic = format!("projects/{topic_project}/topics/{}", config.topic);
        Self { subscription, topic: Some(topic).filter(|_| !config.topic.is_empty()) }
    }
}

/// What Argo makes of the settings to name a subscription that has no name, digit for digit: who comes from there
/// finds the same subscription.
fn fingerprint(config: &Config, event: &str, project: &str, topic_project: &str) -> u32 {
    let settings = Settings {
        project,
        topic_project,
        topic: &config.topic,
        subscription: "",
        credential: config.credential_secret.as_ref().map(Selector::of),
        delete: config.delete_subscription_on_finish,
        json_body: config.json_body,
        metadata: &config.metadata,
        filter: config.filter.as_ref().map(Expression::of),
    };
    let mut text = event.to_owned();
    // It is maps and texts, which can always be written.
    let json = serde_json::to_string(&settings).unwrap_or_default();
    for char in json.chars() {
        match char {
            // As Go writes them.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(char));
            }
            other => text.push(other),
        }
    }
    // FNV-1a.
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The settings in Argo's order.
#[derive(Serialize)]
struct Settings<'a> {
    #[serde(rename = "projectID")]
    project: &'a str,
    #[serde(rename = "topicProjectID")]
    topic_project: &'a str,
    topic: &'a str,
    #[serde(rename = "subscriptionID")]
    subscription: &'a str,
    #[serde(rename = "credentialSecret", skip_serializing_if = "Option::is_none")]
    credential: Option<Selector<'a>>,
    #[serde(rename = "deleteSubscriptionOnFinish", skip_serializing_if = "std::ops::Not::not")]
    delete: bool,
    #[serde(rename = "jsonBody", skip_serializing_if = "std::ops::Not::not")]
    json_body: bool,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    metadata: &'a std::collections::BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Expression<'a>>,
}

#[derive(Serialize)]
struct Selector<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    optional: Option<bool>,
}

impl<'a> Selector<'a> {
    fn of(selector: &'a KeySelector) -> Self {
        Self { name: &selector.name, key: &selector.key, optional: selector.optional }
    }
}

#[derive(Serialize)]
struct Expression<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    expression: &'a str,
}

impl<'a> Expression<'a> {
    fn of(filter: &'a Filter) -> Self {
        Self { expression: &filter.expression }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn names(config: Value) -> Names {
        Names::within(&serde_json::from_value(config).unwrap(), "example", "p-1")
    }

    #[test]
    fn names_are_full() {
        let given = names(json!({"subscriptionID": "s", "topic": "t", "topicProjectID": "p-2"}));
        assert_eq!(given.subscription, "projects/p-1/subscriptions/s");
        assert_eq!(given.topic.unwrap(), "projects/p-2/topics/t");
        let full = names(json!({"subscriptionID": "projects/other/subscriptions/s"}));
        assert_eq!((full.subscription.as_str(), full.topic), ("projects/other/subscriptions/s", None));
    }

    /// What the original makes of the same settings.
    #[test]
    fn a_subscription_without_name_is_called_as_argo_calls_it() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/data/pubsub-names.json")).unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let named = names(vector["config"].clone());
            assert_eq!(named.subscription, vector["subscription"].as_str().unwrap(), "{vector}");
        }
    }
}
