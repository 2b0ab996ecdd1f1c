//! Faults: what a test or the page asks a provider to do wrong, and which request it hits.
//!
//! What holds here:
//! - A request is hit by the first fault of its provider's list that is for it; `count` is taken
//!   then, so two requests at once never share one.
//! - What is asked for is checked whole when it is put; a fault in the list can be carried out.
//! - Its selectors (`to`, `environment`, `origin`) have to hold together; what names none hits every request.
//!
//! Elsewhere: carrying them out, in `apns`, `fcm`, `webpush`, `webhook`, `slack`, `telegram`, `sms` and `smtp`; closing connections, in `serve`.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Deserializer, Serialize};

/// Faults of one provider.
pub(crate) const FAULTS_MAX: usize = 1000;
/// The longest `delay_ms`.
pub(crate) const DELAY_MS_MAX: u64 = 600_000;
/// The longest `reason` in bytes; an SMTP reply line has 512 in all.
const REASON_LEN_MAX: usize = 400;

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Apns,
    Fcm,
    /// Google's token endpoint. Its own list, so that `fcm` faults hit sends only.
    Oauth,
    /// Push services of browsers.
    Webpush,
    Email,
    /// Programs that take webhooks.
    Webhook,
    Slack,
    Telegram,
    /// Twilio.
    Sms,
}

impl Provider {
    /// Whether a status is one to fail with. Only strangers redirect, and Slack says in the body that it failed.
    fn may_answer(self, status: u16) -> bool {
        match status {
            400..=599 => true,
            300..=399 => self == Self::Webhook,
            200 => self == Self::Slack,
            _ => false,
        }
    }
}

/// What Microsoft says became of a push that it has answered with success.
const WNS_FATES: [&str; 2] = ["dropped", "channelthrottled"];

/// One thing to do wrong. Only `status`, `delay_ms`, `goaway`, `drop`, `bounce`, `fate` and `html` do something; the rest say how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// The HTTP or SMTP status to answer with, 400 to 599; a webhook's receiver may redirect, and
    /// Slack fails with 200. The arrival is not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// APNs: the reason. FCM: the `errorCode`. SMTP: the text, with its enhanced code. Webhook: the body, or where a
    /// redirect leads. Slack: its word. Telegram: the `description`. SMS: Twilio's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// FCM: names this field in a `BadRequest` violation, such as `message.token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// FCM, with 429: whose quota it is, as the subject of a `QuotaFailure`: `device:…`, `project:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// Seconds, sent as `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u32>,
    /// APNs 410: since when the token is gone, in ms since 1970. Absent: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<i64>,
    /// How long to wait before doing anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    /// Ends the HTTP/2 connection with GOAWAY; requests in flight are answered.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) goaway: bool,
    /// Closes the connection without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "drop_at")]
    pub(crate) drop: Option<DropAt>,
    /// How many more requests it hits; absent: until cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u32>,
    /// Only this token or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// APNs: only this one of Apple's two hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<Environment>,
    /// Web Push: only what is sent to this host, without its port. Email: only addresses of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// Telegram: the chat has become another one, which has this id. With status 400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) moved_to: Option<i64>,
    /// Email: the mail is taken, and then comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bounce: Option<Bounce>,
    /// Web Push at Microsoft's hosts: the push is answered with 201, and became this all the same (`X-WNS-NotificationStatus`):
    /// `dropped`, `channelthrottled`. It does not arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fate: Option<String>,
    /// Answers with an HTML page, as Google's front end does; status 502 unless given.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) html: bool,
}

/// A mail that comes back: a delivery status (RFC 3464) to its return path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bounce {
    /// Where mail for the domain of return paths is taken.
    pub(crate) mx: SocketAddr,
    /// The enhanced status, such as `5.1.1`.
    pub(crate) status: String,
}

/// Which of Apple's two hosts a request came to: each has a listener here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Environment {
    Production,
    Sandbox,
}

/// Whether the arrival was recorded when the connection closed: what the sender cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DropAt {
    Before,
    After,
}

