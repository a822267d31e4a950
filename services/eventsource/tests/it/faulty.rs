//! A bus that is away, slow, or loses its answers, as far as events are concerned.
#![allow(dead_code, reason = "each suite uses a part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tiphys_bus::{Acked, Bus, BusError, Layer, Publish, memory};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

pub(crate) struct Faulty {
    inner: Arc<dyn Bus>,
    away: AtomicBool,
    lose: AtomicUsize,
    refuse: AtomicUsize,
    mute: AtomicBool,
    waiting: AtomicUsize,
    gate: Arc<RwLock<()>>,
}

impl Faulty {
    /// A memory bus that works.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: memory(),
            away: AtomicBool::new(false),
            lose: AtomicUsize::new(0),
            refuse: AtomicUsize::new(0),
            mute: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            gate: Arc::default(),
        })
    }

    /// Whether events are refused as by a bus that is away.
    pub(crate) fn away(&self, away: bool) {
        self.away.store(away, Ordering::Release);
    }

    /// The next events are stored, but nobody learns of it.
    pub(crate) fn lose_answers(&self, n: usize) {
        self.lose.store(n, Ordering::Release);
    }

    /// From now on events are stored, and nobody is ever answered: as if the asker had died.
    pub(crate) fn mute(&self, mute: bool) {
        self.mute.store(mute, Ordering::Release);
    }

    /// The next events are refused, and those behind them are not.
    pub(crate) fn refuse(&self, n: usize) {
        self.refuse.store(n, Ordering::Release);
    }

    /// No event is stored as long as the guard lives.
    pub(crate) async fn shut(&self) -> OwnedRwLockWriteGuard<()> {
        self.gate.clone().write_owned().await
    }

    /// How many events are being stored.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

fn unavailable() -> BusError {
    BusError::Unavailable { reason: "on purpose".into() }
}

#[async_trait]
impl Layer for Faulty {
    async fn enter(&self) -> Result<&dyn Bus, BusError> {
        Ok(self.inner.as_ref())
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        if !message.subject.starts_with("events.") {
            return self.inner.publish(message).await;
        }
        if self.away.load(Ordering::Acquire) {
            return Err(unavailable());
        }
        let less = |left: usize| left.checked_sub(1);
        if self.refuse.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok() {
            return Err(unavailable());
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let open = self.gate.read().await;
        let answer = self.inner.publish(message).await;
        drop(open);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        if self.mute.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        match self.lose.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
            Ok(_) => Err(unavailable()),
            Err(_) => answer,
        }
    }
}
