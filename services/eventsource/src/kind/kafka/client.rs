//! The client: settings, the first look at the topic, and what it says of its troubles.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use secrecy::ExposeSecret as _;
use tiphys_manifest::event_source::Kafka as Config;
use tracing::debug;

use super::position;
use crate::error::Error;
use crate::kind::Scope;

/// The first look at the topic may take so long.
const LOOK: Duration = Duration::from_secs(5);

/// The library's reasons are waited for so long.
const HEAR: Duration = Duration::from_millis(500);

/// A consumer that has seen its topic.
pub(super) struct Client {
    pub(super) consumer: Arc<StreamConsumer<Context>>,
    pub(super) cluster: Arc<str>,
    topic: String,
}

/// What the library tells us.
#[derive(Debug, Default)]
pub(super) struct Context {
    trouble: Mutex<Option<String>>,
    revoked: Mutex<Vec<i32>>,
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "kafka");
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down follows from the reason before.
        if trouble.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *trouble = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
            revoked.extend(partitions.elements().iter().map(|element| element.partition()));
        }
    }
}

impl Client {
    /// Connects, looks whether the topic is there, and begins to consume.
    pub(super) async fn open(config: &Config, scope: &Scope) -> Result<Self, Error> {
        let mut settings = settings(config, scope)?;
        let (topic, partition) = (config.topic.clone(), config.partition.clone());
        let oldest = config.consumer_group.as_ref().map(|group| group.oldest);
        let opening = tokio::task::spawn_blocking(move || {
            let fail = |consumer: &StreamConsumer<Context>, error: KafkaError| {
                trouble(consumer.context(), &error, &topic)
            };
            let mut consumer = create(&settings)?;
            let partitions = look(&consumer, &topic).map_err(|error| {
                listen(&consumer);
                fail(&consumer, error)
            })?;
            if oldest != Some(true) {
                let mine = only(oldest.is_none().then_some(partition.as_str()), &topic, &partitions)?;
                let known = position::establish(&consumer, &topic, &mine, LOOK);
                if known.map_err(|error| fail(&consumer, error))? {
                    // From now on the oldest message is right: for positions whose messages are deleted, and for
                    // partitions that are added.
                    settings.set("auto.offset.reset", "earliest");
                    consumer = create(&settings)?;
                }
            }
            let begun = match oldest {
                Some(_) => consumer.subscribe(&[&topic]),
                None => assign(&consumer, &topic, &partition),
            };
            begun.map_err(|error| fail(&consumer, error))?;
            let cluster = consumer.client().fetch_cluster_id(LOOK).unwrap_or_default();
            Ok(Self { consumer: Arc::new(consumer), cluster: cluster.into(), topic })
        });
        opening.await.map_err(|panic| Error::upstream(panic.to_string(), "report this"))?
    }

    /// An error of the consumer as ours.
    pub(super) fn failure(&self, error: &KafkaError) -> Error {
        trouble(self.consumer.context(), error, &self.topic)
    }

    /// Partitions that went to others since the last look.
    pub(super) fn revoked(&self) -> Vec<i32> {
        std::mem::take(&mut *self.consumer.context().revoked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn pause(&self, partition: i32) {
        let _ = self.consumer.pause(&self.one(partition));
    }

    pub(super) fn resume(&self, partition: i32) {
        let _ = self.consumer.resume(&self.one(partition));
    }

    fn one(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        list
    }
}

/// Hears what the library has to say, which it does only to those who wait for messages: why a broker cannot be
/// reached, or did not let us in.
fn listen(consumer: &StreamConsumer<Context>) {
    let hear = async {
        while let Err(error) = consumer.recv().await {
            let mut trouble = consumer.context().trouble.lock().unwrap_or_else(PoisonError::into_inner);
            let told = said(&error);
            // The first words are the reason; that then all brokers are down follows from it.
            if trouble.is_none() || told.contains("uthentication") {
                *trouble = Some(told);
            }
        }
    };
    let _ = tokio::runtime::Handle::current().block_on(tokio::time::timeout(HEAR, hear));
}

/// The partitions of a topic that exists.
fn look(consumer: &StreamConsumer<Context>, topic: &str) -> Result<Vec<i32>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), LOOK)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found.map(|found| (found.error(), found.partitions())) {
        Some((Some(error), _)) => Err(KafkaError::MetadataFetch(error.into())),
        Some((None, partitions)) if !partitions.is_empty() => {
            Ok(partitions.iter().map(rdkafka::metadata::MetadataPartition::id).collect())
        }
        _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)),
    }
}