impl Fault {
    /// Whether it is for `to`. An address matches in any case.
    pub(crate) fn is_for(&self, to: &str) -> bool {
        self.to.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(to))
    }

    /// Whether it is for requests to this host of Apple's.
    pub(crate) fn is_for_environment(&self, environment: Environment) -> bool {
        self.environment.is_none_or(|only| only == environment)
    }

    /// Whether it is for requests to this host.
    pub(crate) fn is_for_origin(&self, host: &str) -> bool {
        self.origin.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(host))
    }

    fn check(&self, provider: Provider) -> Result<(), &'static str> {
        let acts = self.status.is_some()
            || self.delay_ms.is_some()
            || self.goaway
            || self.drop.is_some()
            || self.bounce.is_some()
            || self.fate.is_some()
            || self.html;
        let text_is_bad = |text: &String| text.len() > REASON_LEN_MAX || text.chars().any(char::is_control);
        let (email, fcm, apns) =
            (provider == Provider::Email, provider == Provider::Fcm, provider == Provider::Apns);
        for (wrong, why) in [
            (
                !acts,
                "status: give status, delay_ms, goaway, drop, bounce, fate or html; this fault does nothing",
            ),
            (
                self.status.is_some_and(|status| !provider.may_answer(status)),
                "status: must be 400 to 599, for webhook 300 to 599, for slack also 200",
            ),
            (
                self.drop.is_some() && (self.status.is_some() || self.html),
                "drop: leaves no answer, so no status or html",
            ),
            (self.reason.is_some() && self.status.is_none(), "reason: needs a status"),
            (self.reason.as_ref().is_some_and(text_is_bad), "reason: too long, or has control characters"),
            (self.field.is_some() && (!fcm || self.status.is_none()), "field: is for fcm, with a status"),
            (
                self.subject.is_some() && (!fcm || self.status != Some(429)),
                "subject: is for fcm, with status 429",
            ),
            (
                self.timestamp.is_some() && (!apns || self.status.is_none()),
                "timestamp: is for apns, with a status",
            ),
            (
                self.delay_ms.is_some_and(|delay_ms| delay_ms > DELAY_MS_MAX),
                "delay_ms: must be at most 600000",
            ),
            (self.count == Some(0), "count: must be at least 1"),
            (
                self.moved_to.is_some() && (provider != Provider::Telegram || self.status != Some(400)),
                "moved_to: is for telegram, with status 400",
            ),
            (
                self.bounce.is_some() && (!email || self.status.is_some() || self.drop.is_some()),
                "bounce: is for email, which is taken first, so no status or drop",
            ),
            (
                self.fate.as_deref().is_some_and(|fate| {
                    provider != Provider::Webpush || self.status.is_some() || !WNS_FATES.contains(&fate)
                }),
                "fate: is for webpush, without a status, and dropped or channelthrottled",
            ),
            (email && self.goaway, "goaway: is HTTP's; for email use status 421"),
            (email && self.html, "html: is HTTP's"),
            (email && self.retry_after.is_some(), "retry_after: is HTTP's"),
            (provider == Provider::Oauth && self.to.is_some(), "to: a token request is for no device"),
            (self.environment.is_some() && !apns, "environment: only Apple has two"),
            (
                self.origin.is_some() && provider != Provider::Webpush && !email,
                "origin: only browsers name the host of their push service, and mails have a domain",
            ),
        ] {
            if wrong {
                return Err(why);
            }
        }
        Ok(())
    }
}

/// The lists as put and as shown; an absent one is left as it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultLists {
    apns: Option<Vec<Fault>>,
    fcm: Option<Vec<Fault>>,
    oauth: Option<Vec<Fault>>,
    webpush: Option<Vec<Fault>>,
    email: Option<Vec<Fault>>,
    webhook: Option<Vec<Fault>>,
    slack: Option<Vec<Fault>>,
    sms: Option<Vec<Fault>>,
    telegram: Option<Vec<Fault>>,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<FaultLists>);

