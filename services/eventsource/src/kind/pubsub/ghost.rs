//! Google's emulator never notices that a consumer is gone whose connection broke: it goes on handing it messages,
//! each of which comes back only when its time is over, and again it is that consumer's turn. What ends all streams
//! of a subscription and keeps its messages is to make it, for a moment, one that is not pulled. The service itself
//! needs nothing of this.

use std::time::Duration;

use google_cloud_gax::error::Error;
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::client::SubscriptionAdmin;
use google_cloud_pubsub::model::PushConfig;

/// The emulator looks at a subscription twenty times a second.
const MOMENT: Duration = Duration::from_millis(150);
/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9/";

/// Ends all streams of the subscription. Those of consumers that live break, and are opened again. One that is
/// pushed somewhere is left as it is.
///
/// # Errors
/// Fails where the emulator refuses.
pub(super) async fn lay(client: &SubscriptionAdmin, subscription: &str) -> Result<(), Error> {
    let found = client.get_subscription().set_subscription(subscription).send().await?;
    let pushed = found.push_config.map(|push| push.push_endpoint).unwrap_or_default();
    if !pushed.is_empty() && pushed != NOWHERE {
        return Ok(());
    }
    let set = |push: PushConfig| {
        client.modify_push_config().set_subscription(subscription).set_push_config(push).send()
    };
    set(PushConfig::new().set_push_endpoint(NOWHERE)).await?;
    tokio::time::sleep(MOMENT).await;
    set(PushConfig::new()).await
}

/// Whether a stream ended since somebody else laid ghosts.
pub(super) fn was_laid(failure: &Error) -> bool {
    failure.status().is_some_and(|status| status.code == Code::FailedPrecondition)
}

/// Waits until whoever lays them is done.
pub(super) async fn wait() {
    tokio::time::sleep(MOMENT * 2).await;
}
