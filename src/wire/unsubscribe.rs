//! The token of a one-click unsubscribe link (RFC 8058): whose mail shall end, signed, so that the link needs no login
//! and nobody makes one for somebody else.
//!
//! Fallback writes it into emails, socket reads it at `POST /v1/unsubscribe/{token}`.

use super::signed_token::TokenSigner;
use crate::domain::{Secret, Tenant, UserId, UserKey, email::address_digest};

/// Signs for this purpose only, in case the secret is used for another one too.
const PURPOSE: &str = "watchbell unsubscribe v1";

/// Signs and reads tokens with one secret.
#[derive(Clone)]
pub struct Unsubscribe(TokenSigner);

/// Whose mail shall end, and to which address: a link to an address that is no longer theirs is void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscription {
    /// Whose.
    pub user: UserKey,
    address_digest: String,
}

impl Unsubscribe {
    /// The secret should have 32 bytes or more.
    pub fn new(secret: &Secret) -> Self {
        Self(TokenSigner::new(secret, PURPOSE))
    }

    /// For a link to one person's one address. Always the same, so that old mails' links go on working.
    pub fn token(&self, user: &UserKey, address: &Secret) -> String {
        let digest = address_digest(address);
        // Neither a tenant nor a digest has a blank, so whatever is between the first and the last is the user.
        self.0.token(&format!("{} {} {digest}", user.tenant, user.user.as_str()))
    }

    /// What a token says, if it is ours.
    pub fn read(&self, token: &str) -> Option<Unsubscription> {
        let text = self.0.read(token)?;
        let (tenant, rest) = text.split_once(' ')?;
        let (user, digest) = rest.rsplit_once(' ')?;
        let user = UserKey::new(Tenant::parse(tenant).ok()?, UserId::parse(user).ok()?);
        Some(Unsubscription { user, address_digest: digest.to_owned() })
    }
}

impl Unsubscription {
    /// Whether it is about this address.
    pub fn is_for(&self, address: &Secret) -> bool {
        self.address_digest == address_digest(address)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;
    use crate::wire::signed_token::TOKEN_BYTES_MAX;

    #[test]
    fn a_link_is_good_for_its_person_and_address_and_cannot_be_made_up() {
        let unsubscribe = Unsubscribe::new(&Secret::from("a-secret-of-tests"));
        let ana = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        let address = Secret::from("ana@example.org");
        let token = unsubscribe.token(&ana, &address);
        assert_eq!(unsubscribe.token(&ana, &address), token, "old links go on working");
        assert!(!token.contains("ana@"), "{token}");
        let read = unsubscribe.read(&token).unwrap();
        assert_eq!(read.user, ana);
        assert!(read.is_for(&address) && !read.is_for(&Secret::from("ben@example.org")));

        let spaced = UserKey::new(ana.tenant.clone(), UserId::parse("cn=Ana O'Brien, ou=ops").unwrap());
        let read_back = unsubscribe.read(&unsubscribe.token(&spaced, &address)).unwrap();
        assert_eq!(read_back.user, spaced, "a name with blanks");

        let (claim, tag) = token.split_once('.').unwrap();
        let other = BASE64_URL_SAFE_NO_PAD.encode("acme ben 00000000");
        for (why, token) in [
            ("another's claim", format!("{other}.{tag}")),
            ("no signature", format!("{claim}.")),
            ("half a signature", format!("{claim}.{}", &tag[..10])),
            ("no parts", claim.to_owned()),
            ("nothing", String::new()),
            ("too long", format!("{}.{tag}", "a".repeat(TOKEN_BYTES_MAX))),
            ("another secret", Unsubscribe::new(&Secret::from("another")).token(&ana, &address)),
        ] {
            assert_eq!(unsubscribe.read(&token), None, "{why}");
        }
    }
}
