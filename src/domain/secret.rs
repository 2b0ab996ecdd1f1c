//! A text that must not be printed: a token, a key, an address, a password (I12).

use std::fmt;

/// Whoever holds one can act for somebody else, so it has no `Display` and its `Debug` prints
/// `redacted`. The one way to the text is [`Secret::expose`], which is easy to search for.
///
/// Two are compared in a time that does not depend on where they differ, so that nobody finds one out by guessing it letter
/// by letter. `tests/tidy` finds comparisons of exposed texts.
#[derive(Clone)]
pub struct Secret(String);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl Eq for Secret {}

impl Secret {
    /// The text itself: for the provider, the store and the signature, never for a log or an error.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}

#[test]
fn a_secret_does_not_print() {
    let secret = Secret::from("hunter2");
    assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "redacted Some(redacted)");
    assert_eq!(secret.expose(), "hunter2");
}

#[test]
fn a_secret_is_equal_to_itself_alone() {
    let secret = Secret::from("hunter2");
    assert_eq!(secret, Secret::from("hunter2"));
    for other in ["", "hunter", "hunter3", "Hunter2", "hunter2 "] {
        assert_ne!(secret, Secret::from(other), "{other}");
    }
}
