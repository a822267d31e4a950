//! The worker of one Sensor: takes events in order, judges them, makes the decisions durable, acks.
//!
//! Events are judged in rounds. A round ends with one write per condition that changed (its new state and what it
//! caused, in one record), then the publishing of all that was decided, then the acks. Whatever fails, the events
//! of the round are judged again from the state that is on the bus: what was applied is known there,
//! and each record has an id, so that nothing happens twice.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tiphys_bus::members::Members;
use tiphys_bus::{BusError, Consumer, ConsumerConfig, Delivery, Start, streams};
use tiphys_core::{Event, Verdict};
use tiphys_kit::trace::{Span, tracer};
use tiphys_kit::{Backoff, CancellationToken};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::outlet::Outlet;
use super::round::{Round, unreadable};
use super::seat::Seat;
use super::store::Store;
use super::{Config, Deps, consumer_name, metric, part};
use crate::compile::Compiled;
use crate::condition::adopt;
use crate::eval::{Input, State, empty_verdict, eval};

/// How long a fetch waits for the first event; also how soon a stop is seen.
const IDLE: Duration = Duration::from_millis(250);
/// A delivery that is neither acked nor kept alive for so long comes again: what a dead instance had taken.
const ACK_WAIT: Duration = Duration::from_secs(4);
/// What was taken and waits for its round is kept alive this often.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    compiled: Compiled,
    seat: Seat,
    batch: usize,
    deps: Deps,
    consumer: Box<dyn Consumer>,
    outlet: Outlet,
    store: Store,
    state: State,
    /// Whether `state` is what stands on the bus.
    loaded: bool,
    /// Triggers whose record still shows an outbox that is published.
    untidy: BTreeSet<String>,
    /// Taken from the consumer and not acked, in order.
    taken: VecDeque<Box<dyn Delivery>>,
    /// When these were last known to be under way.
    alive: Instant,
}

impl Worker {
    /// Makes the consumer where there is none yet; a new one begins with what is stored from here on.
    pub(super) async fn open(
        compiled: Compiled,
        config: &Config,
        deps: &Deps,
        members: &Arc<Members>,
    ) -> Result<Self, BusError> {
        let consumer = ConsumerConfig {
            name: consumer_name(&compiled.namespace, &compiled.name),
            filters: compiled.subjects(),
            start: Start::New,
            ack_wait: ACK_WAIT,
            max_ack_pending: config.batch.max(1) * 2,
        };
        let consumer = deps.bus.consumer(streams::EVENTS, consumer).await?;
        Ok(Self {
            seat: Seat::new(members, &compiled.namespace, &compiled.name),
            batch: config.batch.max(1),
            deps: deps.clone(),
            consumer,
            outlet: Outlet::new(deps.bus.clone(), compiled.uid.clone()),
            store: Store::new(deps.bus.clone(), &compiled.namespace, &compiled.name),
            state: State::new(),
            loaded: false,
            untidy: BTreeSet::new(),
            taken: VecDeque::new(),
            alive: Instant::now(),
            compiled,
        })
    }

    /// Tells which views of the members the worker has taken note of.
    pub(super) fn noted(&self) -> watch::Receiver<u64> {
        self.seat.noted()
    }

    pub(super) fn namespace(&self) -> &str {
        &self.compiled.namespace
    }

    pub(super) fn name(&self) -> &str {
        &self.compiled.name
    }