impl Faults {
    /// Replaces the lists given; an empty one clears.
    ///
    /// # Errors
    /// What is wrong, by field; then nothing was replaced.
    pub(crate) fn put(&self, body: &[u8]) -> Result<(), String> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let lists: FaultLists =
            serde_path_to_error::deserialize(&mut json).map_err(|error| error.to_string())?;
        json.end().map_err(|error| error.to_string())?;
        let named = [
            ("apns", Provider::Apns, &lists.apns),
            ("fcm", Provider::Fcm, &lists.fcm),
            ("oauth", Provider::Oauth, &lists.oauth),
            ("webpush", Provider::Webpush, &lists.webpush),
            ("email", Provider::Email, &lists.email),
            ("webhook", Provider::Webhook, &lists.webhook),
            ("slack", Provider::Slack, &lists.slack),
            ("sms", Provider::Sms, &lists.sms),
            ("telegram", Provider::Telegram, &lists.telegram),
        ];
        for (name, provider, list) in named {
            let list = list.as_deref().unwrap_or_default();
            if list.len() > FAULTS_MAX {
                return Err(format!("{name}: has more than {FAULTS_MAX} faults"));
            }
            for (at, fault) in list.iter().enumerate() {
                fault.check(provider).map_err(|why| format!("{name}[{at}].{why}"))?;
            }
        }
        let mut current = self.lock();
        let FaultLists { apns, fcm, oauth, webpush, email, webhook, slack, telegram, sms } = lists;
        current.apns = apns.or(current.apns.take());
        current.fcm = fcm.or(current.fcm.take());
        current.oauth = oauth.or(current.oauth.take());
        current.webpush = webpush.or(current.webpush.take());
        current.email = email.or(current.email.take());
        current.webhook = webhook.or(current.webhook.take());
        current.slack = slack.or(current.slack.take());
        current.sms = sms.or(current.sms.take());
        current.telegram = telegram.or(current.telegram.take());
        Ok(())
    }

    /// The lists in force, each with the counts that are left.
    pub(crate) fn list(&self) -> FaultLists {
        let current = self.lock();
        let shown = |list: &Option<Vec<Fault>>| Some(list.clone().unwrap_or_default());
        FaultLists {
            apns: shown(&current.apns),
            fcm: shown(&current.fcm),
            oauth: shown(&current.oauth),
            webpush: shown(&current.webpush),
            email: shown(&current.email),
            webhook: shown(&current.webhook),
            slack: shown(&current.slack),
            sms: shown(&current.sms),
            telegram: shown(&current.telegram),
        }
    }

    /// Takes the first fault of `provider` that `hits`, counting it down. A fault that does nothing, if none.
    pub(crate) fn take(&self, provider: Provider, hits: impl Fn(&Fault) -> bool) -> Fault {
        let mut current = self.lock();
        let list = match provider {
            Provider::Apns => &mut current.apns,
            Provider::Fcm => &mut current.fcm,
            Provider::Oauth => &mut current.oauth,
            Provider::Webpush => &mut current.webpush,
            Provider::Email => &mut current.email,
            Provider::Webhook => &mut current.webhook,
            Provider::Slack => &mut current.slack,
            Provider::Sms => &mut current.sms,
            Provider::Telegram => &mut current.telegram,
        };
        let list = list.get_or_insert_default();
        let Some(at) = list.iter().position(hits) else { return Fault::default() };
        let fault = list[at].clone();
        match &mut list[at].count {
            Some(1) => drop(list.remove(at)),
            Some(count) => *count -= 1,
            None => {}
        }
        fault
    }

    fn lock(&self) -> MutexGuard<'_, FaultLists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// `true` is `"before"`: the harsher reading, nothing was taken in.
