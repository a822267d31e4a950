//! Masking: enough to recognise a secret one knows, too little to use it.

use sha2::{Digest as _, Sha256};

/// The masked form: of sixteen characters and more the first four, of shorter ones nothing.
pub(super) fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    if length < 16 { "********".into() } else { secret.chars().take(4).chain("********".chars()).collect() }
}

/// SHA-256 in hex, by which two findings of the same secret are known as one.
pub(super) fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_shown_of_long_ones_and_nothing_of_short_ones() {
        assert_eq!(mask("hunter2"), "********");
        assert_eq!(mask("exactly15chars!"), "********");
        assert_eq!(mask("AKIAEXAMPLEEXAMPLE12"), "AKIA********");
        assert_eq!(mask("ключключключключключ"), "ключ********");
        assert_eq!(hash("").len(), 64);
    }
}