    /// Works until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let part = part(self.namespace(), self.name());
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        while !stop.is_cancelled() {
            let wait = match self.turn().await {
                Ok(true) => {
                    backoff.reset();
                    self.deps.health.ready(&part);
                    continue;
                }
                Ok(false) => {
                    self.deps.health.ready(&part);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = self.seat.changed() => {}
                    }
                    continue;
                }
                Err(BusError::Closed) => break,
                Err(error) => {
                    let sensor = self.name();
                    warn!(namespace = self.namespace(), sensor, %error, "the sensor waits for the bus");
                    self.deps.health.failing(&part, error.to_string());
                    self.loaded = false;
                    backoff.next_wait()
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.leave().await;
    }

    /// One turn: a batch, or a tick where there is none. False: the sensor is another instance's.
    async fn turn(&mut self) -> Result<bool, BusError> {
        if !self.seat.is_mine() {
            self.loaded = false;
            self.give_back().await;
            self.seat.note();
            return Ok(false);
        }
        self.seat.note();
        if !self.loaded {
            self.load().await?;
        }
        if self.taken.is_empty() {
            self.taken.extend(self.consumer.fetch(self.batch, IDLE).await?);
            self.alive = Instant::now();
        }
        if self.taken.is_empty() {
            self.tick().await?;
            return Ok(true);
        }
        while !self.taken.is_empty() {
            self.keep_alive().await?;
            self.round().await?;
        }
        if self.compiled.has_state() {
            let floor = self.consumer.info().await?.ack_floor;
            self.state.values_mut().for_each(|state| state.settle(floor));
        }
        Ok(true)
    }

    /// Keeps what waits from being given to another instance.
    async fn keep_alive(&mut self) -> Result<(), BusError> {
        if self.alive.elapsed() < KEEP_ALIVE {
            return Ok(());
        }
        self.alive = Instant::now();
        let kept = join_all(self.taken.iter().map(|delivery| delivery.progress())).await;
        kept.into_iter().collect()
    }

    /// Judges what was taken, until the round is full; makes it durable; acks it.
    async fn round(&mut self) -> Result<(), BusError> {
        let mut round = Round::default();
        for delivery in &self.taken {
            let message = delivery.message();
            round.events += 1;
            round.bytes += message.payload.len();
            let now = self.deps.clock.now();
            match Event::decode(&message.payload) {
                Ok(event) => {
                    round.received.push(event.received);
                    let input = Input::Event { event, sequence: message.sequence };
                    round.add(eval(&self.compiled, &mut self.state, now, input));
                }
                Err(error) => {
                    round.add(unreadable(&self.compiled, message, &error.to_string(), now));
                }
            }
            if round.is_full(self.compiled.has_state()) {
                break;
            }
        }
        let events = round.events;
        self.commit(round).await?;
        self.ack(events).await
    }

    /// Acks the first `events` taken. Those whose ack fails stay: judged again, they find themselves applied.
    async fn ack(&mut self, events: usize) -> Result<(), BusError> {
        let done: Vec<_> = self.taken.drain(..events).collect();
        let acks = join_all(done.iter().map(|delivery| delivery.ack())).await;
        let mut failed = Ok(());
        for (delivery, ack) in done.into_iter().zip(acks).rev() {
            if let Err(error) = ack {
                self.taken.push_front(delivery);
                failed = Err(error);
            }
        }
        failed
    }

    /// Makes a round durable: conditions first, each with its outbox, then all that is told to others.
    async fn commit(&mut self, round: Round) -> Result<(), BusError> {
        for trigger in &round.changed {
            if let Some(state) = self.state.get(trigger) {
                self.store.save(trigger, state).await?;
            }
        }
        let resets = self.dropped();
        self.outlet.publish(&round.firings, &round.verdicts, &round.dead, resets.as_ref()).await?;
        self.clear_outboxes();
        let now = self.deps.clock.now();
        if let Some(tracer) = tracer() {
            round.spans.into_iter().for_each(|span| tracer.tell(Span { ended: now, ..span }));
        }
        for received in round.received {
            metric::decided(self.namespace(), self.name(), received, now);
        }
        round.verdicts.iter().for_each(metric::verdict);
        Ok(())
    }

    /// Nothing is left to be judged: time may have passed, and records can be tidied.
    async fn tick(&mut self) -> Result<(), BusError> {
        let now = self.deps.clock.now();
        let decision = eval(&self.compiled, &mut self.state, now, Input::Tick);
        if !decision.changed.is_empty() {
            let mut round = Round::default();
            round.add(decision);
            self.commit(round).await?;
        }
        self.tidy().await
    }

    /// Writes the records whose outbox is published, so that a later start does not publish it again.
    async fn tidy(&mut self) -> Result<(), BusError> {
        while let Some(trigger) = self.untidy.pop_first() {
            if let Some(state) = self.state.get(&trigger) {
                self.store.save(&trigger, state).await?;
            }
        }
        self.store.forget_blobs(&self.state);
        Ok(())
    }

    /// Reads the conditions, fits them to the Sensor as it now is, and publishes what was left to be.
    async fn load(&mut self) -> Result<(), BusError> {
        self.untidy.clear();
        self.state = self.store.load().await?;
        let mut gone = Vec::new();
        for (name, state) in &mut self.state {
            let before = state.outbox.dropped.len();
            let trigger = self.compiled.trigger(name).filter(|trigger| trigger.stateful);
            if trigger.is_none() {
                gone.push(name.clone());
            }
            adopt(trigger, state);
            if state.outbox.dropped.len() > before {
                self.store.save(name, state).await?;
            }
        }
        let outboxes = self.state.values().map(|state| &state.outbox);
        let firings: Vec<_> = outboxes.clone().flat_map(|outbox| outbox.firings.clone()).collect();
        let dead: Vec<_> = outboxes.flat_map(|outbox| outbox.dead.clone()).collect();
        let resets = self.dropped();
        self.outlet.publish(&firings, &[], &dead, resets.as_ref()).await?;
        self.clear_outboxes();
        for name in gone {
            self.store.remove(&name).await?;
            self.state.remove(&name);
            self.untidy.remove(&name);
        }
        self.loaded = true;
        Ok(())
    }

    /// What waited and was dropped, as a verdict.
    fn dropped(&self) -> Option<Verdict> {
        let mut reset = Vec::new();
        for (trigger, state) in &self.state {
            for one in &state.outbox.dropped {
                reset.push((trigger.clone(), one.dependency.clone(), one.event.clone()));
            }
        }
        if reset.is_empty() {
            return None;
        }
        let mut verdict = empty_verdict(&self.compiled, self.deps.clock.now());
        verdict.reset = reset;
        Some(verdict)
    }

    fn clear_outboxes(&mut self) {
        for (trigger, state) in &mut self.state {
            if !state.outbox.is_empty() {
                state.outbox = crate::state::Outbox::default();
                self.untidy.insert(trigger.clone());
            }
        }
    }

    /// Gives back what was taken and not acked.
    async fn give_back(&mut self) {
        for delivery in self.taken.drain(..) {
            // Best effort: it comes again by itself after a while.
            let _ = delivery.nack(Duration::ZERO).await;
        }
    }

    async fn leave(&mut self) {
        self.give_back().await;
        if self.loaded
            && let Err(error) = self.tidy().await
        {
            debug!(sensor = self.name(), %error, "the conditions were not tidied");
        }
    }
}
