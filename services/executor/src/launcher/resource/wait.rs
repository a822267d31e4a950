//! Following one object until it is as it should be: by a watch, or by looking again where an account may not watch.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tiphys_kit::Backoff;
use tiphys_kit::kubernetes::{Event, Failure};

use super::act::Act;
use super::condition::{Condition, Verdict, judge};
use super::target::Target;

/// How often is looked where nothing may be watched; as Argo does.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Act<'_> {
    /// Waits until a condition holds; the object as it is then.
    pub(super) async fn wait_for_condition(
        &self,
        target: &Target,
        object: Value,
    ) -> Result<Result<Value, String>, Failure> {
        let parse = |text: &str| Condition::parse(text).map_err(Failure::Refused);
        let success = parse(&self.spec.success_condition)?;
        let failure = parse(&self.spec.failure_condition)?;
        if success.is_empty() && failure.is_empty() {
            return Ok(Ok(object));
        }
        let mut look = |live: Option<&Value>| {
            let Some(live) = live else {
                return Some(Err(
                    "the resource has been deleted while its status was still being checked".into()
                ));
            };
            match judge(&live.to_string(), &success, &failure) {
                Verdict::Succeeded => Some(Ok(live.clone())),
                Verdict::Failed(why) => Some(Err(why)),
                Verdict::Open => None,
            }
        };
        self.follow(target, Some(object), &mut look).await
    }

    /// Waits until the object of this uid is gone. Where it may not be read, nothing is waited for, as kubectl does.
    pub(super) async fn wait_gone(&self, target: &Target, uid: &str) -> Result<(), Failure> {
        let mut look = |live: Option<&Value>| {
            let same = live.is_some_and(|live| live["metadata"]["uid"] == uid);
            (!same).then_some(())
        };
        match self.follow(target, None, &mut look).await {
            Err(Failure::Forbidden(why)) => {
                self.log.say(format!("not waited until it is gone: {why}"));
                Ok(())
            }
            other => other,
        }
    }

    /// Shows each state of the object to `look` until it decides. An API server that is away is waited for.
    async fn follow<T>(
        &self,
        target: &Target,
        mut first: Option<Value>,
        look: &mut (dyn FnMut(Option<&Value>) -> Option<T> + Send),
    ) -> Result<T, Failure> {
        let mut backoff = Backoff::new(Duration::from_millis(100), LOOK_AGAIN);
        loop {
            match self.follow_once(target, first.take(), look, &mut backoff).await {
                Ok(Some(decided)) => return Ok(decided),
                // Seen from a version that is not kept any more, or by a watch that ended.
                Ok(None) | Err(Failure::Expired(_)) => {}
                Err(Failure::Unavailable(why)) => {
                    tracing::debug!(pod = self.pod.name, why, "an object cannot be followed for the moment");
                }
                Err(Failure::Unknown(_)) => self.cluster.distrust(&self.account),
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    async fn follow_once<T>(
        &self,
        target: &Target,
        first: Option<Value>,
        look: &mut (dyn FnMut(Option<&Value>) -> Option<T> + Send),
        backoff: &mut Backoff,
    ) -> Result<Option<T>, Failure> {
        let objects = self.objects(target).await?;
        let live = match first {
            Some(object) => Some(object),
            None => objects.get(&target.name).await?,
        };
        if let Some(decided) = look(live.as_ref()) {
            return Ok(Some(decided));
        }
        let version = live.as_ref().and_then(|live| live["metadata"]["resourceVersion"].as_str());
        let mut news = match objects.watch(&target.name, version.unwrap_or("0")).await {
            Ok(news) => news,
            Err(Failure::Forbidden(_)) => {
                tokio::time::sleep(LOOK_AGAIN).await;
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        while let Some(event) = news.next().await {
            let decided = match event? {
                Event::There(object) => look(Some(&object)),
                Event::Gone(_) => look(None),
                Event::Quiet(_) => None,
            };
            if decided.is_some() {
                return Ok(decided);
            }
            backoff.reset();
        }
        Ok(None)
    }
}
