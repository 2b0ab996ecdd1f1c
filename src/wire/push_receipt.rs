//! The token that a push carries, with which the phone says that it arrived: which push, and until when, signed.
//!
//! Fallback writes it into pushes to Apple and Google, socket reads it as the bearer of `POST /v1/inbox/receipts`.
//!
//! What holds here:
//! - It names an attempt, which is about one alert of one person on one device and never changes. So it has the same
//!   length whatever the alert and the person are called.
//! - It is good for the receipt `delivered` of that alert, and for nothing else. Whoever reads it on the way can say that a push has
//!   arrived, and no more.
//! - It ends soon after the push does: [`good_until`].

use std::time::Duration;

use uuid::Uuid;

use super::signed_token::TokenSigner;
use crate::domain::{AttemptId, Secret, Timestamp};

/// How long it is good at the most.
pub const PUSH_RECEIPT_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a phone has to say so after the push itself is over: it may arrive in its last second.
const LATE: Duration = Duration::from_secs(5 * 60);
/// How it begins, so that it is not taken for a person's token.
const PREFIX: &str = "push-receipt.";
/// Signs for this purpose only.
const PURPOSE: &str = "watchbell push receipt v1";

/// Signs and reads tokens with one secret.
#[derive(Clone)]
pub struct PushReceipts(TokenSigner);

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableReceipt {
    /// Nobody here wrote it, or not with the secret that holds now.
    #[error("this is no receipt token of ours: send the `receipt` of the push as it came")]
    Unknown,
    /// It was good.
    #[error("the receipt token has expired: what a push is not told of in time is not told any more")]
    Expired,
}

/// Until when the token of a push is good that is sent now and shown until `expires_at`.
pub fn good_until(expires_at: Timestamp, now: Timestamp) -> Timestamp {
    // The shorter of both first: an alert may last until the last moment there is, and nothing is later than that.
    expires_at.min(now + (PUSH_RECEIPT_TTL - LATE)) + LATE
}

/// Whether somebody comes with such a token, be it good or not.
pub fn is_push_receipt(token: &str) -> bool {
    token.starts_with(PREFIX)
}

impl PushReceipts {
    /// The secret should have 32 bytes or more.
    pub fn new(secret: &Secret) -> Self {
        Self(TokenSigner::new(secret, PURPOSE))
    }

    /// The token of one push, good until then.
    pub fn token(&self, attempt: AttemptId, until: Timestamp) -> Secret {
        let token = self.0.token(&format!("{} {}", attempt.simple(), until.as_second()));
        Secret::from(format!("{PREFIX}{token}"))
    }

    /// Which push a token is of.
    ///
    /// # Errors
    /// [`UnusableReceipt`] says why it is not good.
    pub fn read(&self, token: &str, now: Timestamp) -> Result<AttemptId, UnusableReceipt> {
        let (attempt, until) = self.claim(token).ok_or(UnusableReceipt::Unknown)?;
        if now < until { Ok(attempt) } else { Err(UnusableReceipt::Expired) }
    }

    fn claim(&self, token: &str) -> Option<(AttemptId, Timestamp)> {
        let says = self.0.read(token.strip_prefix(PREFIX)?)?;
        let (attempt, until) = says.split_once(' ')?;
        let until = Timestamp::from_second(until.parse().ok()?).ok()?;
        Some((Uuid::try_parse(attempt).ok()?, until))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        domain::{AlertId, LAST_MOMENT, Tenant, UserId, UserKey},
        wire::answer_link::{AnswerLink, AnswerLinks, AnsweredBy},
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_good_for_its_push_until_it_ends() {
        let secret = Secret::from("a-secret-of-tests");
        let receipts = PushReceipts::new(&secret);
        let attempt = Uuid::from_u128(7);
        let token = receipts.token(attempt, at(2_000));
        let token = token.expose();
        assert!(is_push_receipt(token) && token.len() < 100, "it has room in every push: {token}");
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)), "{token}");

        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        let (alert, written_at) = (AlertId::parse("disk-7").unwrap(), at(1_000));
        let link = AnswerLink { user, alert, written_at, by: AnsweredBy::Program };
        let answers = AnswerLinks::new(&secret).address("", &link, None);
        let answers = answers.strip_prefix("/v1/answers/").unwrap();
        let (claim, tag) = token.rsplit_once('.').unwrap();
        let later = receipts.token(attempt, at(9_000));
        let later = later.expose().rsplit_once('.').unwrap().0;
        let by_another = PushReceipts::new(&Secret::from("another")).token(attempt, at(2_000));
        let (good, unknown, expired) =
            (Ok(attempt), Err(UnusableReceipt::Unknown), Err(UnusableReceipt::Expired));
        for (why, token, now, expected) in [
            ("at once", token, 1_000, good),
            ("in its last second", token, 1_999, good),
            ("afterwards", token, 2_000, expired),
            ("by a clock that is behind", token, 0, good),
            ("with a later end", &*format!("{later}.{tag}"), 1_000, unknown),
            ("no signature", &*format!("{claim}."), 1_000, unknown),
            ("half a signature", &*format!("{claim}.{}", &tag[..10]), 1_000, unknown),
            ("without its beginning", token.strip_prefix(PREFIX).unwrap(), 1_000, unknown),
            ("another kind of link", &*format!("{PREFIX}{answers}"), 1_000, unknown),
            ("another secret", by_another.expose(), 1_000, unknown),
            ("a person's token", "eyJhbGciOiJIUzI1NiJ9.e30.x", 1_000, unknown),
            ("nothing", "", 1_000, unknown),
        ] {
            assert_eq!(receipts.read(token, at(now)), expected, "{why}");
        }
    }

    #[test]
    fn a_token_ends_soon_after_its_push_and_within_a_day() {
        const DAY: i64 = 24 * 60 * 60;
        for (why, expires_at, expected) in [
            ("a push of an hour", 3_600, 3_600 + 300),
            ("a push of a week", 7 * DAY, DAY),
            ("a push that is over while it is sent", 0, 300),
        ] {
            assert_eq!(good_until(at(expires_at), at(0)), at(expected), "{why}");
        }
        assert_eq!(good_until(LAST_MOMENT, at(0)), at(DAY), "a push without an end");
    }
}
