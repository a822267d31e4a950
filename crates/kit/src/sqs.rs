//! How a client of Amazon SQS reaches the service, as whom, and what a refusal means.

use std::error::Error as StdError;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Credentials;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use http::Uri;

/// Where and as whom.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The region.
    pub region: String,
    /// Another address than Amazon's own, or empty.
    pub endpoint: String,
    /// A role that the process assumes, or empty; it goes before the keys.
    pub role: String,
    /// The keys; without them the process's own credentials are looked for.
    pub keys: Option<Credentials>,
}

impl Access {
    /// What is wrong with the address, and what to do.
    #[must_use]
    pub fn flaw(&self) -> Option<(&'static str, &'static str)> {
        let sound = |uri: Uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"));
        if self.region.is_empty() {
            return Some(("`region` is missing", "name the region of the queue"));
        }
        if !self.endpoint.is_empty() && !self.endpoint.parse().is_ok_and(sound) {
            let help = "write it as https://HOST:PORT, or leave it out for Amazon's own";
            return Some(("`endpoint` is no address", help));
        }
        None
    }

    /// A client that waits `patience` for one answer, and tries so many times by itself.
    pub async fn client(self, patience: Duration, tries: u32) -> Client {
        let region = Region::new(self.region);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(patience)
            .build();
        let mut settings = aws_config::defaults(BehaviorVersion::latest())
            .region(region.clone())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(tries));
        if !self.role.is_empty() {
            let role = AssumeRoleProvider::builder(self.role).region(region).session_name("tiphys");
            settings = settings.credentials_provider(role.build().await);
        } else if let Some(keys) = self.keys {
            settings = settings.credentials_provider(keys);
        }
        let settings = settings.load().await;
        let mut client = aws_sdk_sqs::config::Builder::from(&settings);
        if !self.endpoint.is_empty() {
            client = client.endpoint_url(self.endpoint);
        }
        Client::from_conf(client.build())
    }
}

/// Keys that a manifest names.
#[must_use]
pub fn keys(access: &str, secret: &str, token: Option<String>) -> Credentials {
    Credentials::new(access, secret, token, None, "manifest")
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is no such queue.
    Queue,
    /// The rights do not suffice.
    Rights,
    /// The credentials are wrong, or there are none.
    Credentials,
    /// The request itself is wrong.
    Request,
    /// Anything else: the service is away, or has too much to do.
    Service,
}

/// The cause of a failed request, and the reason in words that hold no secret.
#[must_use]
pub fn refusal<E>(failure: &SdkError<E>) -> (Cause, String)
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if let Some(code) = failure.code() {
        // Further lines of a refused signature repeat the request, token included.
        let said = failure.message().and_then(|message| message.lines().next()).unwrap_or_default();
        return (cause(code), format!("{code}: {said}"));
    }
    match failure.raw_response().map(|answer| answer.status().as_u16()) {
        // Who stands between us and the service, a proxy for one, answers in a form of its own.
        Some(status @ (401 | 403)) => (Cause::Credentials, format!("refused with status {status}")),
        Some(status) => (Cause::Service, format!("answered with status {status}")),
        None => {
            let reason = tiphys_core::chain(failure);
            let unknown = reason.contains("credentials");
            (if unknown { Cause::Credentials } else { Cause::Service }, reason)
        }
    }
}

/// By the code of AWS.
fn cause(code: &str) -> Cause {
    let names = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    if names(&["NonExistentQueue", "QueueDoesNotExist"]) {
        Cause::Queue
    } else if names(&["AccessDenied", "NotAuthorized", "UnauthorizedOperation"]) {
        Cause::Rights
    } else if names(&["Token", "Signature", "InvalidAccessKeyId", "UnrecognizedClient"]) {
        Cause::Credentials
    } else if names(&["Invalid", "MissingParameter", "Unsupported", "Validation", "TooLong"]) {
        Cause::Request
    } else {
        Cause::Service
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_aws_have_causes() {
        for (code, expected) in [
            ("AWS.SimpleQueueService.NonExistentQueue", Cause::Queue),
            ("QueueDoesNotExist", Cause::Queue),
            ("UnrecognizedClientException", Cause::Credentials),
            ("InvalidClientTokenId", Cause::Credentials),
            ("SignatureDoesNotMatch", Cause::Credentials),
            ("ExpiredToken", Cause::Credentials),
            ("AccessDeniedException", Cause::Rights),
            ("InvalidMessageContents", Cause::Request),
            ("InvalidParameterValue", Cause::Request),
            ("ServiceUnavailable", Cause::Service),
        ] {
            assert_eq!(cause(code), expected, "{code}");
        }
    }

    #[test]
    fn addresses() {
        let flaw = |region: &str, endpoint: &str| {
            let access = Access { region: region.into(), endpoint: endpoint.into(), ..Access::default() };
            access.flaw().map(|(what, _)| what)
        };
        assert_eq!(flaw("", ""), Some("`region` is missing"));
        assert_eq!(flaw("eu-west-1", "nonsense"), Some("`endpoint` is no address"));
        assert_eq!(flaw("eu-west-1", "ftp://a/"), Some("`endpoint` is no address"));
        assert_eq!(flaw("eu-west-1", "http://127.0.0.1:9324"), None);
        assert_eq!(flaw("eu-west-1", ""), None);
    }
}
