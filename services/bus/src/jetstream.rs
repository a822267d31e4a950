//! The JetStream adapter: the port on a NATS server, or a cluster of them.
//!
//! Each stream of ours is one of the server's, each durable consumer one of its pull consumers. What the
//! server does itself (ids, compare-and-set, redelivery, limits) is left to it; what it lacks is made here:
//! room in full streams, waiting for growth, positions that what a consumer does not want cannot hold back.

mod blobs;
mod config;
mod consumer;
mod link;
mod names;
mod permissions;
mod place;
mod publish;
mod pull;
mod read;
mod safety;
mod stream;
mod watch;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use serde_json::json;
use tokio_util::task::TaskTracker;

pub use self::config::{Credentials, JetStreamConfig, Tls};
use self::consumer::{Known, RemoteConsumer};
use self::link::Link;
pub use self::permissions::{Permissions, permissions, users};
use self::stream::Stream;
use crate::error::BusError;
use crate::finding::Finding;
use crate::log::{check_filter, check_stream, check_subject};
use crate::options::Options;
use crate::port::{
    Acked, Bus, Claim, Consumer, ConsumerConfig, ConsumerInfo, Message, Publish, StreamConfig, StreamInfo,
};
use crate::{claims, streams};

/// Connects to a NATS server with JetStream. Of the options the clock (for claims) and the size of messages
/// count.
///
/// # Errors
/// The settings are wrong, no server answers, it refuses us, or it is too old.
pub async fn open(config: JetStreamConfig, options: Options) -> Result<Arc<dyn Bus>, BusError> {
    config.check()?;
    let link = Link::connect(&config).await?;
    let account = link.ask::<serde_json::Value>("INFO", &json!({})).await;
    account.map_err(|failure| failure.about("JetStream"))?;
    Ok(Arc::new(RemoteBus {
        link: Arc::new(link),
        options,
        config,
        streams: Mutex::default(),
        consumers: Mutex::default(),
        publishing: TaskTracker::new(),
    }))
}

struct RemoteBus {
    link: Arc<Link>,
    options: Options,
    config: JetStreamConfig,
    streams: Mutex<HashMap<String, Arc<Stream>>>,
    consumers: Mutex<HashMap<(String, String), Arc<Known>>>,
    publishing: TaskTracker,
}

impl RemoteBus {
    fn stream(&self, name: &str) -> Arc<Stream> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(name) {
            return Arc::clone(stream);
        }
        let stream = Arc::new(Stream::new(name, self.config.trims));
        streams.insert(name.into(), Arc::clone(&stream));
        stream
    }

    /// The streams that this process has to do with.
    fn known(&self) -> Vec<Arc<Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn consumers(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Arc<Known>>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Bus for RemoteBus {
    async fn ensure_stream(&self, config: &StreamConfig) -> Result<(), BusError> {
        self.link.open()?;
        check_stream(config)?;
        let stream = self.stream(&config.name);
        stream.ensure(&self.link, config, self.config.replicas).await
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        let _waited_for = self.publishing.token();
        self.link.open()?;
        check_subject(&message.subject)?;
        let stream = self.stream(&streams::stream_of(&message.subject));
        publish::publish(&self.link, &stream, &message, self.options.max_message).await
    }

    async fn last(&self, subject: &str) -> Result<Option<Message>, BusError> {
        self.link.open()?;
        check_subject(subject)?;
        read::last(&self.link, &streams::stream_of(subject), subject).await
    }

    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        self.link.open()?;
        if sequence == 0 {
            return Ok(None);
        }
        read::one(&self.link, stream, json!({ "seq": sequence })).await
    }

    async fn read(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
        max: usize,
    ) -> Result<Vec<Message>, BusError> {
        self.link.open()?;
        let filter = self.link.names.filter(stream, filter)?;
        read::range(&self.link, stream, filter.as_deref(), from, max).await
    }

    async fn wait_for(&self, stream: &str, after: u64, wait: Duration) -> Result<u64, BusError> {
        let known = self.stream(stream);
        known.watcher.wait_for(&self.link, stream, after, wait).await
    }

    async fn purge(&self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError> {
        self.link.open()?;
        check_filter(filter)?;
        let filter = self.link.names.filter(stream, filter)?;
        self.stream(stream).purge(&self.link, filter.as_deref(), up_to).await
    }

    async fn info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        self.link.open()?;
        read::info(&self.link, stream).await
    }

    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError> {
        self.link.open()?;
        consumer::ensure(&self.link, stream, &config).await?;
        let key = (stream.to_owned(), config.name.clone());
        let known = Arc::clone(self.consumers().entry(key).or_default());
        let consumer = RemoteConsumer::new(&self.link, stream, &config.name, known).await?;
        Ok(Box::new(consumer))
    }

    async fn consumer_info(&self, stream: &str, name: &str) -> Result<Option<ConsumerInfo>, BusError> {
        self.link.open()?;
        let key = (stream.to_owned(), name.to_owned());
        let known = self.consumers().get(&key).cloned();
        consumer::position(&self.link, stream, name, known.as_deref()).await
    }

    async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), BusError> {
        self.link.open()?;
        consumer::delete(&self.link, stream, name).await?;
        let key = (stream.to_owned(), name.to_owned());
        if let Some(known) = self.consumers().remove(&key) {
            known.gone.cancel();
        }
        Ok(())
    }

    async fn claim(&self, key: &str, owner: &str, for_time: Duration) -> Result<Option<Claim>, BusError> {
        claims::claim(self, self.options.clock.now(), key, owner, for_time).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), BusError> {
        claims::release(self, claim).await
    }

    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        blobs::put(self, content).await
    }

    async fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        blobs::get(self, reference).await
    }

    async fn tend(&self) -> Result<(), BusError> {
        for stream in self.known() {
            self.link.open()?;
            stream.tend(&self.link).await?;
        }
        Ok(())
    }

    async fn findings(&self) -> Vec<Finding> {
        let mut streams = Vec::new();
        for stream in self.known() {
            // One that cannot be looked at is a failure, which whoever uses it is told.
            streams.extend(read::details(&self.link, &stream.name).await);
        }
        safety::look(&self.link, &self.config, streams).await
    }

    async fn close(&self) {
        let known: Vec<_> = self.consumers().values().cloned().collect();
        join_all(known.iter().map(|known| known.settle(&self.link))).await;
        self.link.closed.cancel();
        self.publishing.close();
        self.publishing.wait().await;
        // Fails only where the connection is closed already.
        let _ = self.link.client.drain().await;
    }
}
