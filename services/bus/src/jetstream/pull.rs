//! Asking a consumer for messages. One inbox serves all requests, so that what a given-up request still
//! brings is not lost: the next one finds it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::link::{API, Link, code, unavailable};
use crate::error::BusError;

/// At most so long a request stands; then it is made anew.
const STANDS: Duration = Duration::from_secs(30);
/// Requests that stand for longer than this are kept alive by heartbeats.
const SHORT: Duration = Duration::from_secs(2);
/// A server's answer may take so much longer than was asked for.
const LATE: Duration = Duration::from_millis(500);
/// So long nothing comes when the server holds back because too many deliveries are out.
const GATHER: Duration = Duration::from_millis(20);
/// Between tries, when a consumer has no leader or its requests are taken.
const PAUSE: Duration = Duration::from_millis(50);

/// A request that the server has not finished.
#[derive(Debug, Clone, Copy)]
struct Standing {
    number: u64,
    left: usize,
    until: Instant,
    heartbeat: Option<Duration>,
    heard: Instant,
}

impl Standing {
    /// Silence up to here is as it should be.
    fn patience(&self) -> Instant {
        let end = self.until + LATE;
        let beat = self.heartbeat.map(|beat| self.heard + beat * 2 + LATE);
        beat.map_or(end, |beat| beat.min(end))
    }
}

/// What came in.
enum Arrival {
    Message(Box<Message>),
    /// The request is finished, or was not taken.
    End,
    /// To be tried again in a moment.
    Later,
    /// Nothing for the caller.
    Noise,
}

/// Takes messages from one consumer.
pub(super) struct Puller {
    link: Arc<Link>,
    stream: String,
    consumer: String,
    inbox: String,
    arrivals: Subscriber,
    connections: watch::Receiver<u64>,
    number: u64,
    standing: Option<Standing>,
    /// Came in, and was not handed to anybody yet.
    got: VecDeque<Message>,
}

impl Puller {
    /// `stream` and `consumer` are the server's names.
    pub(super) async fn new(link: &Arc<Link>, stream: String, consumer: String) -> Result<Self, BusError> {
        let inbox = link.client.new_inbox();
        Ok(Self {
            connections: link.connections(),
            arrivals: subscribe(link, &inbox).await?,
            link: Arc::clone(link),
            stream,
            consumer,
            inbox,
            number: 0,
            standing: None,
            got: VecDeque::new(),
        })
    }

    /// Up to `max` messages; waits up to `wait` for the first. May be dropped at any time.
    pub(super) async fn pull(&mut self, max: usize, wait: Duration) -> Result<Vec<Message>, BusError> {
        let deadline = Instant::now() + wait;
        let mut asked = false;
        while self.got.len() < max {
            let now = Instant::now();
            let patience = match &self.standing {
                // What is there is handed out, also where more could be waited for.
                _ if !self.got.is_empty() => now + GATHER,
                Some(standing) => standing.patience(),
                None if asked && now >= deadline => break,
                None => {
                    self.ask(max, deadline.saturating_duration_since(now)).await?;
                    asked = true;
                    continue;
                }
            };
            if !self.got.is_empty() && self.standing.is_none() {
                break;
            }
            tokio::select! {
                biased;
                arrived = self.arrivals.next() => match self.judge(arrived).await? {
                    Arrival::Message(message) => self.got.push_back(*message),
                    Arrival::Later if self.got.is_empty() => tokio::time::sleep(PAUSE).await,
                    Arrival::Later | Arrival::End | Arrival::Noise => {}
                },
                // A request does not outlive the connection it was made on.
                Ok(()) = self.connections.changed() => self.standing = None,
                () = tokio::time::sleep_until(patience) => {
                    if !self.got.is_empty() {
                        break;
                    }
                    self.standing = None;
                    if Instant::now() >= deadline && !self.link.is_connected() {
                        return Err(unavailable("there is no connection to NATS"));
                    }
                }
            }
        }
        let count = max.min(self.got.len());
        Ok(self.got.drain(..count).collect())
    }

    async fn ask(&mut self, max: usize, wait: Duration) -> Result<(), BusError> {
        let wait = wait.clamp(GATHER, STANDS);
        let heartbeat = (wait > SHORT).then(|| (wait / 3).min(Duration::from_secs(5)));
        self.number += 1;
        let mut body = json!({ "batch": max, "no_wait": true, "expires": nanoseconds(wait) });
        if let (Some(beat), Some(body)) = (heartbeat, body.as_object_mut()) {
            body.insert("idle_heartbeat".into(), nanoseconds(beat).into());
        }
        let subject = format!("{API}.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.consumer);
        let reply = format!("{}.{}", self.inbox, self.number);
        let sent = self.link.client.publish_with_reply(subject, reply, body.to_string().into());
        sent.await.map_err(|error| unavailable(error.to_string()))?;
        let now = Instant::now();
        self.standing =
            Some(Standing { number: self.number, left: max, until: now + wait, heartbeat, heard: now });
        Ok(())
    }

    async fn judge(&mut self, arrived: Option<Message>) -> Result<Arrival, BusError> {
        let Some(message) = arrived else {
            self.standing = None;
            self.arrivals = subscribe(&self.link, &self.inbox).await?;
            return Ok(Arrival::Later);
        };
        let Some(status) = message.status.filter(|_| message.reply.is_none()) else {
            // It bears the subject it was stored under, not that of the request: it counts for the last.
            if let Some(standing) = self.standing.as_mut() {
                standing.left = standing.left.saturating_sub(1);
                standing.heard = Instant::now();
                if standing.left == 0 {
                    self.standing = None;
                }
            }
            return Ok(Arrival::Message(Box::new(message)));
        };
        let number = message.subject.rsplit('.').next().and_then(|n| n.parse::<u64>().ok());
        let current = self.standing.as_mut().filter(|s| Some(s.number) == number);
        let Some(standing) = current else {
            return Ok(Arrival::Noise);
        };
        if status == StatusCode::IDLE_HEARTBEAT {
            standing.heard = Instant::now();
            return Ok(Arrival::Noise);
        }
        let early = Instant::now() + GATHER < standing.until;
        self.standing = None;
        match status {
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT if !early => Ok(Arrival::End),
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => Ok(Arrival::Later),
            StatusCode::REQUEST_TERMINATED | StatusCode::NO_RESPONDERS => {
                self.still_there().await?;
                Ok(Arrival::Later)
            }
            _ => Err(BusError::Invalid {
                reason: format!(
                    "the NATS server refuses to hand out messages: {}",
                    message.description.unwrap_or_default()
                ),
            }),
        }
    }

    /// Fails where the consumer is gone, rather than without a leader for the moment.
    async fn still_there(&self) -> Result<(), BusError> {
        let what = format!("CONSUMER.INFO.{}.{}", self.stream, self.consumer);
        match self.link.ask::<serde_json::Value>(&what, &json!({})).await {
            Err(failure) if matches!(failure.code(), code::CONSUMER_NOT_FOUND | code::STREAM_NOT_FOUND) => {
                Err(failure.about(&format!("consumer `{}`", self.consumer)))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

async fn subscribe(link: &Link, inbox: &str) -> Result<Subscriber, BusError> {
    let arrivals = link.client.subscribe(format!("{inbox}.*")).await;
    arrivals.map_err(|error| unavailable(error.to_string()))
}

/// A time as the server writes it.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
