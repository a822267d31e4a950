//! A durable consumer of a stream: a message is acked after its event is stored, and comes again otherwise.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Config as PullConfig, Stream as Messages};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, AckKind, Message};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tiphys_core::{Timestamp, chain};
use tiphys_manifest::event_source::Nats as Config;
use tiphys_manifest::event_source::nats::JetStream;
use tokio::task::unconstrained;
use tracing::debug;

use super::connection::{Connection, Sign, lost};
use super::payload;
use crate::emit::Emitter;
use crate::error::Error;
use crate::insist::Insist;
use crate::kind::Scope;

/// So many messages are under way at once, unless the manifest says otherwise.
const UNDER_WAY: u16 = 256;
/// What is not acked comes again after this long, with a consumer that we make.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Without a word from the server for twice this long, the connection counts as broken.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// What neither became an event nor a dead letter comes again after this long.
const LATER: Duration = Duration::from_secs(10);
/// An ack leaves within this time, or not at all; the message then comes again.
const ACK: Duration = Duration::from_secs(5);

pub(super) async fn run(config: &Config, jetstream: &JetStream, scope: &Scope) -> Result<(), Error> {
    let emitter = scope.emitter(config.filter.as_ref())?;
    if jetstream.stream.is_empty() {
        return Err(Error::config(
            "`jetstream.stream` of the nats event is missing",
            "name the stream to read",
        ));
    }
    let policy = deliver_policy(jetstream)?;
    let limit = usize::from(jetstream.max_ack_pending.unwrap_or(UNDER_WAY).max(1));
    let mut connection = Connection::open(config, scope, 2 * limit).await?;
    let context = jetstream::new(connection.client.clone());
    let stream = context.get_stream(&jetstream.stream).await.map_err(|error| {
        Error::upstream(
            format!("the stream `{}` cannot be read: {}", jetstream.stream, chain(&error)),
            "create the stream, or correct `jetstream.stream`; a user needs the right to ask for it",
        )
    })?;
    let consumer = consumer(config, jetstream, policy, scope, &stream).await?;
    let pull = consumer.stream().max_messages_per_batch(limit).heartbeat(HEARTBEAT);
    let mut messages = pull.messages().await.map_err(|error| {
        Error::upstream(format!("the stream cannot be read: {}", chain(&error)), "see the NATS server")
    })?;
    scope.up();
    let reader = Reader {
        config,
        scope,
        emitter,
        insist: Insist::new(scope.stop.clone()),
        // A stream made anew begins to count anew, and its first message is not the first of the one before.
        stream: format!("{}/{}", jetstream.stream, stream.cached_info().created.unix_timestamp_nanos()),
        heartbeat: consumer.cached_info().config.ack_wait / 3,
    };
    let outcome = reader.read(&mut connection, &mut messages, limit).await;
    drop(messages);
    connection.close().await;
    outcome
}

fn deliver_policy(jetstream: &JetStream) -> Result<DeliverPolicy, Error> {
    match jetstream.deliver_policy.as_str() {
        "" | "all" => Ok(DeliverPolicy::All),
        "new" => Ok(DeliverPolicy::New),
        other => Err(Error::config(
            format!("`jetstream.deliverPolicy: {other}` is not known"),
            "use `all` or `new`",
        )),
    }
}

/// The consumer of the manifest: the one that exists, or a new one.
async fn consumer(
    config: &Config,
    jetstream: &JetStream,
    deliver_policy: DeliverPolicy,
    scope: &Scope,
    stream: &Stream,
) -> Result<PullConsumer, Error> {
    let name = name(jetstream, scope);
    let wanted = PullConfig {
        durable_name: Some(name.clone()),
        deliver_policy,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: jetstream.max_ack_pending.unwrap_or(UNDER_WAY).max(1).into(),
        filter_subject: config.subject.clone(),
        ..PullConfig::default()
    };
    let consumer = stream.get_or_create_consumer(&name, wanted).await.map_err(|error| {
        Error::upstream(
            format!("the consumer `{name}` of the stream cannot be used: {}", chain(&error)),
            "see whether it is a pull consumer, `subject` of the event, and the rights of its user",
        )
    })?;
    let found = &consumer.cached_info().config;
    if found.ack_policy != AckPolicy::Explicit {
        return Err(Error::upstream(
            format!("the consumer `{name}` does not ack each message by itself"),
            "make it with ack policy `explicit`, or name another one in `jetstream.consumer`",
        ));
    }
    if !config.subject.is_empty() && found.filter_subject != config.subject {
        return Err(Error::upstream(
            format!(
                "the consumer `{name}` exists with the filter `{}`, and `subject` is `{}`",
                found.filter_subject, config.subject
            ),
            "delete the consumer, name another one in `jetstream.consumer`, or leave `subject` out",
        ));
    }
    Ok(consumer)
}

