//! `sqs`: the messages of an Amazon SQS queue.
//!
//! The native id is the MessageId, so a redelivery is the same event. A message is deleted after its event is
//! stored; until then it stays hidden from others, for as long as that takes. Messages of one group of a FIFO
//! queue become events one after another.

mod message;
mod queue;
mod store;
mod work;

use std::sync::Arc;

use tiphys_kit::CancellationToken;
use tiphys_manifest::event_source::Sqs as Config;

use self::queue::Queue;
use self::store::Store;
use self::work::Work;
use super::{Scope, SourceKind};
use crate::error::Error;

/// The kind.
pub(crate) struct Sqs;

impl SourceKind for Sqs {
    const KEY: &'static str = "sqs";
    const TYPE: &'static str = "sqs";
    type Config = Config;

    async fn run(config: Config, scope: Scope) -> Result<(), Error> {
        check(&config)?;
        let emitter = scope.emitter(config.filter.as_ref())?;
        let queue = tokio::select! {
            () = scope.stop.cancelled() => return Ok(()),
            opened = Queue::open(&config, &scope) => opened?,
        };
        let stop = scope.stop.clone();
        let closing = CancellationToken::new();
        let store = Store::new(config, scope, emitter, closing.clone());
        Work::new(Arc::new(queue), Arc::new(store), closing).run(&stop).await
    }
}

/// What no queue could ever be opened with.
fn check(config: &Config) -> Result<(), Error> {
    if config.queue.is_empty() {
        return Err(Error::config("`queue` is missing", "name the queue"));
    }
    if let Some((what, help)) = queue::access(config).flaw() {
        return Err(Error::config(what, help));
    }
    if !(0..=20).contains(&config.wait_time_seconds) {
        return Err(Error::config(
            format!("`waitTimeSeconds` is {}; a question to SQS may wait for 20 s", config.wait_time_seconds),
            "write a number from 1 to 20, or leave it out",
        ));
    }
    if config.access_key.is_some() != config.secret_key.is_some() && config.role_arn.is_empty() {
        return Err(Error::config(
            "only one of `accessKey` and `secretKey` is given",
            "name both, or none to use the process's own credentials",
        ));
    }
    Ok(())
}
