//! Opens a bucket with what its Secrets hold.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, resolve_bucket_region};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{Certificate, ClientOptions, RetryConfig};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Remote;
use crate::artifact::address::{self, Guarded};
use crate::artifact::location::{Azure, Gcs, Place, S3, SecretKey};
use crate::artifact::secrets::Secrets;
use crate::launcher::LaunchError;

/// A store is given up after this: a step's own `retryStrategy` says what then.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRIES: usize = 8;
const CONNECT: Duration = Duration::from_secs(10);
/// A connection on which nothing comes for so long is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// Amazon's own endpoint, which needs the region.
const AMAZON: &str = "s3.amazonaws.com";
const REGION: &str = "us-east-1";

/// A place with the values of the Secrets that it names.
pub(in crate::artifact) struct Opening<'p> {
    place: &'p Place,
    values: Vec<Option<SecretString>>,
}

impl<'p> Opening<'p> {
    /// Looks the Secrets up. Without any it is the executor's own identity that opens the store, if `own_identity`
    /// allows that.
    ///
    /// # Errors
    /// Names what is missing or not allowed.
    pub(in crate::artifact) fn new(
        place: &'p Place,
        secrets: Secrets<'_>,
        own_identity: bool,
    ) -> Result<Self, LaunchError> {
        let named: Vec<Option<&SecretKey>> = match place {
            Place::S3(s3) => vec![
                s3.access_key_secret.as_ref(),
                s3.secret_key_secret.as_ref(),
                s3.session_token_secret.as_ref(),
                s3.ca_secret.as_ref(),
            ],
            Place::Gcs(gcs) => vec![gcs.service_account_key_secret.as_ref()],
            Place::Azure(azure) => vec![azure.account_key_secret.as_ref()],
            Place::Http(_) | Place::Git(_) => Vec::new(),
        };
        let own = match place {
            Place::S3(s3) => s3.use_sdk_creds == Some(true),
            Place::Azure(azure) => azure.use_sdk_creds == Some(true),
            _ => false,
        };
        let mut values = named.into_iter().map(|one| secrets.optional(one)).collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = values.first_mut().filter(|_| own) {
            *first = None;
        }
        if values.first().is_none_or(Option::is_none) && !own_identity {
            return Err(LaunchError::NotAllowed(format!(
                "{} names no Secret with its keys, and the executor does not lend its own identity: name one \
                 (accessKeySecret and secretKeySecret, serviceAccountKeySecret, accountKeySecret), or start the \
                 executor with --artifact-identity",
                shown(place)
            )));
        }
        Ok(Self { place, values })
    }

