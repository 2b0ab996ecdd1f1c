//! What the relay offers beyond SMTP itself (the extensions that EHLO lists), each of which can be taken away.
//!
//! What holds here: a relay refuses what it does not offer, as a strict one does: parameters, commands, eight-bit text, addresses
//! beyond ASCII, commands that are sent ahead.
//!
//! Elsewhere: the conversation, in `smtp`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// One extension, as EHLO names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Extension {
    #[serde(rename = "PIPELINING")]
    Pipelining,
    #[serde(rename = "8BITMIME")]
    EightBitMime,
    #[serde(rename = "SMTPUTF8")]
    SmtpUtf8,
    #[serde(rename = "ENHANCEDSTATUSCODES")]
    EnhancedStatusCodes,
    #[serde(rename = "DSN")]
    Dsn,
    #[serde(rename = "CHUNKING")]
    Chunking,
    #[serde(rename = "STARTTLS")]
    StartTls,
    #[serde(rename = "AUTH")]
    Auth,
    #[serde(rename = "SIZE")]
    Size,
}

/// A way to sign in. The relay knows the first two; it may list the others, as relays do that take no passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "LOGIN")]
    Login,
    #[serde(rename = "CRAM-MD5")]
    CramMd5,
    #[serde(rename = "XOAUTH2")]
    XOAuth2,
}

impl Mechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::XOAuth2 => "XOAUTH2",
        }
    }
}

/// `GET` and `PUT /relay`: everything is offered but what is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RelayOffer {
    /// What is not offered.
    without: BTreeSet<Extension>,
    /// How one may sign in.
    auth: Vec<Mechanism>,
}

impl Default for RelayOffer {
    fn default() -> Self {
        Self { without: BTreeSet::new(), auth: vec![Mechanism::Plain, Mechanism::Login] }
    }
}

/// What new connections are offered.
#[derive(Debug, Default)]
pub(crate) struct CurrentOffer(Mutex<RelayOffer>);

impl CurrentOffer {
    pub(crate) fn get(&self) -> RelayOffer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn put(&self, offer: RelayOffer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = offer;
    }
}

impl RelayOffer {
    pub(crate) fn has(&self, extension: Extension) -> bool {
        !self.without.contains(&extension)
    }

    pub(crate) fn takes(&self, mechanism: &str) -> bool {
        let named = |it: &Mechanism| it.name().eq_ignore_ascii_case(mechanism);
        self.has(Extension::Auth) && self.auth.iter().any(named)
    }

    /// The answer to EHLO.
    pub(crate) fn ehlo(&self, host: &str, is_secure: bool, message_max: usize) -> String {
        let mechanisms: Vec<_> = self.auth.iter().map(|mechanism| mechanism.name()).collect();
        let mut lines = vec![host.to_owned()];
        for (extension, line) in [
            (Extension::Pipelining, "PIPELINING".to_owned()),
            (Extension::EightBitMime, "8BITMIME".to_owned()),
            (Extension::SmtpUtf8, "SMTPUTF8".to_owned()),
            (Extension::EnhancedStatusCodes, "ENHANCEDSTATUSCODES".to_owned()),
            (Extension::Dsn, "DSN".to_owned()),
            (Extension::Chunking, "CHUNKING".to_owned()),
            (Extension::StartTls, "STARTTLS".to_owned()),
            (Extension::Auth, format!("AUTH {}", mechanisms.join(" "))),
            (Extension::Size, format!("SIZE {message_max}")),
        ] {
            if self.has(extension) && !(extension == Extension::StartTls && is_secure) {
                lines.push(line);
            }
        }
        let last = lines.len() - 1;
        let numbered = lines.iter().enumerate().map(|(at, line)| {
            let mark = if at == last { ' ' } else { '-' };
            format!("250{mark}{line}")
        });
        numbered.collect::<Vec<_>>().join("\r\n")
    }

