//! `kafka`: the messages of a topic, by a consumer group or of one partition.
//!
//! The native id is cluster, topic, partition, offset and time, so a redelivery is the same event, and a topic that
//! was made anew has new ones. The position moves over what is stored, without gaps: partitions are worked off
//! side by side, each in its order.

mod client;
mod lane;
mod message;
mod position;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rdkafka::Message as _;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use tiphys_manifest::event_source::Kafka as Config;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use self::client::{Client, said};
use self::lane::{Batch, Done, Lane};
use super::{Scope, SourceKind};
use crate::emit::Emitter;
use crate::error::Error;
use crate::insist::Insist;

/// The kind.
pub(crate) struct Kafka;

/// A partition that is full for so long is paused, so that the others go on without it. Until then none is received: the
/// library throws away what it has fetched of a partition that is paused, and fetches it again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Messages under way may take so long to be stored at the end; what is not comes again.
const GRACE: Duration = Duration::from_secs(5);

impl SourceKind for Kafka {
    const KEY: &'static str = "kafka";
    const TYPE: &'static str = "kafka";
    type Config = Config;

    async fn run(config: Config, scope: Scope) -> Result<(), Error> {
        check(&config)?;
        let emitter = scope.emitter(config.filter.as_ref())?;
        let client = tokio::select! {
            () = scope.stop.cancelled() => return Ok(()),
            opened = Client::open(&config, &scope) => opened?,
        };
        scope.up();
        let insist = Insist::new(scope.stop.clone());
        let config = Arc::new(config);
        let work = Work { config, scope, emitter, insist, client, lanes: HashMap::new(), full: None };
        work.run().await
    }
}

/// What no topic could ever be read with.
fn check(config: &Config) -> Result<(), Error> {
    if config.url.trim().is_empty() || config.topic.is_empty() {
        return Err(Error::config("the `kafka` event lacks `url` or `topic`", "name both"));
    }
    if !config.schema_registry.is_null() {
        return Err(Error::config(
            "`schemaRegistry` of the kafka event is not run by this version",
            "send JSON, or read the messages as they are without `jsonBody`",
        ));
    }
    if !config.config.trim().is_empty() {
        warn!(
            topic = config.topic,
            "`config` of a kafka event is for Argo's client library, and has no effect"
        );
    }
    match &config.consumer_group {
        Some(group) if group.group_name.is_empty() => {
            Err(Error::config("`consumerGroup` lacks `groupName`", "name the group"))
        }
        None if config.partition.parse::<i32>().is_err() => Err(Error::config(
            "the `kafka` event has neither a `consumerGroup` nor a `partition` that is a number",
            "name a group, or one partition",
        )),
        _ => Ok(()),
    }
}

/// The source at work.
struct Work {
    config: Arc<Config>,
    scope: Scope,
    emitter: Emitter,
    insist: Insist,
    client: Client,
    lanes: HashMap<i32, Lane>,
    /// Since when a partition is full.
    full: Option<Instant>,
}

impl Work {
    async fn run(mut self) -> Result<(), Error> {
        let mut busy = FuturesUnordered::new();
        let failure = loop {
            self.drop_revoked();
            let partitions: Vec<i32> = self.lanes.keys().copied().collect();
            for partition in partitions {
                busy.extend(self.next_batch(partition).map(lane::work));
            }
            let full = self.full();
            tokio::select! {
                () = self.scope.stop.cancelled() => break None,
                Some(done) = busy.next() => {
                    if let Err(failure) = self.settle(done) {
                        break Some(failure);
                    }
                }
                () = sleep_until(full.unwrap_or_else(Instant::now)), if full.is_some() => self.pause(),
                received = self.client.consumer.recv(), if full.is_none() => match received {
                    Ok(message) => {
                        let (partition, received) = (message.partition(), message::Received::of(&message));
                        self.queue(partition, received);
                    }
                    Err(error) if client::passes(&error) => {
                        debug!(topic = self.config.topic, reason = said(&error), "kafka");
                    }
                    Err(error) => break Some(self.client.failure(&error)),
                },
            }
        };
        self.close(busy).await;
        failure.map_or(Ok(()), Err)
    }

    /// Lets a message wait for its turn. Whatever was revoked was revoked before it came: the message may belong to a
    /// partition that came back, and must not go with what waited of the partition before.
    fn queue(&mut self, partition: i32, received: message::Received) {
        self.drop_revoked();
        self.lanes.entry(partition).or_default().put(received);
    }

    /// Until when it is waited for a partition that is full.
    fn full(&mut self) -> Option<Instant> {
        let full = self.lanes.values().any(|lane| lane.is_full() && !lane.paused);
        self.full = full.then(|| self.full.unwrap_or_else(Instant::now));
        self.full.map(|since| since + PATIENCE)
    }

    /// Pauses what is full.
    fn pause(&mut self) {
        for (partition, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.is_full() && !lane.paused) {
            lane.paused = true;
            self.client.pause(*partition);
        }
    }

    /// What a partition works off next, where it is idle.
    fn next_batch(&mut self, partition: i32) -> Option<Batch> {
        let lane = self.lanes.get_mut(&partition)?;
        let messages = lane.take()?;
        if lane.paused && lane.has_room() {
            lane.paused = false;
            self.client.resume(partition);
        }
        Some(Batch {
            partition,
            generation: lane.generation,
            messages,
            cluster: self.client.cluster.clone(),
            config: self.config.clone(),
            scope: self.scope.clone(),
            emitter: self.emitter.clone(),
            insist: self.insist.clone(),
        })
    }

    /// Moves the position over what is stored.
    fn settle(&mut self, done: Done) -> Result<(), Error> {
        let Some(lane) =
            self.lanes.get_mut(&done.partition).filter(|lane| lane.generation == done.generation)
        else {
            return Ok(());
        };
        lane.busy = false;
        let outcome = done.outcome;
        if let Some(offset) = done.through {
            let stored = self.client.consumer.store_offset(&self.config.topic, done.partition, offset);
            if let Err(error) = stored {
                // Another has the partition by now: it gets the messages again, and they are the same events.
                debug!(partition = done.partition, %error, "a position is not ours to move any more");
            }
        }
        outcome
    }

    /// Forgets partitions that others have now. What of theirs is under way may end: it is stored once all the same.
    fn drop_revoked(&mut self) {
        for partition in self.client.revoked() {
            self.lanes.remove(&partition);
        }
    }

    async fn close<F: Future<Output = Done>>(&mut self, mut busy: FuturesUnordered<F>) {
        let rest = async {
            while let Some(done) = busy.next().await {
                let _ = self.settle(done);
            }
        };
        let _ = tokio::time::timeout(GRACE, rest).await;
        let consumer = self.client.consumer.clone();
        let left = tokio::task::spawn_blocking(move || {
            let committed = consumer.commit_consumer_state(rdkafka::consumer::CommitMode::Sync);
            if let Err(error) = committed
                && error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::NoOffset)
            {
                debug!(reason = said(&error), "the position was not committed; messages come again");
            }
            consumer.unsubscribe();
            let _ = consumer.assign(&TopicPartitionList::new());
        });
        let _ = tokio::time::timeout(GRACE, left).await;
    }
}
