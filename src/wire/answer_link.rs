//! The token of a link by which a person answers an alert without a login: who, which alert, and since when, signed.
//!
//! Fallback writes it into mails and pushes, socket reads it at `/v1/answers/{token}`. It is for every answer of that alert:
//! which one is said beside it. Whoever has the link can answer for that person, and nothing else.
//!
//! What holds here:
//! - A link that a person follows only leads to a page. The page has a ticket of its own, which is good for
//!   [`PAGE_TICKET_TTL`] and for that link; without one, nothing is answered. So neither a program that fetches links nor one that
//!   posts to them answers anything.
//! - A program that was given the link in a message which only it can read, such as a service worker, needs no page.

use std::time::Duration;

use super::signed_token::TokenSigner;
use crate::domain::{AlertId, Secret, Tenant, Timestamp, UserId, UserKey};

/// How long a link is good after it was written.
pub const ANSWER_LINK_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a page is good whose button answers.
pub const PAGE_TICKET_TTL: Duration = Duration::from_secs(15 * 60);
/// How far the clock of whoever wrote it may be ahead.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);
/// Each signs for this purpose only.
const PROGRAM_PURPOSE: &str = "watchbell answer v1";
const PAGE_PURPOSE: &str = "watchbell answer page v1";
const TICKET_PURPOSE: &str = "watchbell answer ticket v1";

/// Signs and reads tokens with one secret.
#[derive(Clone)]
pub struct AnswerLinks {
    of_programs: TokenSigner,
    of_pages: TokenSigner,
    tickets: TokenSigner,
}

/// Who follows a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    /// A person: the link leads to a page, and the page's button answers.
    Page,
    /// A program, by one POST: the message is readable by nobody else.
    Program,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerLink {
    /// Who may answer.
    pub user: UserKey,
    /// What.
    pub alert: AlertId,
    /// When it was written: it is void once the person's sessions were ended after that.
    pub written_at: Timestamp,
    /// Who follows it.
    pub by: AnsweredBy,
}

impl AnswerLinks {
    /// The secret should have 32 bytes or more.
    pub fn new(secret: &Secret) -> Self {
        let signer = |purpose| TokenSigner::new(secret, purpose);
        Self {
            of_programs: signer(PROGRAM_PURPOSE),
            of_pages: signer(PAGE_PURPOSE),
            tickets: signer(TICKET_PURPOSE),
        }
    }

    /// The address below `base` at which this person answers this alert; `action` says by which button, or it is left to be
    /// added as the query's `action`.
    pub fn address(&self, base: &str, link: &AnswerLink, action: Option<&str>) -> String {
        let AnswerLink { user, alert, written_at, by } = link;
        // Only a user's name may have blanks, and comes last.
        let says = format!("{} {alert} {} {}", user.tenant, written_at.as_second(), user.user.as_str());
        let token = match by {
            AnsweredBy::Page => self.of_pages.token(&says),
            AnsweredBy::Program => self.of_programs.token(&says),
        };
        // The id of an action needs no escape.
        let query = action.map(|action| format!("?action={action}")).unwrap_or_default();
        format!("{}/v1/answers/{token}{query}", base.trim_end_matches('/'))
    }

    /// What a token says, if it is ours and still good.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<AnswerLink> {
        let of_page = || Some((self.of_pages.read(token)?, AnsweredBy::Page));
        let of_program = || Some((self.of_programs.read(token)?, AnsweredBy::Program));
        let (says, by) = of_page().or_else(of_program)?;
        let mut parts = says.splitn(4, ' ');
        let (tenant, alert, second, user) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let written_at = Timestamp::from_second(second.parse().ok()?).ok()?;
        let is_good = written_at <= now + CLOCK_AHEAD_MAX && now < written_at + ANSWER_LINK_TTL;
        let user = UserKey::new(Tenant::parse(tenant).ok()?, UserId::parse(user).ok()?);
        let link = AnswerLink { user, alert: AlertId::parse(alert).ok()?, written_at, by };
        is_good.then_some(link)
    }

    /// What the page of a link has beside its button.
    pub fn page_ticket(&self, token: &str, now: Timestamp) -> String {
        self.tickets.token(&ticket_claim(token, now.as_second()))
    }

    /// Whether a page of this link had this ticket, not long ago.
    pub fn is_page_ticket(&self, ticket: &str, token: &str, now: Timestamp) -> bool {
        let second = self.tickets.read(ticket).and_then(|claim| {
            let second: i64 = claim.split_once(' ')?.0.parse().ok()?;
            (claim == ticket_claim(token, second)).then_some(second)
        });
        let issued_at = second.and_then(|second| Timestamp::from_second(second).ok());
        issued_at.is_some_and(|at| at <= now + CLOCK_AHEAD_MAX && now < at + PAGE_TICKET_TTL)
    }
}

/// The second at which it was issued, and the signature of the link: all of it that nobody makes up.
fn ticket_claim(token: &str, second: i64) -> String {
    let signature = token.rsplit('.').next().unwrap_or_default();
    format!("{second} {signature}")
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
            by: AnsweredBy::Program,
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

    #[test]
    fn a_page_has_a_ticket_of_its_link_for_a_quarter_of_an_hour() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let links = AnswerLinks::new(&Secret::from("a-secret-of-tests"));
        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        let token_of = |alert: &str, by| {
            let alert = AlertId::parse(alert).unwrap();
            let link = AnswerLink { user: user.clone(), alert, written_at: at(1_000), by };
            let address = links.address("", &link, None);
            address.strip_prefix("/v1/answers/").unwrap().to_owned()
        };
        let token = token_of("disk-7", AnsweredBy::Page);
        assert_eq!(links.read(&token, at(1_000)).unwrap().by, AnsweredBy::Page);
        let of_program = token_of("disk-7", AnsweredBy::Program);
        assert_eq!(links.read(&of_program, at(1_000)).unwrap().by, AnsweredBy::Program);

        const MINUTE: i64 = 60;
        let (ticket, second) = (links.page_ticket(&token, at(2_000)), 2_000);
        let of_another = AnswerLinks::new(&Secret::from("another")).page_ticket(&token, at(second));
        for (why, ticket, token, now, is_good) in [
            ("at once", &ticket, &token, second, true),
            ("after fourteen minutes", &ticket, &token, second + 14 * MINUTE, true),
            ("after fifteen", &ticket, &token, second + 15 * MINUTE, false),
            ("by a clock that is a little behind", &ticket, &token, second - MINUTE, true),
            ("from the future", &ticket, &token, 0, false),
            ("of another link", &ticket, &token_of("disk-8", AnsweredBy::Page), second, false),
            ("the link itself", &token, &token, second, false),
            ("another secret", &of_another, &token, second, false),
            ("nothing", &String::new(), &token, second, false),
        ] {
            assert_eq!(links.is_page_ticket(ticket, token, at(now)), is_good, "{why}");
        }
        assert_eq!(links.read(&ticket, at(second)), None, "a ticket is no link");
    }
}
