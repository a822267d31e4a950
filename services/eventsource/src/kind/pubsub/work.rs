//! Receives, stores, acks: many under way at once, in order where there is an ordering key.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, FuturesUnordered, StreamExt as _};
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::handler::Handler;
use google_cloud_pubsub::subscriber::{MessageStream, ShutdownToken};
use tiphys_kit::CancellationToken;
use tokio::time::Instant;

use super::ghost;
use super::refusal::refusal;
use super::site::Site;
use super::store::Store;
use crate::error::Error;

/// So many messages are held at most. The client tells the service of acks ten times a second, and no sooner does that
/// send more: ten times as many are the most that come in a second.
pub(super) const HELD: i64 = 1000;
/// The subscription is looked at once in this time.
const LOOK: Duration = Duration::from_secs(10);
/// A look that failed is taken again after this time, before anybody is told.
const SECOND_LOOK: Duration = Duration::from_secs(2);
/// What is under way gets so long at the end, and its acks as long again as they need.
const GRACE: Duration = Duration::from_secs(6);
const LAST_ACKS: Duration = Duration::from_secs(3);

type Received = Result<(Message, Handler), google_cloud_pubsub::Error>;

/// The messages that are held, and what is being done about them.
pub(super) struct Work {
    store: Arc<Store>,
    messages: BoxStream<'static, Received>,
    end: ShutdownToken,
    lanes: Lanes,
}

impl Work {
    pub(super) fn new(store: Arc<Store>, stream: MessageStream) -> Self {
        let (messages, end) = parts(stream);
        Self { store, messages, end, lanes: Lanes::default() }
    }

    /// Works until `stop`, or until the subscription fails; then ends what is under way, and gives back the rest.
    pub(super) async fn run(mut self, site: &Site, stop: &CancellationToken) -> Result<(), Error> {
        let outcome = self.turn(site, stop).await;
        self.store.close();
        // A stream that nobody reads would still be sent messages, and keep them from others.
        drop(self.messages);
        let store = self.store.clone();
        let rest = async { while self.lanes.step(&store).await {} };
        let _ = tokio::time::timeout(GRACE, rest).await;
        // Handlers that are dropped give their messages back.
        drop(self.lanes);
        let _ = tokio::time::timeout(LAST_ACKS, self.end.shutdown()).await;
        outcome
    }

    async fn turn(&mut self, site: &Site, stop: &CancellationToken) -> Result<(), Error> {
        let watch = watch(site);
        tokio::pin!(watch);
        let mut forgiven: Option<Instant> = None;
        loop {
            let room = self.lanes.held < usize::try_from(HELD).unwrap_or_default();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                wrong = &mut watch => return Err(wrong),
                received = self.messages.next(), if room => match received {
                    Some(Ok((message, handler))) => self.lanes.take(&self.store, message, handler),
                    Some(Err(failure))
                        if site.forgives(&failure) && forgiven.is_none_or(|last| last.elapsed() > LOOK) =>
                    {
                        forgiven = Some(Instant::now());
                        ghost::wait().await;
                        (self.messages, self.end) = parts(site.stream().await?);
                    }
                    Some(Err(failure)) => {
                        return Err(refusal(&format!("subscription `{}`", site.subscription()), &failure));
                    }
                    None => return Err(Error::upstream("the stream of messages ended", "it is opened again")),
                },
                true = self.lanes.step(&self.store) => {}
            }
        }
    }
}

/// The messages, and what ends them.
fn parts(stream: MessageStream) -> (BoxStream<'static, Received>, ShutdownToken) {
    let end = stream.shutdown_token();
    // A call for the next message must not be broken off: it may be about to open the stream.
    let messages = futures::stream::unfold(stream, |mut stream| async move {
        stream.next().await.map(|received| (received, stream))
    });
    (messages.boxed(), end)
}

/// Looks at the subscription now and then; ends when something is wrong with it.
async fn watch(site: &Site) -> Error {
    loop {
        tokio::time::sleep(LOOK).await;
        let mut found = site.exists().await;
        if found.is_err() {
            tokio::time::sleep(SECOND_LOOK).await;
            found = site.exists().await;
        }
        match found {
            Ok(true) => {}
            Ok(false) => {
                let what = format!("subscription `{}` was deleted", site.subscription());
                return Error::upstream(what, "it is looked for again, and made where `topic` is named");
            }
            Err(wrong) => return wrong,
        }
    }
}

type Storing = Pin<Box<dyn Future<Output = String> + Send>>;

/// Messages being stored: those with one ordering key one after another, others at once.
#[derive(Default)]
struct Lanes {
    under_way: FuturesUnordered<Storing>,
    /// Behind the first of each ordering key.
    behind: HashMap<String, VecDeque<(Message, Handler)>>,
    held: usize,
}

impl Lanes {
    fn take(&mut self, store: &Arc<Store>, message: Message, handler: Handler) {
        self.held += 1;
        let key = message.ordering_key.clone();
        if !key.is_empty() {
            if let Some(queue) = self.behind.get_mut(&key) {
                queue.push_back((message, handler));
                return;
            }
            self.behind.insert(key, VecDeque::new());
        }
        self.begin(store, message, handler);
    }

    fn begin(&self, store: &Arc<Store>, message: Message, handler: Handler) {
        let (store, key) = (store.clone(), message.ordering_key.clone());
        self.under_way.push(Box::pin(async move {
            store.take(message, handler).await;
            key
        }));
    }

    /// Waits until one is done, and begins the next of its key; false when none is under way.
    async fn step(&mut self, store: &Arc<Store>) -> bool {
        let Some(key) = self.under_way.next().await else { return false };
        self.held -= 1;
        if key.is_empty() {
            return true;
        }
        let next = self.behind.get_mut(&key).and_then(VecDeque::pop_front);
        match next.filter(|_| !store.is_closed()) {
            Some((message, handler)) => self.begin(store, message, handler),
            // At the end the others of the key are given back, too.
            None => drop(self.behind.remove(&key)),
        }
        true
    }
}
