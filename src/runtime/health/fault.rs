//! Why a part does not work, in plain words, and what to do about it.
//!
//! A fault never holds an address, a name or a secret (I12): it is made of our own words, and `/readyz` may be asked by
//! anybody.

use std::{borrow::Cow, error::Error, io};

use serde::Serialize;

/// A cause with its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What is wrong.
    pub cause: Cow<'static, str>,
    /// What the operator does about it, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

impl Fault {
    /// A fault that somebody has to mend.
    pub fn new(cause: impl Into<Cow<'static, str>>, remedy: &'static str) -> Self {
        Self { cause: cause.into(), remedy: Some(remedy) }
    }

    /// A fault that passes by itself, or whose remedy is in its cause.
    pub fn passing(cause: impl Into<Cow<'static, str>>) -> Self {
        Self { cause: cause.into(), remedy: None }
    }

    /// Why `service` (PostgreSQL, RabbitMQ), whose address is in the setting `setting`, could not be reached.
    pub fn of_io(service: &str, setting: &'static str, error: &io::Error) -> Self {
        // Libraries wrap one error into another, and the kind of the outer one says little.
        let text = chain(error);
        let (cause, remedy) = match error.kind() {
            _ if text.contains("lookup address") || text.contains("resolve") => {
                ("its host name is not found", "correct the host name, or the name server of this machine")
            }
            _ if is_about_tls(&text) => (
                "the TLS connection cannot be made",
                "the server must speak TLS and show a certificate that this machine trusts",
            ),
            io::ErrorKind::ConnectionRefused => {
                ("the connection is refused", "start it, or correct the port")
            }
            io::ErrorKind::TimedOut => ("it does not answer", "look at it, and at the network in between"),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                ("there is no way to its network", "look at the network in between")
            }
            _ => return Self::passing(format!("{service} cannot be reached: the connection broke off")),
        };
        Self::new(format!("{service} cannot be reached: {cause} ({setting})"), remedy)
    }
}

/// Whether an error's text is one of a TLS library.
fn is_about_tls(text: &str) -> bool {
    ["certificate", "tls", "handshake", "InvalidContentType", "corrupt message"]
        .iter()
        .any(|word| text.to_lowercase().contains(&word.to_lowercase()))
}

/// An error's text with those of its causes, for looking into; never to be shown.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

#[test]
fn what_is_wrong_on_the_way_is_said_in_plain_words() {
    let error = |kind, text: &'static str| io::Error::new(kind, text);
    for (error, expected) in [
        (error(io::ErrorKind::ConnectionRefused, "os error 111"), "the connection is refused (store.url)"),
        (
            error(io::ErrorKind::Other, "failed to lookup address information: Name or service not known"),
            "its host name is not found (store.url)",
        ),
        (error(io::ErrorKind::TimedOut, "timed out"), "it does not answer (store.url)"),
        (
            error(io::ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer"),
            "the TLS connection cannot be made (store.url)",
        ),
        (error(io::ErrorKind::BrokenPipe, "secret.example.com"), "the connection broke off"),
    ] {
        let fault = Fault::of_io("PostgreSQL", "store.url", &error);
        assert_eq!(fault.cause, format!("PostgreSQL cannot be reached: {expected}"));
    }
}
