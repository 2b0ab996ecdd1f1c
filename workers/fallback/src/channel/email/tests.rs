//! Tests of `email`: the head of the message, and where its button leads.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::channel::{Disposition, Severity};

fn config() -> EmailConfig {
    EmailConfig {
        host: "127.0.0.1".into(),
        port: 25,
        tls: EmailTls::None,
        username: None,
        password: None,
        from: "Watchbell <alerts@example.org>".into(),
        link_base: Some("https://app.example.org/inbox/".into()),
        unsubscribe_secret: Some(Secret::from("a-secret-of-tests")),
        templates_dir: None,
        trust_root_pem: None,
        timeout: Duration::from_secs(5),
        connections_max: 2,
        message_id_domain: "example.org".into(),
        bounce_domain: None,
        reply_acknowledges: false,
        dkim: None,
    }
}

fn job() -> EmailJob {
    EmailJob {
        attempt: "0198F3C2-0000-7000-8000-00000000000a".parse().unwrap(),
        to: Secret::from("ana@example.net"),
        content: AlertContent {
            alert: "a-1".into(),
            user: "ana".into(),
            tenant: "Acme-Inc".into(),
            title: "Disk is full".into(),
            body: Some(".hidden\nsecond line".into()),
            url: None,
            severity: Severity::Critical,
            status: crate::channel::Status::Firing,
            data: serde_json::Map::new(),
            category: None,
            collapse_key: "a-1".into(),
            group_key: None,
            body_format: Default::default(),
            image: None,
            actions: Vec::new(),
            answers_at: None,
            is_mandatory: false,
            is_to_acknowledge: false,
            expires_at: Timestamp::UNIX_EPOCH,
            occurred_at: Timestamp::UNIX_EPOCH,
            unread: 3,
        },
        locale: Some("de-AT".into()),
        zone: None,
        acknowledge_at: None,
    }
}

/// The message with folded header lines joined, and its head's lines.
fn compose(job: &EmailJob) -> (String, Vec<String>) {
    let sender = SmtpSender::new(&config()).unwrap();
    let to = job.to.expose().parse().unwrap();
    let message = sender.compose(job, &to, Timestamp::UNIX_EPOCH).unwrap();
    let head = message.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    let lines = head.split("\r\n").map(str::to_owned).collect();
    (message, lines)
}

#[test]
fn the_head_identifies_the_attempt_and_the_alert() {
    let (message, head) = compose(&job());
    let thread = thread_id(&job().content);
    for line in [
        "From: Watchbell <alerts@example.org>".to_owned(),
        "To: ana@example.net".to_owned(),
        "Subject: [Kritisch] Disk is full".to_owned(),
        "Date: Thu, 01 Jan 1970 00:00:00 +0000".to_owned(),
        "Message-ID: <0198f3c2-0000-7000-8000-00000000000a@example.org>".to_owned(),
        format!("In-Reply-To: <alert-{thread}@example.org>"),
        format!("References: <alert-{thread}@example.org>"),
        "Auto-Submitted: auto-generated".to_owned(),
        "X-Auto-Response-Suppress: All".to_owned(),
        "List-Id: <acme-inc.alerts.example.org>".to_owned(),
        "Content-Language: de-AT".to_owned(),
        "Feedback-ID: alert:acme-inc:critical:watchbell".to_owned(),
        "X-Watchbell-Alert: a-1".to_owned(),
        "X-Watchbell-User: ana".to_owned(),
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click".to_owned(),
    ] {
        assert!(head.contains(&line), "{line} is missing in {head:#?}");
    }
    let link = head.iter().find_map(|line| line.strip_prefix("List-Unsubscribe: <")).unwrap();
    assert!(link.starts_with("https://app.example.org/v1/unsubscribe/"), "{link}");
    assert!(message.contains("multipart/alternative"));
    let (text, html) = (message.find("text/plain").unwrap(), message.find("text/html").unwrap());
    assert!(text < html, "the text comes first");
}

/// Only Postmark makes something of its metadata.
#[test]
fn metadata_goes_to_the_relay_that_repeats_it() {
    for (host, expected) in [("smtp.postmarkapp.com", true), ("smtp.example.com", false)] {
        let sender = SmtpSender::new(&EmailConfig { host: host.into(), ..config() }).unwrap();
        let to = job().to.expose().parse().unwrap();
        let mail = sender.compose(&job(), &to, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(mail.contains("X-PM-Metadata-watchbell: b-"), expected, "{host}");
    }
}

#[test]
fn a_retry_and_a_later_version_keep_their_ids() {
    let same = |line: &str| line.starts_with("Message-ID") || line.starts_with("References");
    let (mut later, first) = (job(), compose(&job()).1);
    later.content.title = "Disk is still full".into();
    let later = compose(&later).1;
    let ids = |head: &[String]| head.iter().filter(|line| same(line)).cloned().collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&later));
    assert_eq!(ids(&first).len(), 2);
}

