//! Service accounts, and which of them may be used.

use std::fmt;
use std::str::FromStr;

use super::Failure;

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Account {
    /// The account of this name in this namespace; `default` where the name is empty, as in a pod.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        let name = if name.is_empty() { "default" } else { name };
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The service accounts that workflows and sensors may act as. Nobody is, unless the operator names them: whoever may
/// write a workflow could otherwise act as any account of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts(Vec<(String, String)>);

impl Accounts {
    /// Whether an account may be used.
    ///
    /// # Errors
    /// [`Failure::NotAllowed`], with the setting that would allow it.
    pub fn check(&self, account: &Account) -> Result<(), Failure> {
        let fits = |(namespace, name): &(String, String)| {
            matches(namespace, &account.namespace) && matches(name, &account.name)
        };
        if self.0.iter().any(fits) {
            return Ok(());
        }
        Err(Failure::NotAllowed(format!(
            "ServiceAccount {account} may not be used here: start Tiphys with --service-accounts {account} (or \
             '{}/*') if workflows and sensors may act as it",
            account.namespace
        )))
    }

    /// Whether none may be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A pattern is a word, or the beginning of one followed by `*`.
fn matches(pattern: &str, word: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => word.starts_with(beginning),
        None => pattern == word,
    }
}

impl FromStr for Accounts {
    type Err = String;

    /// Reads `NAMESPACE/NAME`, several separated by commas; either part may end in `*`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut accounts = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let pattern = |word: &str| {
                let plain = word.strip_suffix('*').unwrap_or(word);
                let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
                !word.is_empty() && plain.chars().all(known)
            };
            match part.split_once('/') {
                Some((namespace, name)) if pattern(namespace) && pattern(name) => {
                    accounts.push((namespace.to_owned(), name.to_owned()));
                }
                _ => {
                    return Err(format!(
                        "'{part}' is no service account: write NAMESPACE/NAME, or NAMESPACE/* for all of a namespace"
                    ));
                }
            }
        }
        Ok(Self(accounts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_who_is_named() {
        let none = Accounts::default();
        assert!(none.is_empty());
        let told = none.check(&Account::new("argo", "falco-pod-delete")).unwrap_err().to_string();
        assert!(told.contains("--service-accounts argo/falco-pod-delete"), "{told}");

        let some: Accounts = "argo/falco-pod-delete, team-*/*,x/deploy-*".parse().unwrap();
        for (namespace, name, allowed) in [
            ("argo", "falco-pod-delete", true),
            ("argo", "falco-pod-delete2", false),
            ("argo2", "falco-pod-delete", false),
            ("argo", "", false),
            ("team-a", "", true),
            ("team", "x", false),
            ("x", "deploy-web", true),
            ("x", "default", false),
        ] {
            let account = Account::new(namespace, name);
            assert_eq!(some.check(&account).is_ok(), allowed, "{account}");
        }
    }

    #[test]
    fn what_is_no_account_is_named() {
        for wrong in ["default", "a/b/c", "/x", "x/", "*a/x", "A/b", "a/b c"] {
            let told = wrong.parse::<Accounts>().unwrap_err();
            assert!(told.contains(wrong.trim()) && told.contains("NAMESPACE/NAME"), "{told}");
        }
        assert!("*/*".parse::<Accounts>().is_ok());
    }
}
