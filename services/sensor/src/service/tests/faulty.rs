//! A bus that fails where it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tiphys_bus::{
    Acked, Bus, BusError, Consumer, ConsumerConfig, ConsumerInfo, Delivery, Layer, Message, Publish,
};

/// Where it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// The nth publish below this root is refused.
    BeforePublish(&'static str, usize),
    /// The nth publish below this root is stored, and its answer is lost.
    AfterPublish(&'static str, usize),
    /// The nth ack is refused.
    Ack(usize),
}

/// What it does from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It fails this once.
    Once,
    /// It is away for good, as it is for a process that was killed.
    Dead,
}

#[derive(Debug)]
struct Plan {
    point: Point,
    mode: Mode,
    count: AtomicUsize,
    reached: AtomicBool,
}

pub(super) struct Faulty {
    inner: Arc<dyn Bus>,
    plan: Arc<Plan>,
}

fn away() -> BusError {
    BusError::Unavailable { reason: "on purpose".into() }
}

impl Plan {
    fn check(&self) -> Result<(), BusError> {
        let dead = self.mode == Mode::Dead && self.reached.load(Ordering::SeqCst);
        if dead { Err(away()) } else { Ok(()) }
    }

    fn is_now(&self, nth: usize) -> bool {
        let now = self.count.fetch_add(1, Ordering::SeqCst) + 1 == nth;
        if now {
            self.reached.store(true, Ordering::SeqCst);
        }
        now
    }
}

impl Faulty {
    pub(super) fn new(inner: Arc<dyn Bus>, point: Point, mode: Mode) -> Arc<Self> {
        let (count, reached) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { inner, plan: Arc::new(Plan { point, mode, count, reached }) })
    }

    pub(super) fn reached(&self) -> bool {
        self.plan.reached.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Layer for Faulty {
    async fn enter(&self) -> Result<&dyn Bus, BusError> {
        self.plan.check()?;
        Ok(self.inner.as_ref())
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        let bus = self.enter().await?;
        let below = |root: &str| message.subject.starts_with(root);
        match self.plan.point {
            Point::BeforePublish(root, nth) if below(root) && self.plan.is_now(nth) => Err(away()),
            Point::AfterPublish(root, nth) if below(root) && self.plan.is_now(nth) => {
                bus.publish(message).await?;
                Err(away())
            }
            _ => bus.publish(message).await,
        }
    }

    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError> {
        let inner = self.enter().await?.consumer(stream, config).await?;
        Ok(Box::new(FaultyConsumer { inner, plan: self.plan.clone() }))
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct FaultyConsumer {
    inner: Box<dyn Consumer>,
    plan: Arc<Plan>,
}

#[async_trait]
impl Consumer for FaultyConsumer {
    async fn fetch(&self, max: usize, wait: Duration) -> Result<Vec<Box<dyn Delivery>>, BusError> {
        self.plan.check()?;
        let all = self.inner.fetch(max, wait).await?;
        let wrap =
            |inner| -> Box<dyn Delivery> { Box::new(FaultyDelivery { inner, plan: self.plan.clone() }) };
        Ok(all.into_iter().map(wrap).collect())
    }

    async fn info(&self) -> Result<ConsumerInfo, BusError> {
        self.plan.check()?;
        self.inner.info().await
    }
}

struct FaultyDelivery {
    inner: Box<dyn Delivery>,
    plan: Arc<Plan>,
}

#[async_trait]
impl Delivery for FaultyDelivery {
    fn message(&self) -> &Message {
        self.inner.message()
    }

    fn attempt(&self) -> u32 {
        self.inner.attempt()
    }

    async fn ack(&self) -> Result<(), BusError> {
        self.plan.check()?;
        match self.plan.point {
            Point::Ack(nth) if self.plan.is_now(nth) => Err(away()),
            _ => self.inner.ack().await,
        }
    }

    /// Goes through in any case: so the bus learns at once that the process is gone.
    async fn nack(&self, delay: Duration) -> Result<(), BusError> {
        self.inner.nack(delay).await
    }

    async fn progress(&self) -> Result<(), BusError> {
        self.inner.progress().await
    }
}
