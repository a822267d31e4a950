//! A client and the queue that it sends to.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::MessageAttributeValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use tiphys_kit::sqs::{self, Access, Cause};

use crate::error::Error;
use crate::kind::Context;

/// An answer may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The trigger's own strategy says when it is tried again.
const TRIES: u32 = 1;

/// Type and value of attributes, by name.
pub(super) type Attributes = BTreeMap<String, (&'static str, String)>;

/// What is sent.
pub(super) struct Letter {
    pub(super) body: String,
    pub(super) firing: String,
    pub(super) group: Option<String>,
    pub(super) is_fifo: bool,
    pub(super) delay: Option<i32>,
    pub(super) attributes: Attributes,
}

/// Where it is sent, and as whom.
pub(super) struct Settings {
    access: Access,
    keys: Option<Keys>,
    queue: String,
    account: String,
}

struct Keys {
    access: SecretString,
    secret: SecretString,
    token: Option<SecretString>,
}

impl Settings {
    /// Reads them, Secrets too.
    pub(super) fn of(context: &Context<'_>, template: &Json) -> Result<Self, Error> {
        let text = |key: &str| template.get(key).map(super::text).unwrap_or_default();
        let queue = text("queue");
        if queue.is_empty() {
            return Err(Error::Template("`queue` of the sqs trigger is missing".into()));
        }
        let access =
            Access { region: text("region"), endpoint: text("endpoint"), role: text("roleARN"), keys: None };
        if let Some((what, help)) = access.flaw() {
            return Err(Error::Template(format!("{what} in the sqs trigger: {help}")));
        }
        let secret = |key: &str| {
            let selector = template.get(key).filter(|selector| !selector.is_null());
            selector.map(|selector| context.secret(selector)).transpose()
        };
        let keys =
            if access.role.is_empty() { (secret("accessKey")?, secret("secretKey")?) } else { (None, None) };
        let keys = match keys {
            (None, None) => None,
            (Some(access), Some(key)) => Some(Keys { access, secret: key, token: secret("sessionToken")? }),
            _ => {
                return Err(Error::Template(
                    "only one of `accessKey` and `secretKey` stands in the sqs trigger: name both or none"
                        .into(),
                ));
            }
        };
        Ok(Self { access, keys, queue, account: text("queueAccountId") })
    }

    /// What tells these from others. It holds secrets.
    pub(super) fn key(&self) -> String {
        let keys = self.keys.as_ref();
        let token = keys.and_then(|keys| keys.token.as_ref()).map_or("", |token| token.expose_secret());
        let (id, secret) =
            keys.map_or(("", ""), |keys| (keys.access.expose_secret(), keys.secret.expose_secret()));
        let Access { region, endpoint, role, .. } = &self.access;
        [region, endpoint, role, &self.account, &self.queue, id, secret, token].join("\n")
    }

    /// Whether the queue keeps an order and knows duplicates.
    pub(super) fn is_fifo(&self) -> bool {
        self.queue.ends_with(".fifo")
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        format!("SQS queue {} in {}", self.queue, self.access.region)
    }
}

/// An open queue.
pub(super) struct Link {
    client: Client,
    name: String,
    url: String,
}

impl Link {
    /// Finds the queue.
    pub(super) async fn open(settings: &Settings) -> Result<Self, Error> {
        let mut access = settings.access.clone();
        access.keys = settings.keys.as_ref().map(|keys| {
            let token = keys.token.as_ref().map(|token| token.expose_secret().to_owned());
            sqs::keys(keys.access.expose_secret(), keys.secret.expose_secret(), token)
        });
        let client = access.client(PATIENCE, TRIES).await;
        let mut question = client.get_queue_url().queue_name(&settings.queue);
        if !settings.account.is_empty() {
            question = question.queue_owner_aws_account_id(&settings.account);
        }
        let answer = question.send().await.map_err(|failure| refusal(&settings.queue, &failure))?;
        let url = answer.queue_url.unwrap_or_default();
        Ok(Self { client, name: settings.queue.clone(), url })
    }

    /// Sends, and gives what the queue calls the message.
    pub(super) async fn send(&self, letter: Letter) -> Result<String, Error> {
        let mut request = self.client.send_message().queue_url(&self.url).message_body(letter.body);
        for (name, (kind, value)) in letter.attributes {
            request = request.message_attributes(name, attribute(kind, value)?);
        }
        request = request.message_attributes("Tiphys-Firing-Id", attribute("String", letter.firing.clone())?);
        if letter.is_fifo {
            request = request.message_deduplication_id(letter.firing);
        }
        let request = request.set_message_group_id(letter.group).set_delay_seconds(letter.delay);
        let answer = request.send().await.map_err(|failure| refusal(&self.name, &failure))?;
        Ok(format!("message {}", answer.message_id.unwrap_or_default()))
    }
}

fn attribute(kind: &str, value: String) -> Result<MessageAttributeValue, Error> {
    let built = MessageAttributeValue::builder().data_type(kind).string_value(value).build();
    built.map_err(|wrong| Error::Template(wrong.to_string()))
}

fn refusal<E>(queue: &str, failure: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let (cause, reason) = sqs::refusal(failure);
    let said = format!("SQS queue `{queue}`: {reason}");
    match cause {
        Cause::Queue => Error::Missing(said),
        Cause::Request => Error::Refused(said),
        Cause::Rights => Error::Unavailable(format!("{said}; it takes sqs:GetQueueUrl and sqs:SendMessage")),
        Cause::Credentials => Error::Unavailable(format!("{said}; the credentials are wrong or missing")),
        Cause::Service => Error::Unavailable(said),
    }
}