/// Whatever a producer writes, it adds no header.
#[test]
fn no_value_breaks_out_of_its_header() {
    let evil = "x\r\nBcc: eve@example.org\r\n\r\n<h1>\u{2028}\u{0}Y";
    let (_, plain) = compose(&job());
    let mut job = job();
    for value in [
        &mut job.content.alert,
        &mut job.content.user,
        &mut job.content.tenant,
        &mut job.content.title,
        &mut job.content.collapse_key,
    ] {
        *value = evil.to_owned();
    }
    job.locale = Some("en\r\nBcc: eve@example.org".into());
    let (_, head) = compose(&job);
    let names = |head: &[String]| -> Vec<String> {
        head.iter().map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    // Names that cannot be get no link for unsubscribing either.
    let mut expected = names(&plain);
    expected.retain(|name| !name.starts_with("List-Unsubscribe"));
    assert_eq!(names(&head), expected, "{head:#?}");
}

#[test]
fn a_subject_is_the_whole_title_and_bounded_all_the_same() {
    let longest = "🔔".repeat(TITLE_CHARS_MAX);
    assert_eq!(subject_of(&longest), longest);
    let subject = subject_of(&"ü".repeat(SUBJECT_BYTES_MAX));
    assert!(subject.len() <= SUBJECT_BYTES_MAX + '…'.len_utf8() && subject.ends_with('…'));
}

/// A title that runs backwards changes neither the words before it nor what a list of mails shows behind it.
#[test]
fn a_title_that_changes_directions_stays_within_itself() {
    let mut job = job();
    job.content.title = "disk \u{202e}lluf".into();
    let (message, _) = compose(&job);
    let read = mail_parser::MessageParser::default().parse(message.as_bytes()).unwrap();
    let isolated = "\u{2068}disk \u{202e}lluf\u{202c}\u{2069}";
    assert_eq!(read.subject(), Some(&*format!("[Kritisch] {isolated}")));
    assert!(read.body_text(0).unwrap().contains(isolated));
    assert!(read.body_html(0).unwrap().contains(isolated));
}

/// The whole mail as somebody else's parser reads it.
#[test]
fn a_mail_reads_as_it_was_written() {
    let mut job = job();
    job.content.title = "  =?utf-8?Q?x?=  🔔 \"Disk\"  full ".into();
    job.content.user = "Żółw|=?x?=@auth0, Inc.".into();
    job.content.alert = "żółw:1".into();
    let (message, _) = compose(&job);
    let read = mail_parser::MessageParser::default().parse(message.as_bytes()).unwrap();
    // The parser decodes headers that it knows to be text, so ours are read under such a name.
    let header = |name: &str| {
        let renamed = message.replace("Subject:", "X-Other:").replace(&format!("{name}:"), "Subject:");
        let read = mail_parser::MessageParser::default().parse(renamed.as_bytes()).unwrap();
        read.subject().unwrap_or_default().to_owned()
    };
    assert_eq!(read.subject(), Some("[Kritisch]   =?utf-8?Q?x?=  🔔 \"Disk\"  full"));
    assert_eq!(header("X-Watchbell-User"), job.content.user);
    assert_eq!(header("X-Watchbell-Alert"), job.content.alert);
    let links = read.header_raw("List-Unsubscribe").unwrap().trim().to_owned();
    assert!(links.starts_with("<https://app.example.org/v1/unsubscribe/") && links.ends_with('>'), "{links}");
    assert!(!links.contains([' ', '\r']), "{links}");
    assert_eq!(read.message_id(), Some("0198f3c2-0000-7000-8000-00000000000a@example.org"));
}

#[test]
fn a_button_leads_to_the_web_and_relative_links_to_us() {
    let with_base = SmtpSender::new(&config()).unwrap();
    let without = SmtpSender::new(&EmailConfig { link_base: None, ..config() }).unwrap();
    let base = Some("https://app.example.org/inbox/");
    for (why, url, expected, expected_without) in [
        ("their own", Some("https://x.org/a?b=1"), Some("https://x.org/a?b=1"), Some("https://x.org/a?b=1")),
        ("relative", Some("/nodes/7"), Some("https://app.example.org/nodes/7"), None),
        ("none", None, base, None),
        ("a script", Some("javascript:alert(1)"), base, None),
        ("another host in disguise", Some("//evil.org/a"), base, None),
        ("nonsense", Some("http://["), base, None),
    ] {
        assert_eq!(with_base.link(url).as_ref().map(Url::as_str), expected, "{why}");
        assert_eq!(without.link(url).as_ref().map(Url::as_str), expected_without, "{why}");
    }
}

#[test]
fn a_wrong_setting_is_named() {
    for (setting, config) in [
        ("from", EmailConfig { from: "nobody".into(), ..config() }),
        ("message_id_domain", EmailConfig { message_id_domain: "a b".into(), ..config() }),
        ("connections_max", EmailConfig { connections_max: 0, ..config() }),
        ("link_base", EmailConfig { link_base: Some("ftp://x".into()), ..config() }),
        (
            "trust_root_pem",
            EmailConfig {
                tls: EmailTls::Implicit,
                trust_root_pem: Some("-----BEGIN CERTIFICATE-----\n".into()),
                ..config()
            },
        ),
    ] {
        let error = SmtpSender::new(&config).err().unwrap();
        assert!(error.to_string().contains(setting), "{setting}: {error}");
    }
}

/// What can be registered can be handed to a relay: the domain's parser takes nothing that lettre's does not.
#[test]
fn every_address_that_is_taken_can_be_written_to() {
    for address in [
        "ana@example.com",
        "Ana.B+ops@Example.COM",
        "ana@bücher.example",
        "żółw@example.com",
        "o'brien/ops=x@example.com",
        "!#$%&'*+-/=?^_`{|}~@example.com",
        "\"a@b\"@example.com",
        "\"a b\\\"c\"@example.com",
        "ana@mailhost",
        "ana@a.b",
        "ana@1.example",
        "ana@xn--bcher-kva.example",
        "ana@[192.0.2.1]",
        "ana@[IPv6:2001:db8::1]",
    ] {
        let to = address_of(&Secret::from(address));
        assert!(to.is_ok(), "{address}: {to:?}");
        let sender = SmtpSender::new(&config()).unwrap();
        let composed = sender.compose(&job(), &to.unwrap(), Timestamp::UNIX_EPOCH);
        assert!(composed.is_ok(), "{address}: {composed:?}");
    }
}

#[tokio::test]
async fn what_is_no_address_is_not_blamed_on_a_relay() {
    let sender = SmtpSender::new(&config()).unwrap();
    for to in ["", "ana", "ana@example.net\r\nRCPT TO:<eve@example.org>", "a b@c"] {
        let job = EmailJob { to: Secret::from(to), ..job() };
        let error = sender.send_mail(&job, Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert_eq!((error.code(), error.disposition()), ("unusable", Disposition::DropMessage), "{to:?}");
    }
}

#[test]
fn a_mail_offers_only_what_would_stop_it() {
    let head = |base: &str, is_mandatory: bool| {
        let sender = SmtpSender::new(&EmailConfig { link_base: Some(base.into()), ..config() }).unwrap();
        let mut job = job();
        job.content.is_mandatory = is_mandatory;
        let to = job.to.expose().parse().unwrap();
        sender.compose(&job, &to, Timestamp::UNIX_EPOCH).unwrap()
    };
    for (why, base, is_mandatory, link, one_click) in [
        ("over https", "https://app.example.org/", false, true, true),
        ("RFC 8058 wants https", "http://app.example.org/", false, true, false),
        ("it comes whatever they turn off", "https://app.example.org/", true, false, false),
    ] {
        let mail = head(base, is_mandatory);
        assert_eq!(mail.contains("List-Unsubscribe: "), link, "{why}");
        assert_eq!(mail.contains("List-Unsubscribe-Post: "), one_click, "{why}");
        assert_eq!(mail.contains("/v1/unsubscribe/"), link, "{why}: {mail}");
    }
    let parts = Templates::load(None).unwrap();
    let told = |is_mandatory| {
        let content = AlertContent { is_mandatory, ..job().content };
        parts.render(&content, Links::default(), &Reader { lang: "en", zone: TimeZone::UTC }).unwrap().text
    };
    let why = "also to those who turned email off";
    assert!(told(true).contains(why) && !told(false).contains(why), "{}", told(true));
}
