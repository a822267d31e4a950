//! What a runner may ask for. Each target that it is given carries a token for this pod, this artifact and this verb; nothing
//! is kept for it, so that any executor of the installation can answer.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use tiphys_core::PodKey;

/// Path of what runners ask, before the pod's key.
pub(super) const PATH: &str = "/runner/v1";

/// What a token lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Fetch.
    Get,
    /// Store.
    Put,
}

/// Makes tokens, and checks them.
pub(super) struct Keys(Hmac<Sha256>);

impl Keys {
    pub(super) fn new(key: &SecretString) -> Self {
        // A key of any length is one.
        let fallback = || Hmac::<Sha256>::new(&Default::default());
        Self(Hmac::new_from_slice(key.expose_secret().as_bytes()).unwrap_or_else(|_| fallback()))
    }

    fn mac(&self, parts: [&str; 3]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in parts {
            // With its length, so that two parts are never taken for others.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }

    fn parts<'p>(verb: Verb, pod: &'p PodKey, key: &'p str) -> [&'p str; 3] {
        let verb = match verb {
            Verb::Get => "get",
            Verb::Put => "put",
        };
        [verb, &pod.0, key]
    }

    /// Path and query for one artifact.
    pub(super) fn target(&self, verb: Verb, pod: &PodKey, key: &str) -> String {
        let token = hex::encode(self.mac(Self::parts(verb, pod, key)).finalize().into_bytes());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("key", key)
            .append_pair("token", &token)
            .finish();
        format!("{PATH}/{pod}?{query}")
    }

    /// Whether a token is right; in constant time.
    pub(super) fn holds(&self, verb: Verb, pod: &PodKey, key: &str, token: &str) -> bool {
        let Ok(token) = hex::decode(token) else { return false };
        self.mac(Self::parts(verb, pod, key)).verify_slice(&token).is_ok()
    }

    /// Key in the store of what belongs to the pod alone. It cannot be guessed, so that no workflow names it for an
    /// artifact.
    pub(super) fn place(&self, pod: &PodKey, name: &str) -> String {
        format!("runner/{pod}-{}/{name}", self.secret("place", pod))
    }

    /// The same for its log, which stays longer than the rest.
    pub(super) fn log(&self, pod: &PodKey) -> String {
        format!("runner-logs/{pod}-{}", self.secret("log", pod))
    }

    /// A folder as a pod's annotation has it: with the proof that it is we who wrote it.
    pub(super) fn sealed(&self, pod: &PodKey, folder: &str) -> String {
        let proof = hex::encode(self.mac(["keeps", &pod.0, folder]).finalize().into_bytes());
        format!("{proof} {folder}")
    }

    /// The folder in an annotation, if it is we who wrote it.
    pub(super) fn unsealed<'t>(&self, pod: &PodKey, text: &'t str) -> Option<&'t str> {
        let (proof, folder) = text.split_once(' ')?;
        let proof = hex::decode(proof).ok()?;
        self.mac(["keeps", &pod.0, folder]).verify_slice(&proof).ok().map(|()| folder)
    }

    fn secret(&self, what: &str, pod: &PodKey) -> String {
        let mut secret = hex::encode(self.mac([what, &pod.0, ""]).finalize().into_bytes());
        secret.truncate(32);
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_another_wrote_is_none() {
        let keys = Keys::new(&SecretString::from("a"));
        let (pod, folder) = (PodKey("0123456789abcdef".into()), r#"{"namespace":"team"}"#);
        let text = keys.sealed(&pod, folder);
        assert_eq!(keys.unsealed(&pod, &text), Some(folder));
        assert_eq!(keys.unsealed(&PodKey("f".into()), &text), None);
        assert_eq!(keys.unsealed(&pod, &text.replace("team", "other")), None);
        assert_eq!(Keys::new(&SecretString::from("b")).unsealed(&pod, &text), None);
        assert_eq!(keys.unsealed(&pod, folder), None);
    }

    #[test]
    fn a_token_is_for_one_thing() {
        let keys = Keys::new(&SecretString::from("a"));
        let pod = PodKey("0123456789abcdef".into());
        let target = keys.target(Verb::Put, &pod, "a b/c.tgz");
        let (before, token) = target.rsplit_once("token=").unwrap();
        assert_eq!(before, "/runner/v1/0123456789abcdef?key=a+b%2Fc.tgz&");
        assert!(keys.holds(Verb::Put, &pod, "a b/c.tgz", token));
        let other = PodKey("f".into());
        assert!(!keys.holds(Verb::Get, &pod, "a b/c.tgz", token));
        assert!(!keys.holds(Verb::Put, &other, "a b/c.tgz", token));
        assert!(!keys.holds(Verb::Put, &pod, "a b/d.tgz", token));
        assert!(!keys.holds(Verb::Put, &pod, "a b/c.tgz", ""));
        assert!(!keys.holds(Verb::Put, &pod, "a b/c.tgz", "zz"));
        assert!(!Keys::new(&SecretString::from("b")).holds(Verb::Put, &pod, "a b/c.tgz", token));
        assert_ne!(keys.place(&pod, "x"), Keys::new(&SecretString::from("b")).place(&pod, "x"));
    }
}