/// All partitions, or the one that is named.
fn only(partition: Option<&str>, topic: &str, there: &[i32]) -> Result<Vec<i32>, Error> {
    let Some(partition) = partition else { return Ok(there.to_vec()) };
    match partition.parse() {
        Ok(number) if there.contains(&number) => Ok(vec![number]),
        _ => Err(Error::upstream(
            format!("topic `{topic}` has no partition {partition}"),
            format!("use one of {there:?}"),
        )),
    }
}

/// Without a group: one partition, from its position.
fn assign(consumer: &StreamConsumer<Context>, topic: &str, partition: &str) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition.parse().unwrap_or(-1), Offset::Stored)?;
    consumer.assign(&list)
}

fn create(settings: &ClientConfig) -> Result<StreamConsumer<Context>, Error> {
    settings.create_with_context(Context::default()).map_err(|error| {
        Error::config(format!("the Kafka client refuses its settings: {}", said(&error)), "correct them")
    })
}

/// Whether the library mends this by itself: one broker of several that is away for a moment. When the last one is
/// away it says so, too.
pub(super) fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}

/// The library's own words, which say more than the code.
fn trouble(context: &Context, error: &KafkaError, topic: &str) -> Error {
    let known = context.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
    let why = match known {
        Some(known) => format!("{}; {known}", said(error)),
        None => said(error),
    };
    Error::upstream(
        format!("topic `{topic}` cannot be read: {why}"),
        "see whether the brokers are up, the topic exists, and user and password are right",
    )
}

/// An error in one line.
pub(super) fn said(error: &KafkaError) -> String {
    error.to_string()
}

fn settings(config: &Config, scope: &Scope) -> Result<ClientConfig, Error> {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &config.url)
        .set("client.id", "tiphys")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        // What is committed is what we say is stored.
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        .set("session.timeout.ms", "15000")
        .set("queued.max.messages.kbytes", "16384")
        .set("reconnect.backoff.max.ms", "2000")
        .set("log_level", "3");
    let origin = &scope.origin;
    match &config.consumer_group {
        Some(group) => {
            settings.set("group.id", &group.group_name);
            settings.set("auto.offset.reset", if group.oldest { "earliest" } else { "latest" });
            let strategy = match group.rebalance_strategy.as_str() {
                "sticky" => "cooperative-sticky",
                "roundrobin" => "roundrobin",
                _ => "range",
            };
            settings.set("partition.assignment.strategy", strategy);
        }
        None => {
            // Nobody joins it: it remembers where we were.
            let names = [&origin.namespace, &origin.source, &origin.event].map(String::as_str);
            settings.set("group.id", format!("tiphys-{}", names.join("-")));
            settings.set("auto.offset.reset", "latest");
        }
    }
    secure(&mut settings, config, scope)?;
    Ok(settings)
}

fn secure(settings: &mut ClientConfig, config: &Config, scope: &Scope) -> Result<(), Error> {
    if let Some(tls) = &config.tls {
        if tls.insecure_skip_verify {
            settings.set("enable.ssl.certificate.verification", "false");
        }
        let parts = [
            ("ssl.ca.pem", &tls.ca_cert_secret),
            ("ssl.certificate.pem", &tls.client_cert_secret),
            ("ssl.key.pem", &tls.client_key_secret),
        ];
        for (name, selector) in parts {
            if let Some(selector) = selector {
                settings.set(name, scope.secret(selector)?.expose_secret());
            }
        }
        if tls.ca_cert_secret.is_none() {
            settings.set("ssl.ca.location", "probe");
        }
    }
    if let Some(sasl) = &config.sasl {
        let mechanism = if sasl.mechanism.is_empty() { "PLAIN" } else { sasl.mechanism.as_str() };
        if !["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&mechanism) {
            return Err(Error::config(
                format!("`sasl.mechanism: {mechanism}` is not run by this version"),
                "use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
            ));
        }
        settings.set("sasl.mechanism", mechanism);
        for (name, selector) in
            [("sasl.username", &sasl.user_secret), ("sasl.password", &sasl.password_secret)]
        {
            let Some(selector) = selector else {
                return Err(Error::config("`sasl` needs `userSecret` and `passwordSecret`", "name both"));
            };
            settings.set(name, scope.secret(selector)?.expose_secret());
        }
    }
    let protocol = match (config.tls.is_some(), config.sasl.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    settings.set("security.protocol", protocol);
    Ok(())
}
