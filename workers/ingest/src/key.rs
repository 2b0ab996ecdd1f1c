//! API keys: made here, kept nowhere. The store has their hashes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use watchbell::domain::{Secret, text::is_drawn_as_nothing};

/// What every key begins with, so that scanners find a leaked one.
pub const PREFIX: &str = "wbk_";
/// Random bytes of a key.
const RANDOM_BYTES: usize = 32;
/// The longest text looked up as a key, in bytes. A key made here has 47.
const LEN_MAX: usize = 128;

/// Characters of a key's name.
pub const NAME_CHARS_MAX: usize = 200;

/// The name of a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a text of 1 to {NAME_CHARS_MAX} characters, each of which can be seen")]
pub struct InvalidKeyName;

/// A key's name, without blanks at its ends. It tells keys apart in lists, so no two may look alike or turn the text beside them.
///
/// # Errors
/// [`InvalidKeyName`] says what is accepted.
pub fn name_of(text: &str) -> Result<&str, InvalidKeyName> {
    let name = text.trim();
    let is_unseen = |c: char| c.is_control() || is_drawn_as_nothing(c);
    let is_good = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.contains(is_unseen);
    is_good.then_some(name).ok_or(InvalidKeyName)
}

/// A new key: `wbk_` and 43 characters of base64url. Shown once, to whoever asked for it.
pub fn generate(rng: &mut impl CryptoRng) -> Secret {
    let mut bytes = [0; RANDOM_BYTES];
    rng.fill_bytes(&mut bytes);
    Secret::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// What a key is stored and looked up by: its SHA-256 in hex.
///
/// A fast hash is right here. Slow ones make guessing a person's password dear; a key is 256 random bits, which
/// nobody guesses at any speed, and every request pays for the hash.
pub fn hash(key: &str) -> String {
    format!("{:x}", Sha256::digest(key.as_bytes()))
}

/// Whether it is worth asking the store.
pub(crate) fn may_be_key(text: &str) -> bool {
    text.starts_with(PREFIX) && text.len() <= LEN_MAX
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn a_key_has_its_form_and_does_not_print() {
        let mut rng = StdRng::seed_from_u64(7);
        let (key, other) = (generate(&mut rng), generate(&mut rng));
        assert_eq!(key.expose().len(), PREFIX.len() + 43);
        assert!(may_be_key(key.expose()));
        assert_ne!(key, other);
        assert_eq!(format!("{key:?}"), "redacted");
    }

    #[test]
    fn a_name_of_a_key_can_be_seen() {
        let long = "n".repeat(NAME_CHARS_MAX + 1);
        for (why, text, expected) in [
            ("a name", "alertmanager in Berlin", Ok("alertmanager in Berlin")),
            ("blanks at its ends", " ci ", Ok("ci")),
            ("nothing", "", Err(InvalidKeyName)),
            ("blanks", "  ", Err(InvalidKeyName)),
            ("nothing to see", "\u{200b}", Err(InvalidKeyName)),
            ("one that looks like another", "ci\u{200b}", Err(InvalidKeyName)),
            ("one that turns its line", "a\u{202e}b", Err(InvalidKeyName)),
            ("two lines", "a\nb", Err(InvalidKeyName)),
            ("too long", long.as_str(), Err(InvalidKeyName)),
        ] {
            assert_eq!(name_of(text), expected, "{why}");
        }
    }

    #[test]
    fn a_hash_is_stable_because_the_store_has_it() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
