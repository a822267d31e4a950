//! The queue: what is asked of it, and what its answers mean.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName,
};
use secrecy::ExposeSecret as _;
use tiphys_kit::sqs::{self, Access, Cause};
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::event_source::Sqs as Config;
use tracing::{debug, info};

use crate::error::Error;
use crate::kind::Scope;

/// As many messages as SQS gives, or takes, at once.
pub(super) const BATCH: usize = 10;
/// So long a message stays hidden from others unless we ask for more. Short, so that what we held when we were
/// killed comes soon again.
const HIDDEN: Duration = Duration::from_secs(30);
/// We ask for more time so often.
pub(super) const BEAT: Duration = Duration::from_secs(10);
/// Argo's default for `waitTimeSeconds`.
const WAIT: i32 = 3;
/// An answer may take so long, beyond the time that it was asked to wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// A request is tried so often before the source counts as down.
const TRIES: u32 = 3;
/// So often it is tried to delete what could not be deleted for reasons on the other side.
const DELETES: u32 = 6;

/// What SQS calls a message by, once received.
pub(super) type Receipt = Arc<str>;

/// An open queue.
#[derive(Debug)]
pub(super) struct Queue {
    client: Client,
    name: String,
    url: String,
    wait: i32,
}

impl Queue {
    /// Finds the queue.
    pub(super) async fn open(config: &Config, scope: &Scope) -> Result<Self, Error> {
        let wait = i32::try_from(config.wait_time_seconds).ok().filter(|wait| *wait > 0).unwrap_or(WAIT);
        let client = client(config, scope, wait).await?;
        let mut question = client.get_queue_url().queue_name(&config.queue);
        if !config.queue_account_id.is_empty() {
            question = question.queue_owner_aws_account_id(&config.queue_account_id);
        }
        let answer = question
            .send()
            .await
            .map_err(|failure| refusal("it cannot be found", &config.queue, &failure))?;
        let url = answer.queue_url.unwrap_or_default();
        Ok(Self { client, name: config.queue.clone(), url, wait })
    }

