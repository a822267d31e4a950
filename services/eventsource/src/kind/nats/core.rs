//! A plain subscription. There are no acks and no redeliveries: what was received is stored, however long the bus
//! is away, as long as it has a place in memory; what comes beyond that is lost, and said.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use metrics::Counter;
use tiphys_core::chain;
use tiphys_manifest::event_source::Nats as Config;
use tokio::time::Instant;
use tracing::error;

use super::connection::{Connection, Sign, lost};
use super::payload;
use crate::emit::{Emitter, fingerprint};
use crate::error::Error;
use crate::insist::Insist;
use crate::kind::Scope;

/// So many messages are stored at once.
const UNDER_WAY: usize = 64;
/// So many wait in memory for that.
const WAITING: usize = 4096;
/// A refusal of the subscription comes within this time, if one comes.
const SETTLE: Duration = Duration::from_millis(200);
/// At the end, what the server had sent already is waited for so long.
const LEAVE: Duration = Duration::from_secs(5);
/// Losses are told of once in this time.
const QUIET: Duration = Duration::from_secs(10);

pub(super) async fn run(config: &Config, scope: &Scope) -> Result<(), Error> {
    let emitter = scope.emitter(config.filter.as_ref())?;
    if config.subject.trim().is_empty() {
        return Err(Error::config("`subject` of the nats event is missing", "name the subject to listen to"));
    }
    let mut connection = Connection::open(config, scope, WAITING).await?;
    let mut messages = subscribe(config, &connection).await?;
    let (insist, losses) = (Insist::new(scope.stop.clone()), Losses::new(scope));
    let listener = Listener { config, scope, emitter, insist, losses };
    let outcome = listener.listen(&mut connection, &mut messages).await;
    connection.close().await;
    outcome
}

async fn subscribe(config: &Config, connection: &Connection) -> Result<Subscriber, Error> {
    let (subject, queue) = (config.subject.clone(), config.queue.clone());
    let subscribed = if queue.is_empty() {
        connection.client.subscribe(subject).await
    } else {
        connection.client.queue_subscribe(subject, queue).await
    };
    let subscriber = subscribed.map_err(|error| {
        Error::config(format!("`subject` or `queue` of the nats event: {error}"), "correct the manifest")
    })?;
    connection.client.flush().await.map_err(|_| lost())?;
    Ok(subscriber)
}

struct Listener<'a> {
    config: &'a Config,
    scope: &'a Scope,
    emitter: Emitter,
    insist: Insist,
    losses: Losses<'a>,
}

impl Listener<'_> {
    /// Until it is time to stop, or the connection is gone for good. What was received is stored in each case.
    async fn listen(&self, connection: &mut Connection, messages: &mut Subscriber) -> Result<(), Error> {
        let mut busy = FuturesUnordered::new();
        let settled = tokio::time::sleep(SETTLE);
        tokio::pin!(settled);
        let mut up = false;
        let outcome = loop {
            tokio::select! {
                () = self.scope.stop.cancelled() => break Ok(()),
                Some(()) = busy.next(), if !busy.is_empty() => {}
                () = &mut settled, if !up => {
                    up = true;
                    self.scope.up();
                }
                Some(sign) = connection.signs.recv() => match sign {
                    Sign::Connected if up => self.scope.up(),
                    Sign::Connected => {}
                    Sign::Lost => self.scope.down(&lost()),
                    Sign::Dropped => self.losses.note(1, FULL),
                    Sign::Refused(reason) => break Err(refused(self.config, &reason)),
                },
                next = messages.next(), if busy.len() < UNDER_WAY => match next {
                    Some(message) => busy.push(self.handle(message)),
                    None => break Err(lost()),
                },
            }
        };
        // What the server has sent already still comes, and then the end.
        let _ = messages.drain().await;
        let deadline = tokio::time::sleep(LEAVE);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                () = &mut deadline => break,
                Some(()) = busy.next(), if !busy.is_empty() => {}
                next = messages.next(), if busy.len() < UNDER_WAY => match next {
                    Some(message) => busy.push(self.handle(message)),
                    None => break,
                },
            }
        }
        while busy.next().await.is_some() {}
        let mut rest = 0;
        while let Some(Some(_)) = messages.next().now_or_never() {
            rest += 1;
        }
        self.losses.note(rest, STOPPED);
        outcome
    }

    /// Stores one message.
    async fn handle(&self, message: Message) {
        let wrong = match payload::draft(self.config, &message, None) {
            Ok(draft) => match self.insist.on(|| self.emitter.emit(draft.clone())).await {
                Ok(Some(_)) => return,
                Ok(None) => return self.losses.note(1, STOPPED),
                Err(wrong) => wrong,
            },
            Err(wrong) => wrong,
        };
        // Nobody sends it again, so no two letters can be the same one.
        let id = format!("{}-{}", self.emitter.now().as_nanosecond(), fingerprint(&message.payload));
        match self.insist.on(|| self.scope.dead_letter(&id, &message.payload, &wrong)).await {
            Ok(Some(())) => {}
            Ok(None) => self.losses.note(1, STOPPED),
            Err(failure) => self.losses.note(1, &chain(&failure)),
        }
    }
}

const FULL: &str = "they come faster than the bus stores them; a JetStream stream would keep them";
const STOPPED: &str = "the event source had to stop while the bus was away";

fn refused(config: &Config, reason: &str) -> Error {
    Error::upstream(
        format!("the NATS server refuses the subscription to `{}`: {reason}", config.subject),
        "give the user of the event the right to subscribe there",
    )
}

/// Messages that are gone: counted, and told of.
struct Losses<'a> {
    scope: &'a Scope,
    counter: Counter,
    state: Mutex<(u64, Option<Instant>)>,
}

impl<'a> Losses<'a> {
    fn new(scope: &'a Scope) -> Self {
        let origin = &scope.origin;
        let counter = metrics::counter!("tiphys_nats_messages_lost_total", "namespace" => origin.namespace.clone(),
            "eventsource_name" => origin.source.clone(), "event_name" => origin.event.clone());
        Self { scope, counter, state: Mutex::default() }
    }

    fn note(&self, lost: u64, reason: &str) {
        if lost == 0 {
            return;
        }
        self.counter.increment(lost);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += lost;
        if state.1.is_none_or(|told| told.elapsed() >= QUIET) {
            let lost = std::mem::take(&mut state.0);
            state.1 = Some(Instant::now());
            let origin = &self.scope.origin;
            error!(source = origin.source, name = origin.event, lost, "NATS messages are lost: {reason}");
        }
    }
}
