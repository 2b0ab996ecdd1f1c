//! The token of a link by which a person answers an alert without a login: who, which alert, and since when, signed.
//!
//! Fallback writes it into mails and pushes, socket reads it at `/v1/answers/{token}`. It is for every answer of that alert:
//! which one is said beside it. Whoever has the link can answer for that person, and nothing else.

use std::time::Duration;

use super::signed_token::TokenSigner;
use crate::domain::{AlertId, Secret, Tenant, Timestamp, UserId, UserKey};

/// How long a link is good after it was written.
pub const ANSWER_LINK_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How far the clock of whoever wrote it may be ahead.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);
/// Signs for this purpose only.
const PURPOSE: &str = "watchbell answer v1";

/// Signs and reads tokens with one secret.
#[derive(Clone)]
pub struct AnswerLinks(TokenSigner);

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerLink {
    /// Who may answer.
    pub user: UserKey,
    /// What.
    pub alert: AlertId,
    /// When it was written: it is void once the person's sessions were ended after that.
    pub written_at: Timestamp,
}

impl AnswerLinks {
    /// The secret should have 32 bytes or more.
    pub fn new(secret: &Secret) -> Self {
        Self(TokenSigner::new(secret, PURPOSE))
    }

    /// The address below `base` at which this person answers this alert; `action` says by which button, or it is left to be
    /// added as the query's `action`.
    pub fn address(&self, base: &str, link: &AnswerLink, action: Option<&str>) -> String {
        let AnswerLink { user, alert, written_at } = link;
        // Only a user's name may have blanks, and comes last.
        let says = format!("{} {alert} {} {}", user.tenant, written_at.as_second(), user.user.as_str());
        let token = self.0.token(&says);
        // The id of an action needs no escape.
        let query = action.map(|action| format!("?action={action}")).unwrap_or_default();
        format!("{}/v1/answers/{token}{query}", base.trim_end_matches('/'))
    }

    /// What a token says, if it is ours and still good.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<AnswerLink> {
        let says = self.0.read(token)?;
        let mut parts = says.splitn(4, ' ');
        let (tenant, alert, second, user) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let written_at = Timestamp::from_second(second.parse().ok()?).ok()?;
        let is_good = written_at <= now + CLOCK_AHEAD_MAX && now < written_at + ANSWER_LINK_TTL;
        let user = UserKey::new(Tenant::parse(tenant).ok()?, UserId::parse(user).ok()?);
        let link = AnswerLink { user, alert: AlertId::parse(alert).ok()?, written_at };
        is_good.then_some(link)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wire::unsubscribe::Unsubscribe;

    #[test]
    fn a_link_answers_for_its_person_and_alert_for_a_week() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let secret = Secret::from("a-secret-of-tests");
        let links = AnswerLinks::new(&secret);
        let user =
            UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("cn=Ana O'Brien, ou=ops").unwrap());
        let link = AnswerLink {
            user: user.clone(),
            alert: AlertId::parse("disk-7").unwrap(),
            written_at: at(1_000),
        };
        let address = links.address("https://a.example/", &link, Some("approve"));
        let token = address.strip_prefix("https://a.example/v1/answers/").unwrap();
        let token = token.strip_suffix("?action=approve").unwrap();
        assert_eq!(
            links.address("https://a.example", &link, None),
            address.strip_suffix("?action=approve").unwrap()
        );

        const DAY: i64 = 24 * 60 * 60;
        let (claim, tag) = token.split_once('.').unwrap();
        let of_unsubscribing = Unsubscribe::new(&secret).token(&user, &Secret::from("ana@example.org"));
        let of_another = AnswerLinks::new(&Secret::from("another")).address("", &link, None);
        let of_another = of_another.strip_prefix("/v1/answers/").unwrap();
        for (why, token, now, is_good) in [
            ("at once", token, 1_000, true),
            ("after six days", token, 1_000 + 6 * DAY, true),
            ("after a week", token, 1_000 + 7 * DAY, false),
            ("by a clock that is a little behind", token, 900, true),
            ("from the future", token, 0, false),
            ("no signature", &*format!("{claim}."), 1_000, false),
            ("half a signature", &*format!("{claim}.{}", &tag[..10]), 1_000, false),
            ("another's claim", &*format!("YWNtZQ.{tag}"), 1_000, false),
            ("another kind of link", &*of_unsubscribing, 1_000, false),
            ("another secret", of_another, 1_000, false),
            ("nothing", "", 1_000, false),
        ] {
            assert_eq!(links.read(token, at(now)), is_good.then(|| link.clone()), "{why}");
        }
    }
}
