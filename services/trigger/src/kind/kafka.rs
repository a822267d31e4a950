//! `kafka`: one message per firing. Its key is `partitioningKey`, else the firing's id, which also stands in the header
//! `Tiphys-Firing-Id`. Done once the brokers have it, all replicas unless `requiredAcks: 1` says that one is enough.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode as Code;
use secrecy::ExposeSecret as _;
use serde_json::Value as Json;
use tiphys_core::trace::TRACEPARENT;
use tiphys_manifest::Kind;
use tracing::debug;

use super::pool::Pool;
use super::{Context, TriggerKind};
use crate::apply::{apply, payload};
use crate::error::Error;
use crate::ledger::Effect;

/// The brokers have the message within this time, or it is tried again later.
const PATIENCE: Duration = Duration::from_secs(10);
/// Carries the firing's id, whatever the key is.
const FIRING: &str = "Tiphys-Firing-Id";

/// The kind, with its producers.
#[derive(Default)]
pub(super) struct Kafka(Pool<Producer>);

/// A producer, and what its library told last of its troubles.
#[derive(Clone)]
struct Producer {
    sender: FutureProducer<Ear>,
    ear: Ear,
}

/// Hears why a broker cannot be reached, or does not let us in; the messages themselves just time out then.
#[derive(Debug, Clone, Default)]
struct Ear(Arc<Mutex<Option<String>>>);

