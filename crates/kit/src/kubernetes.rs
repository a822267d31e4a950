//! Which Kubernetes cluster there is, and as whom it is used: as ourselves, or as a service account that the
//! operator allows.

mod account;
mod failure;
mod guard;
mod kind;
mod object;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::discovery::pinned_kind;
use kube::{Client, Config};

pub use account::{Account, Accounts};
pub use failure::{Deed, Failure};
pub use guard::{Deletion, Fit, PRECONDITION_CONTAINER, PRECONDITION_UID, Precondition};
pub use object::{Event, Events, MANAGER, Objects, PatchKind, Removal, Resource};

/// The shortest life that an API server gives a token.
const TOKEN_SECONDS: i64 = 600;
/// What stands for us in messages.
const OURSELVES: &str = "the user of this process";

/// Which cluster, and whose rights may be used there.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// A kubeconfig file. Without one: what `KUBECONFIG` names, `~/.kube/config`, or the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// Another context of the kubeconfig than its current one.
    pub context: Option<String>,
    /// The service accounts that workflows and sensors may act as.
    pub accounts: Accounts,
}

/// A cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    client: Client,
    config: Config,
    accounts: Accounts,
    held: Mutex<HashMap<Account, Arc<tokio::sync::Mutex<Option<Held>>>>>,
    kinds: Mutex<HashMap<GroupVersionKind, Resource>>,
}

/// A client that shows a token, and until when it is used.
struct Held {
    client: Client,
    until: Instant,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("server", &self.server()).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads where the cluster is and who we are. Asks the cluster nothing yet.
    ///
    /// # Errors
    /// Says which file or setting is wrong.
    pub async fn open(settings: Settings) -> Result<Self, Failure> {
        let config = config(&settings).await?;
        let client = Client::try_from(config.clone())
            .map_err(|error| Failure::Refused(format!("the cluster cannot be used: {}", told(&error))))?;
        Ok(Self(Arc::new(Inner {
            client,
            config,
            accounts: settings.accounts,
            held: Mutex::default(),
            kinds: Mutex::default(),
        })))
    }

    /// The client with our own rights.
    #[must_use]
    pub fn client(&self) -> Client {
        self.0.client.clone()
    }

    /// The same for who tries again by themselves: it passes on every refusal at once.
    ///
    /// # Errors
    /// Never where [`Self::client`] could be made.
    pub fn client_without_retries(&self) -> Result<Client, Failure> {
        let mut config = self.0.config.clone();
        config.default_retry = false;
        Client::try_from(config)
            .map_err(|error| Failure::Refused(format!("the cluster cannot be used: {}", told(&error))))
    }