    /// Whether it keeps the order within groups.
    pub(super) fn keeps_order(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    /// Messages, as soon as there are some.
    pub(super) async fn receive(&self) -> Result<Vec<Message>, Error> {
        self.ask(self.wait).await
    }

    /// The messages that are there.
    pub(super) async fn receive_at_once(&self) -> Result<Vec<Message>, Error> {
        self.ask(0).await
    }

    async fn ask(&self, wait: i32) -> Result<Vec<Message>, Error> {
        let question = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(count(BATCH))
            .visibility_timeout(seconds(HIDDEN))
            .wait_time_seconds(wait)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_attribute_names("All");
        let answer = question.send().await;
        let answer = answer.map_err(|failure| refusal("it gives no messages", &self.name, &failure))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Deletes messages; tries again what failed on the other side, unless we are closing: what stays comes
    /// once more, and is known then.
    pub(super) async fn delete(
        &self,
        receipts: &[Receipt],
        closing: &CancellationToken,
    ) -> Result<(), Error> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
        let mut left = receipts.to_vec();
        loop {
            let failure = match self.try_delete(&left).await {
                Ok(kept) if kept.is_empty() => return Ok(()),
                Ok(kept) => {
                    left = kept;
                    let what = format!("queue `{}`: {} messages cannot be deleted", self.name, left.len());
                    Error::upstream(what, "see the health of the queue's service; it is tried again")
                }
                Err(failure) => failure,
            };
            if backoff.attempts() + 1 >= DELETES {
                return Err(failure);
            }
            tokio::select! {
                () = closing.cancelled() => return Err(failure),
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    /// The receipts that are worth another attempt.
    async fn try_delete(&self, receipts: &[Receipt]) -> Result<Vec<Receipt>, Error> {
        let entries = entries(receipts, |id, receipt| {
            DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(receipt).build()
        });
        let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries?));
        let answer = request.send().await;
        let answer = answer.map_err(|failure| refusal("messages cannot be deleted", &self.name, &failure))?;
        let mut left = Vec::new();
        for failed in answer.failed() {
            if failed.sender_fault() {
                // Ours no longer: the time is over, or somebody else received it meanwhile.
                info!(
                    queue = self.name,
                    code = failed.code(),
                    "a message could not be deleted and may come again"
                );
            } else if let Some(receipt) = failed.id().parse::<usize>().ok().and_then(|at| receipts.get(at)) {
                left.push(receipt.clone());
            }
        }
        Ok(left)
    }

    /// Keeps messages hidden for another while.
    pub(super) async fn hold(&self, receipts: &[Receipt]) {
        self.hide(receipts, HIDDEN).await;
    }

    /// Gives messages back to whoever asks next.
    pub(super) async fn release(&self, receipts: &[Receipt]) {
        self.hide(receipts, Duration::ZERO).await;
    }

    /// A message for which this fails may come a second time, which does no harm.
    async fn hide(&self, receipts: &[Receipt], time: Duration) {
        let entries = entries(receipts, |id, receipt| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(id)
                .receipt_handle(receipt)
                .visibility_timeout(seconds(time))
                .build()
        });
        let Ok(entries) = entries else { return };
        let request = self.client.change_message_visibility_batch();
        if let Err(failure) = request.queue_url(&self.url).set_entries(Some(entries)).send().await {
            let failure = refusal("messages cannot be held", &self.name, &failure);
            debug!("{}", tiphys_core::chain(&failure));
        }
    }
}

/// Entries of a batch, whose ids are their places in it.
fn entries<T>(
    receipts: &[Receipt],
    entry: impl Fn(String, &str) -> Result<T, BuildError>,
) -> Result<Vec<T>, Error> {
    let entries = receipts.iter().enumerate().map(|(at, receipt)| entry(at.to_string(), receipt));
    entries.collect::<Result<_, _>>().map_err(|wrong| Error::upstream(wrong.to_string(), "report this"))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

/// A client with the credentials that the manifest names; without any, with the process's own.
async fn client(config: &Config, scope: &Scope, wait: i32) -> Result<Client, Error> {
    let mut access = access(config);
    if let (true, Some(id), Some(secret)) =
        (config.role_arn.is_empty(), &config.access_key, &config.secret_key)
    {
        let token = config.session_token.as_ref().map(|token| scope.secret(token)).transpose()?;
        let token = token.map(|token| token.expose_secret().to_owned());
        let (id, secret) = (scope.secret(id)?, scope.secret(secret)?);
        access.keys = Some(sqs::keys(id.expose_secret(), secret.expose_secret(), token));
    }
    Ok(access.client(PATIENCE + Duration::from_secs(wait.unsigned_abs().into()), TRIES).await)
}

/// Where the queue is, without the keys.
pub(super) fn access(config: &Config) -> Access {
    Access {
        region: config.region.clone(),
        endpoint: config.endpoint.clone(),
        role: config.role_arn.clone(),
        keys: None,
    }
}

/// The error of a request that failed.
fn refusal<E>(what: &str, queue: &str, failure: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let (cause, reason) = sqs::refusal(failure);
    let help = match cause {
        Cause::Queue => {
            "create the queue, or correct `queue`, `queueAccountId`, `region` or `endpoint`; it is looked for again"
        }
        Cause::Rights => {
            "allow sqs:GetQueueUrl, sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility on the queue"
        }
        Cause::Credentials => {
            "correct the Secrets of `accessKey`, `secretKey` and `sessionToken`, or the process's own credentials; \
             they are read again at each attempt"
        }
        Cause::Request | Cause::Service => {
            "see whether the service can be reached at `region` or `endpoint`; it is tried again"
        }
    };
    Error::upstream(format!("queue `{queue}`: {what}: {reason}"), help)
}
