//! What an answer of SQS means to whoever has to mend it.

use std::error::Error as StdError;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::error::Error;

/// The error of a request that failed.
pub(super) fn refusal<E>(what: &str, queue: &str, failure: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let Some(code) = failure.code() else {
        let reason = match failure.raw_response().map(|answer| answer.status().as_u16()) {
            // Who stands between us and the service, a proxy for one, answers in a form of its own.
            Some(status @ (401 | 403)) => format!("these credentials are refused with status {status}"),
            Some(status) => format!("it is answered with status {status}"),
            None => tiphys_core::chain(failure),
        };
        return Error::upstream(format!("queue `{queue}`: {what}: {reason}"), help(&reason));
    };
    // Further lines of a refused signature repeat the request, token included.
    let said = failure.message().and_then(|message| message.lines().next()).unwrap_or_default();
    Error::upstream(format!("queue `{queue}`: {what}: {code}: {said}"), help(code))
}

/// What to do about it, by the code of AWS, or the client's own words.
fn help(code: &str) -> &'static str {
    let names = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    if names(&["NonExistentQueue", "QueueDoesNotExist"]) {
        "create the queue, or correct `queue`, `queueAccountId`, `region` or `endpoint`; it is looked for again"
    } else if names(&["AccessDenied", "NotAuthorized", "UnauthorizedOperation"]) {
        "allow sqs:GetQueueUrl, sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility on the queue"
    } else if names(&[
        "Token",
        "Signature",
        "InvalidAccessKeyId",
        "UnrecognizedClient",
        "credentials",
        "AssumeRole",
    ]) {
        "correct the Secrets of `accessKey`, `secretKey` and `sessionToken`, or the process's own credentials; \
         they are read again at each attempt"
    } else {
        "see whether the service can be reached at `region` or `endpoint`; it is tried again"
    }
}

#[cfg(test)]
mod tests {
    use super::help;

    #[test]
    fn codes_of_aws_lead_to_what_helps() {
        for (code, part) in [
            ("AWS.SimpleQueueService.NonExistentQueue", "create the queue"),
            ("QueueDoesNotExist", "create the queue"),
            ("UnrecognizedClientException", "`accessKey`"),
            ("InvalidClientTokenId", "`accessKey`"),
            ("SignatureDoesNotMatch", "`accessKey`"),
            ("ExpiredToken", "`accessKey`"),
            ("AccessDeniedException", "sqs:ReceiveMessage"),
            ("these credentials are refused with status 403", "`accessKey`"),
            ("dispatch failure: io error", "can be reached"),
        ] {
            assert!(help(code).contains(part), "{code}");
        }
    }
}
