//! A server, and queues on it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use tiphys_servers::{ElasticMq, elasticmq};

use crate::wait::within;

/// An ElasticMQ that several tests share, each with queues of its own; killed when the last lets it go.
pub(super) fn shared() -> Option<Arc<ElasticMq>> {
    static SHARED: Mutex<Weak<ElasticMq>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(elasticmq()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A client with these keys.
pub(super) fn client(endpoint: &str, access: &str, secret: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new(access, secret, None, None, "test"));
    Client::from_conf(config.build())
}

/// One queue.
pub(super) struct Site {
    pub(super) client: Client,
    pub(super) url: String,
}

impl Site {
    /// Makes a queue with these attributes.
    pub(super) async fn make(endpoint: &str, name: &str, attributes: &[(QueueAttributeName, &str)]) -> Self {
        Self::make_with(client(endpoint, "test", "test"), name, attributes).await
    }

    pub(super) async fn make_with(
        client: Client,
        name: &str,
        attributes: &[(QueueAttributeName, &str)],
    ) -> Self {
        let mut request = client.create_queue().queue_name(name);
        if name.ends_with(".fifo") {
            request = request.attributes(QueueAttributeName::FifoQueue, "true");
        }
        for (key, value) in attributes {
            request = request.attributes(key.clone(), *value);
        }
        let url = request.send().await.unwrap().queue_url.unwrap();
        Self { client, url }
    }

    pub(super) async fn send(&self, body: &str) -> String {
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        request.send().await.unwrap().message_id.unwrap()
    }

    pub(super) async fn send_in(&self, group: &str, body: &str) {
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        let request = request.message_group_id(group).message_deduplication_id(format!(
            "{group}-{:x}",
            body.bytes().fold(0_u64, |sum, byte| sum * 131 + u64::from(byte))
        ));
        request.send().await.unwrap();
    }

    pub(super) async fn send_with(
        &self,
        body: &str,
        attributes: Vec<(String, MessageAttributeValue)>,
    ) -> String {
        let mut request = self.client.send_message().queue_url(&self.url).message_body(body);
        for (name, value) in attributes {
            request = request.message_attributes(name, value);
        }
        request.send().await.unwrap().message_id.unwrap()
    }

    /// Makes received messages visible again, as time would.
    pub(super) async fn show(&self, receipts: Vec<String>) {
        for receipt in receipts {
            let request = self.client.change_message_visibility().queue_url(&self.url);
            request.receipt_handle(receipt).visibility_timeout(0).send().await.unwrap();
        }
    }

    /// How many messages are visible, and how many received and not deleted.
    pub(super) async fn counts(&self) -> (u32, u32) {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = request.set_attribute_names(Some(names.to_vec())).send().await.unwrap();
        let attributes = answer.attributes.unwrap();
        let [visible, hidden] = names.map(|name| attributes[&name].parse().unwrap());
        (visible, hidden)
    }

    /// Waits until the queue stands so.
    pub(super) async fn until(&self, visible: u32, hidden: u32) {
        within(&format!("{visible} messages visible, {hidden} hidden"), async {
            while self.counts().await != (visible, hidden) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
    }
}

/// An event source for a queue at `endpoint`, with more lines for the event.
pub(super) fn manifest(endpoint: &str, queue: &str, more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: aws}}
stringData: {{access: test, secret: test}}
---
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {{name: queues}}
spec:
  sqs:
    one:
      region: eu-west-1
      queue: {queue}
      endpoint: {endpoint}
      waitTimeSeconds: 1
      accessKey: {{name: aws, key: access}}
      secretKey: {{name: aws, key: secret}}
{more}
"
    )
}

/// The bodies of events whose bodies are JSON, in order.
pub(super) fn bodies(events: &[tiphys_core::Event]) -> Vec<String> {
    events.iter().map(|event| String::from_utf8(crate::stage::body_of(event).to_vec()).unwrap()).collect()
}
