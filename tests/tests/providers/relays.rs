//! Relays with and without each extension of SMTP: what each takes of our mails, and what we make of the rest.

use serde_json::{Value, json};
use watchbell_fallback::channel::{EmailConfig, EmailTls, SmtpSender};

use crate::fixture::{ProviderFixture, mail, now};

/// Everything that the relay may leave out.
const EXTENSIONS: [&str; 9] = [
    "PIPELINING",
    "8BITMIME",
    "SMTPUTF8",
    "ENHANCEDSTATUSCODES",
    "DSN",
    "CHUNKING",
    "STARTTLS",
    "AUTH",
    "SIZE",
];
const ACCEPTED: &str = "accepted";

/// How we are told to talk to a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// STARTTLS, and a password.
    Usual,
    /// STARTTLS without a password.
    WithoutPassword,
    /// Nothing that a relay of the plainest kind would not have.
    Plain,
}

/// What becomes of a mail to an address of ASCII, and to one beyond it.
type Outcomes = (&'static str, &'static str);

/// What a relay without this extension makes of our mails: the specification.
fn without(extension: &str, told: Told) -> Outcomes {
    match (extension, told) {
        // An address beyond ASCII stands in the head as it is, which is text of eight bits (RFC 6531, section 3.1).
        ("SMTPUTF8" | "8BITMIME", _) => (ACCEPTED, "rejected"),
        // What was asked for is not left out in silence: a mail would go out in the open, or without a name.
        ("STARTTLS", Told::Usual | Told::WithoutPassword) | ("AUTH", Told::Usual) => {
            ("config_fault", "config_fault")
        }
        // We send no command ahead of an answer, our mails are of seven bits and in one piece, and ask for no reports. And a
        // relay need not offer what the settings do not ask for.
        ("PIPELINING" | "CHUNKING" | "DSN" | "SIZE" | "ENHANCEDSTATUSCODES" | "STARTTLS" | "AUTH", _) => {
            (ACCEPTED, ACCEPTED)
        }
        _ => unreachable!("{extension} is in the table"),
    }
}

fn sender(fixture: &ProviderFixture, told: Told) -> SmtpSender {
    let config = fixture.email_config();
    let config = match told {
        Told::Usual => config,
        Told::WithoutPassword => EmailConfig { username: None, password: None, ..config },
        Told::Plain => EmailConfig { username: None, password: None, tls: EmailTls::None, ..config },
    };
    SmtpSender::new(&config).unwrap()
}

/// What becomes of both mails at a relay like this.
async fn outcomes(fixture: &ProviderFixture, offer: &Value, told: Told) -> (String, String) {
    fixture.offer(offer).await;
    let sender = sender(fixture, told);
    let outcome = async |to: &str| {
        let mut job = mail(to, "x");
        job.content.title = "Größe über Żółw".into();
        match sender.send_mail(&job, now()).await {
            Ok(_) => ACCEPTED.to_owned(),
            Err(error) => error.code().to_owned(),
        }
    };
    let ascii = outcome("ana@watchbell.test").await;
    assert_eq!(outcome("ana@bücher.test").await, ascii, "a domain has a form in ASCII: {offer}");
    (ascii, outcome("żółw@watchbell.test").await)
}

#[tokio::test]
async fn a_relay_without_an_extension_gets_what_it_can_take() {
    let fixture = ProviderFixture::start().await;
    let mut expected_mails = 0;
    let mut check = async |offer: Value, told, expected: Outcomes| {
        let found = outcomes(&fixture, &offer, told).await;
        assert_eq!((found.0.as_str(), found.1.as_str()), expected, "{offer} {told:?}");
        expected_mails +=
            [expected.0, expected.0, expected.1].iter().filter(|outcome| **outcome == ACCEPTED).count();
    };
    check(json!({}), Told::Usual, (ACCEPTED, ACCEPTED)).await;
    for extension in EXTENSIONS {
        for told in [Told::Usual, Told::WithoutPassword, Told::Plain] {
            check(json!({"without": [extension]}), told, without(extension, told)).await;
        }
    }
    check(json!({"without": EXTENSIONS}), Told::Usual, ("config_fault", "config_fault")).await;
    check(json!({"without": EXTENSIONS}), Told::Plain, (ACCEPTED, "rejected")).await;
    for (mechanisms, outcome) in [
        (vec!["PLAIN"], ACCEPTED),
        (vec!["LOGIN"], ACCEPTED),
        (vec!["CRAM-MD5", "LOGIN"], ACCEPTED),
        (vec!["CRAM-MD5", "XOAUTH2"], "config_fault"),
    ] {
        check(json!({"auth": mechanisms}), Told::Usual, (outcome, outcome)).await;
    }
    assert_eq!(fixture.arrivals().await.len(), expected_mails, "what was accepted arrived");
    fixture.stop().await;
}

/// Without enhanced status codes a refusal is read from its code alone, and says nothing of the address.
#[tokio::test]
async fn a_relay_without_enhanced_status_codes_refuses_a_message_and_no_address() {
    let fixture = ProviderFixture::start().await;
    for (offer, expected) in
        [(json!({}), "address_refused"), (json!({"without": ["ENHANCEDSTATUSCODES"]}), "rejected")]
    {
        fixture.offer(&offer).await;
        fixture.faults(json!({"email": [{"status": 550, "reason": "5.1.1 no such user", "count": 1}]})).await;
        let job = mail("ana@watchbell.test", "x");
        let refused = sender(&fixture, Told::Usual).send_mail(&job, now()).await.unwrap_err();
        assert_eq!(refused.code(), expected, "{offer}: {refused}");
    }
    fixture.stop().await;
}

/// A mail whose sender is beyond ASCII needs the extension as well.
#[tokio::test]
async fn an_old_relay_takes_no_sender_beyond_ascii() {
    let fixture = ProviderFixture::start().await;
    let config = EmailConfig { from: "Watchbell <żółw@watchbell.test>".into(), ..fixture.email_config() };
    for (offer, is_taken) in [(json!({"without": ["SMTPUTF8"]}), false), (json!({}), true)] {
        fixture.offer(&offer).await;
        // A connection is kept with what it was offered, so each has its own.
        let sender = SmtpSender::new(&config).unwrap();
        let sent = sender.send_mail(&mail("ana@watchbell.test", "x"), now()).await;
        assert_eq!(sent.is_ok(), is_taken, "{offer}: {sent:?}");
    }
    fixture.stop().await;
}
