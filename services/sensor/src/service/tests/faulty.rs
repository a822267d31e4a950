//! A bus that fails where it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tiphys_bus::{
    Acked, Bus, BusError, Claim, Consumer, ConsumerConfig, ConsumerInfo, Delivery, Message, Publish,
    StreamConfig, StreamInfo,
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
impl Bus for Faulty {
    async fn ensure_stream(&self, config: &StreamConfig) -> Result<(), BusError> {
        self.inner.ensure_stream(config).await
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        self.plan.check()?;
        let below = |root: &str| message.subject.starts_with(root);
        match self.plan.point {
            Point::BeforePublish(root, nth) if below(root) && self.plan.is_now(nth) => Err(away()),
            Point::AfterPublish(root, nth) if below(root) && self.plan.is_now(nth) => {
                self.inner.publish(message).await?;
                Err(away())
            }
            _ => self.inner.publish(message).await,
        }
    }

    async fn last(&self, subject: &str) -> Result<Option<Message>, BusError> {
        self.plan.check()?;
        self.inner.last(subject).await
    }

    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        self.inner.get(stream, sequence).await
    }

    async fn read(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
        max: usize,
    ) -> Result<Vec<Message>, BusError> {
        self.plan.check()?;
        self.inner.read(stream, filter, from, max).await
    }

    async fn wait_for(&self, stream: &str, after: u64, wait: Duration) -> Result<u64, BusError> {
        self.inner.wait_for(stream, after, wait).await
    }

    async fn purge(&self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError> {
        self.plan.check()?;
        self.inner.purge(stream, filter, up_to).await
    }

    async fn info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        self.inner.info(stream).await
    }

    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError> {
        let inner = self.inner.consumer(stream, config).await?;
        Ok(Box::new(FaultyConsumer { inner, plan: self.plan.clone() }))
    }

    async fn consumer_info(&self, stream: &str, name: &str) -> Result<Option<ConsumerInfo>, BusError> {
        self.inner.consumer_info(stream, name).await
    }

    async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), BusError> {
        self.inner.delete_consumer(stream, name).await
    }

    async fn claim(&self, key: &str, owner: &str, for_time: Duration) -> Result<Option<Claim>, BusError> {
        self.plan.check()?;
        self.inner.claim(key, owner, for_time).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), BusError> {
        self.plan.check()?;
        self.inner.release(claim).await
    }

    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        self.plan.check()?;
        self.inner.put_blob(content).await
    }

    async fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        self.inner.get_blob(reference).await
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
