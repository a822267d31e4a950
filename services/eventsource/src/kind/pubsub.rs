//! `pubSub`: the messages of a subscription of Google Pub/Sub.
//!
//! The native id is the subscription and the message's id, so a redelivery is the same event. A message is acked
//! after its event is stored; until then the client prolongs its lease. Messages with one ordering key become
//! events one after another. The client tries again in silence when its stream breaks, so the subscription is
//! looked at now and then: what is wrong with it is said, and one that was lost is made again.

mod ghost;
mod message;
mod names;
mod refusal;
mod site;
mod store;
mod work;

use std::sync::Arc;

use tiphys_manifest::event_source::PubSub as Config;

use self::names::Names;
use self::site::Site;
use self::store::Store;
use self::work::Work;
use super::{Scope, SourceKind};
use crate::error::Error;

/// The kind.
pub(crate) struct PubSub;

impl SourceKind for PubSub {
    const KEY: &'static str = "pubSub";
    const TYPE: &'static str = "pubsub";
    type Config = Config;

    async fn run(config: Config, scope: Scope) -> Result<(), Error> {
        let emitter = scope.emitter(config.filter.as_ref())?;
        let open = async {
            let access = site::access(&config, &scope)?;
            let names = Names::of(&config, &scope.origin.event, access.emulated).await?;
            let site = Site::open(access, names).await?;
            site.ensure().await?;
            Ok::<_, Error>(site)
        };
        let site = tokio::select! {
            () = scope.stop.cancelled() => return Ok(()),
            opened = open => opened?,
        };
        let stream = site.stream().await?;
        scope.up();
        let (stop, finish) = (scope.stop.clone(), config.delete_subscription_on_finish);
        let store = Store::new(config, scope, emitter, site.subscription().to_owned());
        let outcome = Work::new(Arc::new(store), stream).run(&site, &stop).await;
        if finish && stop.is_cancelled() {
            site.delete().await;
        }
        outcome
    }
}