impl ClientContext for Ear {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "kafka");
        // That all brokers are down follows from the reason before.
        if error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl Ear {
    /// The last trouble since a message went through; all messages that wait for the same broker share it.
    fn heard(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[async_trait]
impl TriggerKind for Kafka {
    fn key(&self) -> &'static str {
        "kafka"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let mut template = context.template.clone();
        apply(&mut template, &context.firing.parameters)?;
        let text = |key: &str| template.get(key).and_then(Json::as_str).unwrap_or_default();
        let (url, topic) = (text("url"), text("topic"));
        if url.is_empty() || topic.is_empty() {
            return Err(Error::Template("the kafka trigger lacks `url` or `topic`".into()));
        }
        if template.get("schemaRegistry").is_some_and(|registry| !registry.is_null()) {
            return Err(Error::NotYet(
                "`schemaRegistry` of a kafka trigger is not run by this version".into(),
            ));
        }
        let Some(body) = payload(&context.firing.payload)? else {
            return Err(Error::Template(
                "`payload` of the kafka trigger is missing, as in Argo: it makes the message".into(),
            ));
        };
        let settings = settings(&context, &template)?;
        let producer = self.producer(&settings)?;
        let id = context.firing.id.0.as_str();
        let key = Some(text("partitioningKey")).filter(|key| !key.is_empty()).unwrap_or(id);
        let record = FutureRecord::to(topic).key(key).payload(&body).headers(headers(&context, &template)?);
        match producer.sender.send(record, PATIENCE).await {
            Ok(sent) => {
                producer.ear.forget();
                Ok(Effect::Published {
                    to: format!("Kafka {url} topic {topic}"),
                    receipt: format!("partition {} offset {}", sent.partition, sent.offset),
                })
            }
            Err((error, _)) => Err(self.refused(&error, topic, &producer, &settings)),
        }
    }
}

impl Kafka {
    fn producer(&self, settings: &[(&'static str, String)]) -> Result<Producer, Error> {
        let key = key(settings);
        if let Some(producer) = self.0.get(&key) {
            return Ok(producer);
        }
        let mut config = ClientConfig::new();
        // The library reports to the ear, not to the log of this process.
        config.set_log_level(RDKafkaLogLevel::Error);
        for (name, value) in settings {
            config.set(*name, value);
        }
        let ear = Ear::default();
        let sender = config.create_with_context(ear.clone()).map_err(|error: KafkaError| {
            Error::Template(format!("the Kafka client refuses its settings: {error}"))
        })?;
        Ok(self.0.keep(key, Producer { sender, ear }))
    }

    /// What the broker or the client said, by what may help.
    fn refused(
        &self,
        error: &KafkaError,
        topic: &str,
        producer: &Producer,
        settings: &[(&'static str, String)],
    ) -> Error {
        let code = error.rdkafka_error_code();
        let heard = producer.ear.heard().filter(|_| code == Some(Code::MessageTimedOut));
        let why = format!("topic `{topic}`: {error}");
        let why = heard.map_or(why.clone(), |heard| format!("{why}: {heard}"));
        match code {
            Some(Code::MessageSizeTooLarge | Code::InvalidMessage | Code::InvalidTopic) => {
                Error::Refused(why)
            }
            Some(Code::Fatal | Code::OutOfOrderSequenceNumber | Code::UnknownProducerId) => {
                // Such a producer takes nothing more.
                self.0.forget(&key(settings));
                Error::Unavailable(why)
            }
            _ => Error::Unavailable(why),
        }
    }
}

fn key(settings: &[(&'static str, String)]) -> String {
    let lines = settings.iter().map(|(name, value)| format!("{name}={value}"));
    lines.collect::<Vec<_>>().join("\0")
}

fn headers(context: &Context<'_>, template: &Json) -> Result<OwnedHeaders, Error> {
    let add = |all: OwnedHeaders, key: &str, value: &str| all.insert(Header { key, value: Some(value) });
    let mut all = OwnedHeaders::new();
    for (key, value) in template.get("headers").and_then(Json::as_object).into_iter().flatten() {
        all = add(all, key, value.as_str().unwrap_or_default());
    }
    for secure in template.get("secureHeaders").and_then(Json::as_array).into_iter().flatten() {
        let key = secure.get("name").and_then(Json::as_str).unwrap_or_default();
        let of = |kind: &str| secure.pointer(&format!("/valueFrom/{kind}")).filter(|from| !from.is_null());
        let value = match (of("secretKeyRef"), of("configMapKeyRef")) {
            (Some(selector), _) => context.secret(selector)?.expose_secret().to_owned(),
            (None, selector) => context.value(Kind::ConfigMap, selector.unwrap_or(&Json::Null))?,
        };
        all = add(all, key, &value);
    }
    let is_traced = all.iter().any(|header| header.key == TRACEPARENT);
    if let Some(trace) = context.trace.filter(|_| !is_traced) {
        all = add(all, TRACEPARENT, trace);
    }
    Ok(add(all, FIRING, &context.firing.id.0))
}

fn settings(context: &Context<'_>, template: &Json) -> Result<Vec<(&'static str, String)>, Error> {
    let given = |of: &Json, key: &str| of.get(key).filter(|value| !value.is_null()).cloned();
    let one_is_enough = template.get("requiredAcks").and_then(Json::as_i64) == Some(1);
    let linger = template.get("flushFrequency").and_then(Json::as_i64).unwrap_or_default().clamp(0, 5000);
    let compress = template.get("compress").and_then(Json::as_bool) == Some(true);
    let mut all: Vec<(&'static str, String)> = vec![
        ("bootstrap.servers", template.get("url").and_then(Json::as_str).unwrap_or_default().to_owned()),
        ("client.id", "tiphys".into()),
        ("acks", if one_is_enough { "1" } else { "all" }.into()),
        ("enable.idempotence", (!one_is_enough).to_string()),
        ("linger.ms", linger.to_string()),
        ("compression.type", if compress { "snappy" } else { "none" }.into()),
        ("message.timeout.ms", PATIENCE.as_millis().to_string()),
        // A topic that is not there is told before messages time out.
        ("topic.metadata.propagation.max.ms", (PATIENCE.as_millis() / 2).to_string()),
        ("reconnect.backoff.max.ms", "2000".into()),
        ("allow.auto.create.topics", "false".into()),
    ];
    let (tls, sasl) = (given(template, "tls"), given(template, "sasl"));
    if let Some(tls) = &tls {
        for (name, key) in [
            ("ssl.ca.pem", "caCertSecret"),
            ("ssl.certificate.pem", "clientCertSecret"),
            ("ssl.key.pem", "clientKeySecret"),
        ] {
            if let Some(selector) = given(tls, key) {
                all.push((name, context.secret(&selector)?.expose_secret().to_owned()));
            }
        }
        if tls.get("insecureSkipVerify").and_then(Json::as_bool) == Some(true) {
            all.push(("enable.ssl.certificate.verification", "false".into()));
        } else if given(tls, "caCertSecret").is_none() {
            all.push(("ssl.ca.location", "probe".into()));
        }
    }
    if let Some(sasl) = &sasl {
        let mechanism = sasl.get("mechanism").and_then(Json::as_str).filter(|name| !name.is_empty());
        let mechanism = mechanism.unwrap_or("PLAIN");
        if !["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&mechanism) {
            return Err(Error::NotYet(format!(
                "`sasl.mechanism: {mechanism}` of a kafka trigger is not run by this version; \
                 PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 are"
            )));
        }
        all.push(("sasl.mechanism", mechanism.to_owned()));
        for (name, key) in [("sasl.username", "userSecret"), ("sasl.password", "passwordSecret")] {
            let selector = given(sasl, key).unwrap_or_default();
            all.push((name, context.secret(&selector)?.expose_secret().to_owned()));
        }
    }
    let protocol = match (tls.is_some(), sasl.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    all.push(("security.protocol", protocol.into()));
    Ok(all)
}
