//! What an answer of Pub/Sub means to whoever has to mend it.

use google_cloud_gax::error::rpc::Code;
use tiphys_kit::google::reason;

use crate::error::Error;

/// Whether the service says that there is no such thing.
pub(super) fn is_absent(failure: &google_cloud_gax::error::Error) -> bool {
    failure.status().is_some_and(|status| status.code == Code::NotFound)
}

/// Whether the service says that there is one already.
pub(super) fn is_taken(failure: &google_cloud_gax::error::Error) -> bool {
    failure.status().is_some_and(|status| status.code == Code::AlreadyExists)
}

/// The error of a request that failed.
pub(super) fn refusal(what: &str, failure: &google_cloud_gax::error::Error) -> Error {
    let Some(status) = failure.status() else {
        let help = if failure.is_authentication() { CREDENTIALS } else { REACH };
        let foreign = if failure.is_deserialization() { "the answer is none of Pub/Sub's: " } else { "" };
        return Error::upstream(format!("{what}: {foreign}{}", reason(failure)), help);
    };
    let help = match status.code {
        Code::NotFound => "create it, or name `topic` so that it is made; it is looked for again",
        Code::PermissionDenied => RIGHTS,
        Code::Unauthenticated => CREDENTIALS,
        Code::InvalidArgument => "correct `projectID`, `topic` and `subscriptionID`",
        _ => REACH,
    };
    Error::upstream(format!("{what}: {}: {}", status.code, status.message), help)
}

const REACH: &str = "see whether Pub/Sub can be reached from here; it is tried again";
const CREDENTIALS: &str = "correct the Secret of `credentialSecret`, or the process's own credentials; they are read again at each attempt";
/// What the account lacks.
pub(super) const RIGHTS: &str = "grant the account pubsub.subscriptions.consume on the subscription, with `topic` also \
     pubsub.subscriptions.get, and to make what is missing pubsub.subscriptions.create, \
     pubsub.topics.attachSubscription and pubsub.topics.create";