fn drop_at<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DropAt>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "true, false, \"before\" or \"after\"")]
    enum Raw {
        Flag(bool),
        At(DropAt),
    }
    Ok(match Raw::deserialize(deserializer)? {
        Raw::Flag(false) => None,
        Raw::Flag(true) => Some(DropAt::Before),
        Raw::At(at) => Some(at),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (why, body, named) in [
            ("a misspelt key", r#"{"apns": [{"stauts": 500}]}"#, "stauts"),
            ("a provider nobody knows", r#"{"pager": []}"#, "pager"),
            ("no effect", r#"{"fcm": [{"count": 1}]}"#, "fcm[0].status"),
            ("the second one", r#"{"fcm": [{"status": 500}, {"status": 200}]}"#, "fcm[1].status"),
            ("answered and dropped", r#"{"apns": [{"status": 500, "drop": true}]}"#, "apns[0].drop"),
            ("dropped when?", r#"{"apns": [{"drop": "later"}]}"#, "apns[0].drop"),
            (
                "a reply of two lines",
                r#"{"email": [{"status": 550, "reason": "a\r\nb"}]}"#,
                "email[0].reason",
            ),
            (
                "Google has one environment",
                r#"{"fcm": [{"status": 500, "environment": "sandbox"}]}"#,
                "fcm[0].environment",
            ),
            (
                "Apple has two",
                r#"{"apns": [{"status": 500, "environment": "staging"}]}"#,
                "apns[0].environment",
            ),
            (
                "Apple's host is not a browser's choice",
                r#"{"apns": [{"status": 500, "origin": "localhost"}]}"#,
                "apns[0].origin",
            ),
            ("SMTP has no GOAWAY", r#"{"email": [{"goaway": true}]}"#, "email[0].goaway"),
            ("never hits", r#"{"apns": [{"status": 500, "count": 0}]}"#, "apns[0].count"),
            ("for ever", r#"{"apns": [{"delay_ms": 600001}]}"#, "apns[0].delay_ms"),
            ("not JSON", "{", "EOF"),
            ("more than one value", "{} {}", "trailing"),
        ] {
            let faults = Faults::default();
            let error = faults.put(body.as_bytes()).unwrap_err();
            assert!(error.contains(named), "{why}: {error}");
            assert_eq!(faults.take(Provider::Apns, |_| true), Fault::default(), "{why}: nothing was put");
        }
    }

    #[test]
    fn the_first_that_is_for_the_request_hits_and_counts_down() {
        let faults = Faults::default();
        faults
            .put(br#"{"email": [{"status": 550, "to": "Bo@x.org"}, {"status": 451, "count": 1}]}"#)
            .unwrap();
        let status = |to: &str| faults.take(Provider::Email, |fault| fault.is_for(to)).status;
        assert_eq!(status("ana@x.org"), Some(451), "not for her, so the second");
        assert_eq!(status("ana@x.org"), None, "counted down");
        assert_eq!([status("bo@x.org"), status("bo@x.org")], [Some(550); 2], "until cleared");
        faults.put(br#"{"apns": [{"drop": true}]}"#).unwrap();
        assert_eq!(status("bo@x.org"), Some(550), "another provider's list leaves this one");
        faults.put(br#"{"email": []}"#).unwrap();
        assert_eq!(status("bo@x.org"), None, "cleared");
        assert_eq!(faults.take(Provider::Apns, |_| true).drop, Some(DropAt::Before));
    }

    #[test]
    fn a_fault_hits_only_what_all_its_selectors_name() {
        let faults = Faults::default();
        faults.put(br#"{"apns": [{"status": 403, "to": "a1", "environment": "sandbox"}], "webpush": [{"status": 403, "origin": "Push.example"}]}"#).unwrap();
        let apns = |to: &str, environment| {
            let hits = |fault: &Fault| fault.is_for(to) && fault.is_for_environment(environment);
            faults.take(Provider::Apns, hits).status
        };
        assert_eq!(apns("a1", Environment::Sandbox), Some(403));
        assert_eq!(apns("a1", Environment::Production), None, "the other environment");
        assert_eq!(apns("b2", Environment::Sandbox), None, "another phone");
        let webpush = |host: &str| faults.take(Provider::Webpush, |fault| fault.is_for_origin(host)).status;
        assert_eq!((webpush("push.example"), webpush("localhost")), (Some(403), None));
    }
}