    /// Why a parameter of MAIL or RCPT is refused, if one is.
    pub(crate) fn refusal_of(&self, parameters: &str) -> Option<&'static str> {
        let needed = |parameter: &str| match parameter.split('=').next()?.to_ascii_uppercase().as_str() {
            "SIZE" => Some(Extension::Size),
            "BODY" => Some(Extension::EightBitMime),
            "SMTPUTF8" => Some(Extension::SmtpUtf8),
            "RET" | "ENVID" | "NOTIFY" | "ORCPT" => Some(Extension::Dsn),
            "AUTH" => Some(Extension::Auth),
            _ => None,
        };
        let is_known = |parameter: &str| needed(parameter).is_some_and(|extension| self.has(extension));
        let mut parameters = parameters.split_ascii_whitespace();
        (!parameters.all(is_known)).then_some("555 5.5.4 There is no such parameter")
    }

    /// A reply as this relay words it: with enhanced status codes, or without.
    pub(crate) fn worded<'a>(&self, reply: &'a str) -> Cow<'a, str> {
        if self.has(Extension::EnhancedStatusCodes) {
            return Cow::Borrowed(reply);
        }
        let bare = |line: &str| {
            let (code, text) = line.split_at_checked(4)?;
            let (status, text) = text.split_once(' ')?;
            let is_status =
                status.split('.').count() == 3 && status.split('.').all(|part| part.parse::<u16>().is_ok());
            is_status.then(|| format!("{code}{text}"))
        };
        let lines = reply.split("\r\n").map(|line| bare(line).unwrap_or_else(|| line.to_owned()));
        Cow::Owned(lines.collect::<Vec<_>>().join("\r\n"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn offer(json: &str) -> RelayOffer {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_taken_away_is_not_listed() {
        let all = RelayOffer::default().ehlo("relay", false, 10);
        assert!(
            all.starts_with("250-relay\r\n250-PIPELINING\r\n") && all.ends_with("\r\n250 SIZE 10"),
            "{all}"
        );
        assert!(!RelayOffer::default().ehlo("relay", true, 10).contains("STARTTLS"), "once it is secure");
        let some = offer(r#"{"without": ["SIZE", "STARTTLS"], "auth": ["XOAUTH2"]}"#);
        let listed = some.ehlo("relay", false, 10);
        assert!(listed.ends_with("\r\n250 AUTH XOAUTH2") && !listed.contains("STARTTLS"), "{listed}");
        let all = r#"["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING", "STARTTLS", "AUTH", "SIZE"]"#;
        assert_eq!(offer(&format!(r#"{{"without": {all}}}"#)).ehlo("relay", false, 10), "250 relay");
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        let without = |name: &str| offer(&format!(r#"{{"without": ["{name}"]}}"#));
        for (parameter, extension) in [
            ("SIZE=5", "SIZE"),
            ("BODY=8BITMIME", "8BITMIME"),
            ("SMTPUTF8", "SMTPUTF8"),
            ("NOTIFY=FAILURE", "DSN"),
            ("RET=HDRS", "DSN"),
        ] {
            assert_eq!(RelayOffer::default().refusal_of(parameter), None, "{parameter}");
            assert!(without(extension).refusal_of(parameter).is_some(), "{parameter}");
        }
        assert!(RelayOffer::default().refusal_of("SIZE=5 COLOUR=RED").is_some(), "nobody knows it");
        assert!(!without("AUTH").takes("PLAIN") && RelayOffer::default().takes("plain"));
        assert!(!offer(r#"{"auth": ["LOGIN"]}"#).takes("PLAIN"));
    }

    #[test]
    fn a_reply_loses_its_enhanced_status() {
        let bare = offer(r#"{"without": ["ENHANCEDSTATUSCODES"]}"#);
        for (reply, expected) in [
            ("550 5.1.1 no such user", "550 no such user"),
            ("550-5.1.1 no\r\n550 5.1.1 such user", "550-no\r\n550 such user"),
            ("220 localhost ESMTP", "220 localhost ESMTP"),
            ("250 192.168.1.1 greets", "250 192.168.1.1 greets"),
            ("354 End", "354 End"),
        ] {
            assert_eq!(bare.worded(reply), expected);
            assert_eq!(RelayOffer::default().worded(reply), reply);
        }
    }
}
