//! An emulator, and a topic with a subscription on it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use google_cloud_pubsub::client::{BasePublisher, Publisher, Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::model::{Message, PushConfig, Subscription};
use serde_json::Value;
use tiphys_core::Event;
use tiphys_kit::google::Access;
use tiphys_servers::{PubSub, pubsub};

use crate::stage::{Stage, body_of};

/// An emulator that several tests share, each with a project of its own; killed when the last lets it go.
pub(super) fn shared() -> Option<Arc<PubSub>> {
    static SHARED: Mutex<Weak<PubSub>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(pubsub()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

macro_rules! client {
    ($kind:ty, $url:expr) => {{
        let access = Access::new(None, $url, || Ok::<_, ()>(None)).unwrap();
        let builder = <$kind>::builder().with_endpoint(access.endpoint.unwrap());
        builder.with_credentials(access.credentials.unwrap()).build().await.unwrap()
    }};
}

/// Topic `topic` and subscription `subscription` of a project.
pub(super) struct Site {
    pub(super) topics: TopicAdmin,
    pub(super) subscriptions: SubscriptionAdmin,
    publisher: Publisher,
    subscriber: Subscriber,
    project: String,
}

impl Site {
    /// Clients; nothing is made yet.
    pub(super) async fn at(url: &str, project: &str) -> Self {
        let publisher = client!(BasePublisher, url).publisher(format!("projects/{project}/topics/topic"));
        Self {
            topics: client!(TopicAdmin, url),
            subscriptions: client!(SubscriptionAdmin, url),
            publisher: publisher.build(),
            subscriber: client!(Subscriber, url),
            project: project.into(),
        }
    }

    pub(super) fn topic(&self) -> String {
        format!("projects/{}/topics/topic", self.project)
    }

    pub(super) fn subscription(&self) -> String {
        format!("projects/{}/subscriptions/subscription", self.project)
    }

    pub(super) async fn make_topic(&self) {
        self.topics.create_topic().set_name(self.topic()).send().await.unwrap();
    }

    /// Makes the topic and a subscription like this.
    pub(super) async fn make(&self, like: impl FnOnce(Subscription) -> Subscription) {
        self.make_topic().await;
        self.subscribe(like).await;
    }

    pub(super) async fn subscribe(&self, like: impl FnOnce(Subscription) -> Subscription) {
        let plain = Subscription::new().set_name(self.subscription()).set_topic(self.topic());
        self.subscriptions.create_subscription().with_request(like(plain)).send().await.unwrap();
    }

    /// Publishes; gives the message's id.
    pub(super) async fn send(&self, data: &str) -> String {
        self.send_message(Message::new().set_data(data.to_owned())).await
    }

    pub(super) async fn send_message(&self, message: Message) -> String {
        self.publisher.publish(message).await.unwrap()
    }

    /// What the subscription still gives, up to a message that is published now.
    pub(super) async fn rest(&self) -> Vec<String> {
        // The emulator does not notice that a consumer is gone.
        for endpoint in ["http://127.0.0.1:9/", ""] {
            let push = PushConfig::new().set_push_endpoint(endpoint);
            let request = self.subscriptions.modify_push_config().set_subscription(self.subscription());
            request.set_push_config(push).send().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        let marker = self.send("\"the last\"").await;
        let mut stream = self.subscriber.subscribe(self.subscription()).build();
        let mut rest = Vec::new();
        let reading = async {
            while let Some(Ok((message, handler))) = stream.next().await {
                handler.ack();
                if message.message_id == marker {
                    break;
                }
                rest.push(String::from_utf8_lossy(&message.data).into_owned());
            }
        };
        crate::wait::within("the marker", reading).await;
        rest
    }
}

/// An event source for the subscription at `url`, with more keys for the event.
pub(super) fn manifest(url: &str, project: &str, more: &Value) -> String {
    let mut event = serde_json::json!({
        "projectID": project, "topic": "topic", "subscriptionID": "subscription", "jsonBody": true, "endpoint": url,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        event[key] = value.clone();
    }
    let source = serde_json::json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": "queues"},
        "spec": {"pubSub": {"one": event}},
    });
    source.to_string()
}

/// A stage whose source has begun.
pub(super) async fn started(url: &str, project: &str, more: &Value) -> Stage {
    let stage = Stage::start(&manifest(url, project, more)).await;
    crate::wait::up(&stage).await;
    stage
}

/// The bodies of events whose bodies are JSON, sorted.
pub(super) fn sorted(events: &[Event]) -> Vec<String> {
    let mut all = bodies(events);
    all.sort();
    all
}

/// The bodies of events whose bodies are JSON, in order.
pub(super) fn bodies(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| String::from_utf8(body_of(event).to_vec()).unwrap()).collect()
}