/// The consumer's name. Dots and the like may not stand in one.
fn name(jetstream: &JetStream, scope: &Scope) -> String {
    if !jetstream.consumer.is_empty() {
        return jetstream.consumer.clone();
    }
    let origin = &scope.origin;
    let plain = format!("tiphys-{}-{}-{}", origin.namespace, origin.source, origin.event);
    plain.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

struct Reader<'a> {
    config: &'a Config,
    scope: &'a Scope,
    emitter: Emitter,
    insist: Insist,
    stream: String,
    heartbeat: Duration,
}

impl Reader<'_> {
    /// Until it is time to stop, or something breaks. What is under way is finished in each case.
    async fn read(
        &self,
        connection: &mut Connection,
        messages: &mut Messages,
        limit: usize,
    ) -> Result<(), Error> {
        let mut busy = FuturesUnordered::new();
        let outcome = loop {
            tokio::select! {
                () = self.scope.stop.cancelled() => break Ok(()),
                Some(()) = busy.next(), if !busy.is_empty() => {}
                Some(sign) = connection.signs.recv() => match sign {
                    Sign::Connected => self.scope.up(),
                    Sign::Lost => self.scope.down(&lost()),
                    // What found no place comes again.
                    Sign::Dropped => {}
                    Sign::Refused(reason) => break Err(Error::upstream(
                        format!("the NATS server refuses us: {reason}"),
                        "see the rights of the user of the event",
                    )),
                },
                next = messages.next(), if busy.len() < limit => match next {
                    // In order: see `Insist`.
                    Some(Ok(message)) => busy.push(unconstrained(self.handle(message))),
                    Some(Err(error)) => break Err(Error::upstream(
                        format!("the stream is not read any more: {}", chain(&error)),
                        "see whether the NATS server runs and the consumer exists; it is tried again",
                    )),
                    None => break Err(lost()),
                },
            }
        };
        while busy.next().await.is_some() {}
        outcome
    }

    /// Stores one message, and answers the server. It is kept alive meanwhile.
    async fn handle(&self, message: Message) {
        let storing = self.store(&message);
        tokio::pin!(storing);
        let stored = loop {
            tokio::select! {
                stored = &mut storing => break stored,
                () = tokio::time::sleep(self.heartbeat) => answer(&message, AckKind::Progress).await,
            }
        };
        match stored {
            Ok(Some(())) => answer(&message, AckKind::Ack).await,
            Ok(None) => answer(&message, AckKind::Nak(None)).await,
            Err(failure) => {
                self.scope.down(&failure);
                answer(&message, AckKind::Nak(Some(LATER))).await;
            }
        }
    }

    async fn store(&self, message: &Message) -> Result<Option<()>, Error> {
        let info = message.info().map_err(|error| Error::Message {
            what: format!("a message that did not come through a consumer: {error}"),
        })?;
        let native = format!("{}/{}", self.stream, info.stream_sequence);
        let wrong = match payload::draft(self.config, message, Some(native.clone())) {
            Ok(mut draft) => {
                draft.occurred = Timestamp::from_nanosecond(info.published.unix_timestamp_nanos()).ok();
                match self.insist.on(|| self.emitter.emit(draft.clone())).await {
                    Ok(stored) => return Ok(stored.map(drop)),
                    Err(wrong) => wrong,
                }
            }
            Err(wrong) => wrong,
        };
        self.insist.on(|| self.scope.dead_letter(&native, &message.payload, &wrong)).await
    }
}

/// Best effort: what is not answered comes again, and is then the same event.
async fn answer(message: &Message, kind: AckKind) {
    let answered = tokio::time::timeout(ACK, message.ack_with(kind)).await;
    if !matches!(answered, Ok(Ok(()))) {
        debug!("a message of NATS could not be answered");
    }
}