    /// The same for the same store and the same keys, and for no others.
    pub(in crate::artifact) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let bare = self.place.clone().with_key("");
        hash.update(serde_json::to_vec(&bare).unwrap_or_default());
        for value in &self.values {
            let value = value.as_ref().map_or("", |value| value.expose_secret());
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value);
        }
        hex::encode(hash.finalize())
    }

    fn value(&self, index: usize) -> Option<&str> {
        self.values.get(index).and_then(Option::as_ref).map(|value| value.expose_secret().trim())
    }

    fn is_own(&self) -> bool {
        self.value(0).is_none()
    }

    /// Opens it. Nothing is asked of the store but Amazon's region, where none is given.
    ///
    /// # Errors
    /// When the place or a key cannot be used.
    pub(in crate::artifact) async fn open(&self) -> Result<Remote, LaunchError> {
        match self.place {
            Place::S3(s3) => self.s3(s3).await,
            Place::Gcs(gcs) => self.gcs(gcs),
            Place::Azure(azure) => self.azure(azure),
            Place::Http(_) | Place::Git(_) => Err(self.wrong("it is no store of objects")),
        }
    }

    fn wrong(&self, why: impl std::fmt::Display) -> LaunchError {
        LaunchError::Missing(format!("{} cannot be opened: {why}", shown(self.place)))
    }

    fn remote<S>(
        &self,
        built: object_store::Result<S>,
        opened_by: Option<&SecretKey>,
    ) -> Result<Remote, LaunchError>
    where
        S: object_store::ObjectStore,
    {
        let built = built.map_err(|error| self.wrong(super::deepest(&error)))?;
        let opened_by = opened_by.filter(|_| !self.is_own());
        Ok(Remote {
            store: Arc::new(built),
            shown: shown(self.place),
            opened_by: opened_by
                .map_or("the executor's own identity".into(), |by| format!("Secret {}", by.name)),
        })
    }

    fn options(&self, insecure: bool) -> ClientOptions {
        let options = ClientOptions::new()
            .with_allow_http(insecure)
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT)
            .with_read_timeout(SILENCE);
        // The machine's own identity is asked for where others may not ask.
        if self.is_own() { options } else { options.with_dns_resolver(Arc::new(Guarded)) }
    }

    async fn s3(&self, s3: &S3) -> Result<Remote, LaunchError> {
        let insecure = s3.insecure == Some(true);
        let host =
            s3.endpoint.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let url = format!("{}://{host}", if insecure { "http" } else { "https" });
        let parsed = reqwest::Url::parse(&url).map_err(|error| self.wrong(format!("endpoint: {error}")))?;
        address::check(&parsed).map_err(|why| self.wrong(why))?;
        let mut options = self.options(insecure);
        if let Some(pem) = self.value(3) {
            let all = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| self.wrong(error))?;
            options = all.into_iter().fold(options, ClientOptions::with_root_certificate);
        }
        let is_amazon = host == AMAZON;
        let region = match &s3.region {
            Some(region) if !region.is_empty() => region.clone(),
            _ if is_amazon => {
                let asked = resolve_bucket_region(&s3.bucket, &options).await;
                asked.map_err(|error| self.wrong(super::deepest(&error)))?
            }
            _ => regional(host).unwrap_or(REGION).to_owned(),
        };
        let mut builder = if self.is_own() { AmazonS3Builder::from_env() } else { AmazonS3Builder::new() };
        builder = builder
            .with_bucket_name(&s3.bucket)
            .with_region(region)
            .with_allow_http(insecure)
            .with_client_options(options)
            .with_retry(retries());
        let is_virtual = match s3.addressing_style.as_deref() {
            None | Some("" | "path") => false,
            Some("virtual-hosted") => true,
            Some(other) => return Err(self.wrong(format!("addressingStyle `{other}` is not known"))),
        };
        builder = match (is_amazon, is_virtual) {
            (true, is_virtual) => builder.with_virtual_hosted_style_request(is_virtual),
            (false, true) => builder
                .with_endpoint(url.replacen("://", &format!("://{}.", s3.bucket), 1))
                .with_virtual_hosted_style_request(true),
            (false, false) => builder.with_endpoint(url).with_virtual_hosted_style_request(false),
        };
        if let Some(access) = self.value(0) {
            let secret = self.value(1).ok_or_else(|| self.wrong("secretKeySecret is missing"))?;
            builder = builder.with_access_key_id(access).with_secret_access_key(secret);
        }
        if let Some(token) = self.value(2).filter(|_| !self.is_own()) {
            builder = builder.with_token(token);
        }
        self.remote(builder.build(), s3.access_key_secret.as_ref())
    }

    fn gcs(&self, gcs: &Gcs) -> Result<Remote, LaunchError> {
        let mut builder = if self.is_own() {
            GoogleCloudStorageBuilder::from_env()
        } else {
            GoogleCloudStorageBuilder::new()
        };
        let mut insecure = false;
        if let Some(key) = self.value(0) {
            let account: serde_json::Value = serde_json::from_str(key).map_err(|error| {
                self.wrong(format!("the Secret holds no JSON key of a service account: {error}"))
            })?;
            // A server for tests is named in the key, and has no TLS.
            if let Some(url) = account["gcs_base_url"].as_str() {
                let parsed = reqwest::Url::parse(url).map_err(|error| self.wrong(error))?;
                address::check(&parsed).map_err(|why| self.wrong(why))?;
                insecure = parsed.scheme() == "http";
            }
            builder = builder.with_service_account_key(key);
        }
        let builder = builder
            .with_bucket_name(&gcs.bucket)
            .with_client_options(self.options(insecure))
            .with_retry(retries());
        self.remote(builder.build(), gcs.service_account_key_secret.as_ref())
    }

    fn azure(&self, azure: &Azure) -> Result<Remote, LaunchError> {
        let endpoint = azure.endpoint.trim_end_matches('/');
        let parsed =
            reqwest::Url::parse(endpoint).map_err(|error| self.wrong(format!("endpoint: {error}")))?;
        address::check(&parsed).map_err(|why| self.wrong(why))?;
        let insecure = parsed.scheme() == "http";
        // Servers for tests have the account in the path, Azure has it in the name.
        let in_path = parsed.path().trim_matches('/');
        let in_name = parsed.host_str().unwrap_or_default().split('.').next().unwrap_or_default();
        let account = if in_path.is_empty() { in_name } else { in_path };
        let mut builder =
            if self.is_own() { MicrosoftAzureBuilder::from_env() } else { MicrosoftAzureBuilder::new() };
        builder = builder
            .with_account(account)
            .with_container_name(&azure.container)
            .with_endpoint(endpoint.to_owned())
            .with_allow_http(insecure)
            .with_client_options(self.options(insecure))
            .with_retry(retries());
        if let Some(key) = self.value(0) {
            builder = builder.with_access_key(key);
        }
        self.remote(builder.build(), azure.account_key_secret.as_ref())
    }
}

fn retries() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: PATIENCE, ..RetryConfig::default() }
}

/// The region in the name of one of Amazon's endpoints.
fn regional(host: &str) -> Option<&str> {
    let region = host.strip_suffix(".amazonaws.com")?.strip_prefix("s3")?;
    Some(region.trim_start_matches(['.', '-'])).filter(|region| !region.is_empty())
}

/// A store as it is called in messages.
fn shown(place: &Place) -> String {
    match place {
        Place::S3(s3) => format!("bucket {} at {}", s3.bucket, s3.endpoint),
        Place::Gcs(gcs) => format!("bucket {} of Google Cloud Storage", gcs.bucket),
        Place::Azure(azure) => format!("container {} at {}", azure.container, azure.endpoint),
        Place::Http(_) | Place::Git(_) => "the artifact's place".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_endpoints_name_their_region() {
        assert_eq!(regional("s3.eu-central-1.amazonaws.com"), Some("eu-central-1"));
        assert_eq!(regional("s3-us-west-2.amazonaws.com"), Some("us-west-2"));
        assert_eq!(regional(AMAZON), None);
        assert_eq!(regional("minio:9000"), None);
    }
}