    /// The namespace of the context, or of the pod we run in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.config.default_namespace
    }

    /// Address of the API server.
    #[must_use]
    pub fn server(&self) -> String {
        self.0.config.cluster_url.to_string()
    }

    /// The accounts that may be used.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// A client that shows a token of this service account, and nothing of ours. Ask again for each piece of work: the
    /// token lives ten minutes, and a new one is asked for well before its end.
    ///
    /// # Errors
    /// [`Failure::NotAllowed`] where the operator does not allow the account; what the API server says otherwise.
    pub async fn as_account(&self, account: &Account) -> Result<Client, Failure> {
        self.0.accounts.check(account)?;
        let slot = {
            let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.entry(account.clone()).or_default().clone()
        };
        // One asks, the others wait for what it gets.
        let mut slot = slot.lock().await;
        if let Some(held) = slot.as_ref().filter(|held| Instant::now() < held.until) {
            return Ok(held.client.clone());
        }
        *slot = None;
        let held = self.impersonate(account).await?;
        let client = held.client.clone();
        *slot = Some(held);
        Ok(client)
    }

    /// The token of this account is not believed any more: the next who asks gets another.
    pub fn distrust(&self, account: &Account) {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }

    async fn impersonate(&self, account: &Account) -> Result<Held, Failure> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client(), &account.namespace);
        let wanted = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..Default::default() }),
            ..TokenRequest::default()
        };
        let deed = Deed {
            who: OURSELVES.into(),
            verb: "create",
            group: String::new(),
            plural: "serviceaccounts/token".into(),
            namespace: Some(account.namespace.clone()),
            name: account.name.clone(),
        };
        let params = PostParams::default();
        let answer = failure::in_time(api.create_token_request(&account.name, &params, &wanted)).await;
        let granted = answer.map_err(|error| match deed.failed(error) {
            Failure::Missing(_) => Failure::Missing(format!(
                "ServiceAccount {account} does not exist: create it, with a Role that allows what is to be done"
            )),
            other => other,
        })?;
        let seconds = granted.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(TOKEN_SECONDS);
        let token = granted.status.and_then(|status| status.token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| Failure::Unavailable(format!("no token of {account} was given")))?;
        let mut config = self.0.config.clone();
        config.auth_info = AuthInfo::default();
        config.auth_info.token = Some(token.into());
        let client = Client::try_from(config)
            .map_err(|error| Failure::Refused(format!("the token of {account}: {}", told(&error))))?;
        // Two thirds of its life, so that what begins with it has time to end.
        let life = Duration::from_secs(seconds.clamp(0, 3600).unsigned_abs());
        let until = Instant::now() + life * 2 / 3;
        Ok(Held { client, until })
    }

    /// How the API server calls the objects of a kind. Asked once, with our own rights.
    ///
    /// # Errors
    /// [`Failure::Missing`] where the cluster has no such kind.
    pub async fn resource(&self, api_version: &str, kind: &str) -> Result<Resource, Failure> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let wanted = GroupVersionKind::gvk(group, version, kind);
        let known = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&wanted).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let absent = || {
            Failure::Missing(format!(
                "the cluster has no kind {kind} in {api_version}: correct apiVersion and kind, or install what brings it"
            ))
        };
        let found = failure::in_time(pinned_kind(&self.0.client, &wanted)).await;
        let (api, capabilities) = found.map_err(|error| match error {
            failure::Answer::Said(kube::Error::Discovery(_)) => absent(),
            failure::Answer::Said(kube::Error::Api(status)) if status.code == 404 => absent(),
            other => failure::plain(&format!("kinds of {api_version}"), other),
        })?;
        let resource = Resource::new(api, &capabilities);
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(wanted, resource.clone());
        Ok(resource)
    }

    /// The objects of a resource, with our own rights.
    #[must_use]
    pub fn objects(&self, resource: &Resource, namespace: &str) -> Objects {
        Objects::new(self.client(), resource.clone(), namespace, OURSELVES.into())
    }

    /// The objects of a resource, with the rights of an account.
    ///
    /// # Errors
    /// As [`Self::as_account`].
    pub async fn objects_as(
        &self,
        account: &Account,
        resource: &Resource,
        namespace: &str,
    ) -> Result<Objects, Failure> {
        let client = self.as_account(account).await?;
        Ok(Objects::new(client, resource.clone(), namespace, format!("ServiceAccount {account}")))
    }
}

async fn config(settings: &Settings) -> Result<Config, Failure> {
    let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
    let wrong = |what: &str, why: String| Failure::Refused(format!("{what}: {why}"));
    if let Some(path) = &settings.kubeconfig {
        let what = format!("kubeconfig {}", path.display());
        let read = Kubeconfig::read_from(path).map_err(|error| wrong(&what, told(&error)))?;
        let config = Config::from_custom_kubeconfig(read, &options).await;
        return config.map_err(|error| wrong(&what, told(&error)));
    }
    if settings.context.is_some() {
        let config = Config::from_kubeconfig(&options).await;
        return config.map_err(|error| wrong("kubeconfig", told(&error)));
    }
    Config::infer().await.map_err(|error| {
        let what = "no cluster is known: name a kubeconfig, or run in a pod with a service account";
        wrong(what, told(&error))
    })
}

fn told(error: &(dyn std::error::Error + 'static)) -> String {
    tiphys_core::chain(error)
}
