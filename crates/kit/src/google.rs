//! How a client of Google Pub/Sub reaches the service, and as whom.

use google_cloud_auth::credentials::{
    Credentials, anonymous, external_account, impersonated, service_account, user_account,
};
use serde_json::Value;

/// Names an emulator as HOST:PORT, in the environment of every client of Google's.
pub const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";
/// Names another metadata server than Google's machines have.
const METADATA: &str = "GCE_METADATA_HOST";

/// Where and as whom.
#[derive(Debug, Clone)]
pub struct Access {
    /// Another address than the service's own.
    pub endpoint: Option<String>,
    /// Whom the client shows; without them the process's own credentials are looked for.
    pub credentials: Option<Credentials>,
    /// Whether nobody there knows of permissions.
    pub emulated: bool,
}

impl Access {
    /// An emulator goes before everything, and is shown no credentials: `emulator` is what [`EMULATOR`] says.
    /// `endpoint` is another address, or empty; over plain HTTP the process's own credentials are shown to nobody.
    /// `credential` is asked only where one is used.
    ///
    /// # Errors
    /// In words, without a secret in them, where the credential is none.
    pub fn new<E>(
        emulator: Option<&str>,
        endpoint: &str,
        credential: impl FnOnce() -> Result<Option<Credentials>, E>,
    ) -> Result<Self, E> {
        let anonymous = || Some(anonymous::Builder::new().build());
        if let Some(host) = emulator.filter(|host| !host.is_empty()) {
            let host = host.trim_start_matches("http://");
            return Ok(Self {
                endpoint: Some(format!("http://{host}")),
                credentials: anonymous(),
                emulated: true,
            });
        }
        let plain = endpoint.starts_with("http://");
        let credentials = credential()?;
        Ok(Self {
            endpoint: Some(endpoint.to_owned()).filter(|endpoint| !endpoint.is_empty()),
            credentials: if plain { credentials.or_else(anonymous) } else { credentials },
            emulated: plain,
        })
    }
}

/// What the environment says of an emulator.
#[must_use]
pub fn emulator() -> Option<String> {
    std::env::var(EMULATOR).ok()
}

/// The credentials that a JSON text describes, of any type that Google's tools write.
///
/// # Errors
/// In words, without a secret in them.
pub fn credentials(text: &str) -> Result<Credentials, String> {
    let json: Value = serde_json::from_str(text).map_err(|_| "the credential is no JSON text".to_owned())?;
    let kind = json.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let built = match kind.as_str() {
        "service_account" => service_account::Builder::new(json).build(),
        "authorized_user" => user_account::Builder::new(json).build(),
        "external_account" => external_account::Builder::new(json).build(),
        "impersonated_service_account" => impersonated::Builder::new(json).build(),
        _ => return Err("the credential has no `type` that is known, such as `service_account`".into()),
    };
    // The reason may repeat what was given.
    built.map_err(|_| format!("the credential is not what one of type `{kind}` should be"))
}

/// The project that the environment names, as Google's own tools take it.
#[must_use]
pub fn named_project() -> Option<String> {
    std::env::var("GOOGLE_CLOUD_PROJECT").ok().filter(|project| !project.is_empty())
}

/// The project that the environment names; else that of the machine that this runs on, if it is one of Google's.
///
/// # Errors
/// In words.
pub async fn project() -> Result<String, String> {
    if let Some(named) = named_project() {
        return Ok(named);
    }
    let host = std::env::var(METADATA).unwrap_or_else(|_| "metadata.google.internal".into());
    let url = format!("http://{host}/computeMetadata/v1/project/project-id");
    let client = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(5)).build();
    let request = client.map_err(|error| error.to_string())?.get(url).header("Metadata-Flavor", "Google");
    let answer = async { request.send().await?.error_for_status()?.text().await };
    let project = answer.await.map_err(|error| tiphys_core::chain(&error))?;
    match project.trim() {
        "" => Err("the metadata server names none".into()),
        project => Ok(project.to_owned()),
    }
}

/// The innermost reason of a failure of Google's clients. What lies around it repeats it, with addresses.
#[must_use]
pub fn reason(failure: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = failure;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(emulator: Option<&str>, endpoint: &str, given: bool) -> (Option<String>, bool, bool) {
        let credential = || Ok::<_, ()>(given.then(|| anonymous::Builder::new().build()));
        let access = Access::new(emulator, endpoint, credential).unwrap();
        (access.endpoint, access.credentials.is_some(), access.emulated)
    }

    #[test]
    fn an_emulator_is_shown_nothing_and_the_service_what_there_is() {
        let at = |text: &str| Some(text.to_owned());
        assert_eq!(
            access(Some("127.0.0.1:8085"), "https://x", false),
            (at("http://127.0.0.1:8085"), true, true)
        );
        assert_eq!(access(Some(""), "", false), (None, false, false));
        assert_eq!(access(None, "https://x", false), (at("https://x"), false, false));
        assert_eq!(access(None, "http://x", false), (at("http://x"), true, true));
        let unread = Access::new(Some("x:1"), "", || Err::<Option<Credentials>, _>("never asked for"));
        assert!(unread.is_ok());
    }

    #[test]
    fn a_wrong_credential_is_named_and_not_shown() {
        for text in
            ["s3cret", r#"{"type": "s3cret"}"#, r#"{"type": "service_account", "private_key": "s3cret"}"#]
        {
            let said = credentials(text).unwrap_err();
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[tokio::test]
    async fn known_types_are_taken() {
        let user =
            r#"{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}"#;
        assert!(credentials(user).is_ok());
    }
}
