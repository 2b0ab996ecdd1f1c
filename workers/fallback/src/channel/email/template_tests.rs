//! Tests of `email_template`: what is said, in which words, and what a team's folder changes.

#![allow(clippy::unwrap_used)]

use std::fs;

use tempfile::TempDir;

use super::*;

fn alert() -> AlertContent {
    AlertContent {
        title: "Disk is full".into(),
        user: "ana".into(),
        tenant: "acme".into(),
        severity: Severity::Critical,
        occurred_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        ..sample(Some("Node 7 has 2 % left".into()))
    }
}

fn built_in() -> Templates {
    Templates::load(None).unwrap()
}

fn reader(lang: &str) -> Reader<'_> {
    Reader { lang, zone: TimeZone::UTC }
}

fn links(open: &str) -> Links<'_> {
    Links { open: Some(open), ..Links::default() }
}

/// A folder that goes with the test.
struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    fn load(&self) -> Result<Templates, SetupError> {
        Templates::load(Some(self.0.path()))
    }
}

#[test]
fn an_email_says_the_same_in_text_and_html() {
    let parts = built_in().render(&alert(), links("https://example.org/nodes/7"), &reader("de-AT")).unwrap();
    for text in [&parts.text, &parts.html] {
        for part in ["Disk is full", "Node 7 has 2 % left", "Kritisch", "2026-11-21 10:00 UTC", "ana", "acme"]
        {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
    assert_eq!(parts.subject, "[Kritisch] Disk is full");
    assert!(parts.text.contains("https://example.org/nodes/7"));
    assert!(parts.html.contains(r#"<html lang="de-AT">"#), "{}", parts.html);
    let least = AlertContent { body: None, category: None, ..alert() };
    let parts = built_in().render(&least, Links::default(), &reader("en")).unwrap();
    assert!(
        !parts.html.contains("<a ")
            && !parts.html.to_lowercase().replace("display:none", "").contains("none"),
        "{}",
        parts.html
    );
    assert!(!parts.text.to_lowercase().contains("none"), "{}", parts.text);
}

#[test]
fn a_time_is_told_on_the_readers_clock() {
    for (zone, expected) in [
        (TimeZone::UTC, "2026-11-21 10:00 UTC"),
        (TimeZone::get("Europe/Warsaw").unwrap(), "2026-11-21 11:00 CET"),
        (TimeZone::get("America/New_York").unwrap(), "2026-11-21 05:00 EST"),
        (TimeZone::get("Asia/Kathmandu").unwrap(), "2026-11-21 15:45 +0545"),
    ] {
        let parts = built_in().render(&alert(), Links::default(), &Reader { lang: "en", zone }).unwrap();
        for text in [&parts.text, &parts.html] {
            assert!(text.contains(expected), "{expected} is missing in {text}");
        }
    }
}

/// It leads to a page that asks, because programs follow every link of a mail.
#[test]
fn a_mail_has_a_button_by_which_its_alert_is_acknowledged() {
    let acknowledge = Some("https://alerts.example/v1/answers/t");
    for (links, lang, expected) in [
        (Links { acknowledge, ..Links::default() }, "en", Some("Acknowledge")),
        (Links { acknowledge, ..links("https://example.org/") }, "de", Some("Quittieren")),
        (links("https://example.org/"), "en", None),
    ] {
        let parts = built_in().render(&alert(), links, &reader(lang)).unwrap();
        let text = expected.map(|word| format!("\n{word}: https://alerts.example/v1/answers/t\n"));
        assert!(text.is_none_or(|line| parts.text.contains(&line)), "{}", parts.text);
        assert_eq!(
            parts.html.contains("&#x2f;v1&#x2f;answers&#x2f;t\""),
            expected.is_some(),
            "{}",
            parts.html
        );
        assert_eq!(parts.text.contains("/v1/answers/"), expected.is_some(), "{}", parts.text);
    }
}

#[test]
fn a_list_of_mails_shows_how_the_body_begins() {
    let preheader = |content: &AlertContent| {
        let html = built_in().render(content, Links::default(), &reader("en")).unwrap().html;
        let (_, rest) = html.split_once("mso-hide:all\">").unwrap();
        rest.split_once("</div>").unwrap().0.to_owned()
    };
    for (why, body, expected) in [
        ("on one line", Some("Node 7\n has  <2 %"), "Node 7 has &lt;2 %"),
        ("no body", None, "You get this email because the alert was not seen on a screen or a phone."),
    ] {
        assert_eq!(preheader(&AlertContent { body: body.map(str::to_owned), ..alert() }), expected, "{why}");
    }
    let long = preheader(&AlertContent { body: Some("ü".repeat(5_000)), ..alert() });
    assert!(long.len() <= PREHEADER_BYTES_MAX + '…'.len_utf8() && long.ends_with('…'), "{long}");
    let markup =
        AlertContent { body: Some("**2 %** left".into()), body_format: BodyFormat::Markdown, ..alert() };
    assert_eq!(preheader(&markup), "2 % left");
}

#[test]
fn a_language_without_words_is_english_and_an_info_has_no_mark() {
    for (lang, severity, subject) in [
        ("en", Severity::Critical, "[Critical] Disk is full"),
        ("DE", Severity::Warning, "[Warnung] Disk is full"),
        ("fr-CA", Severity::Warning, "[Avertissement] Disk is full"),
        ("es", Severity::Critical, "[Crítico] Disk is full"),
        ("tlh", Severity::Warning, "[Warning] Disk is full"),
        ("en", Severity::Info, "Disk is full"),
    ] {
        let parts = built_in()
            .render(&AlertContent { severity, ..alert() }, Links::default(), &reader(lang))
            .unwrap();
        assert_eq!(parts.subject, subject, "{lang}");
    }
}

#[test]
fn what_producers_write_is_not_html() {
    let evil = "<script>alert('&')</script>\" onload=\"x";
    let content = AlertContent {
        title: evil.into(),
        body: Some(evil.into()),
        category: Some(evil.into()),
        tenant: evil.into(),
        user: evil.into(),
        ..alert()
    };
    // A team's own file is escaped too, whatever language it is for.
    let folder = Folder::with(&[("email.de.html", "<p>{{ title }}</p>{{ body }}")]);
    let theirs = folder.load().unwrap();
    for (templates, lang) in [(&built_in(), "en"), (&theirs, "de")] {
        let parts = templates.render(&content, links("https://x/?a=\"><script>"), &reader(lang)).unwrap();
        assert!(!parts.html.contains("<script"), "{}", parts.html);
        assert!(!parts.html.contains("\" onload"), "{}", parts.html);
        assert!(parts.text.contains(evil), "plain text stays as it is");
    }
}

#[test]
fn a_team_replaces_what_it_likes_for_everybody_or_for_one_language() {
    let folder = Folder::with(&[
        ("subject.txt", "ACME: {{ title }}"),
        ("subject.de.txt", "ACME meldet: {{ title }}"),
        ("subject.de-AT.txt", "Servus: {{ title }}"),
        ("README.md", "{{ not a template"),
    ]);
    let templates = folder.load().unwrap();
    for (lang, subject) in [
        ("en", "ACME: Disk is full"),
        ("de", "ACME meldet: Disk is full"),
        ("de-CH", "ACME meldet: Disk is full"),
        ("de-AT", "Servus: Disk is full"),
    ] {
        let parts = templates.render(&alert(), Links::default(), &reader(lang)).unwrap();
        assert_eq!(parts.subject, subject, "{lang}");
        assert!(parts.html.contains("Node 7"), "the rest is built in");
    }
}

#[test]
fn a_template_that_does_not_work_is_told_of_at_the_start() {
    for (why, name, source) in [
        ("not a template", "email.html", "{% if title %}"),
        ("a name that there is not", "email.txt", "{{ titel }}"),
        ("only without a body", "email.txt", "{{ body.upper() }}"),
        (
            "without end",
            "email.html",
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}",
        ),
        ("far too large", "email.html", &"x".repeat(300 * 1024)),
    ] {
        let Err(error) = Folder::with(&[(name, source)]).load() else { panic!("{why}") };
        assert!(error.to_string().contains(name), "{why}: {error}");
    }
    assert!(Templates::load(Some(Path::new("/nowhere/at/all"))).is_err());
}

#[test]
fn a_mail_has_the_buttons_the_picture_and_the_markup_of_the_alert() {
    let button = |id: &str, link: Option<&str>, answer: Option<&str>| Button {
        id: id.into(),
        title: format!("<{id}>"),
        link: link.map(str::to_owned),
        answer: answer.map(str::to_owned),
    };
    let content = AlertContent {
        body: Some(
            "**2 %** left <b>now</b>\nsee [it](https://example.org/x?a=1&b=2) or [that](javascript:x)".into(),
        ),
        body_format: BodyFormat::Markdown,
        image: Some("https://example.org/a.png?x=\"1".into()),
        actions: vec![
            button("approve", Some("https://alerts.example/v1/answers/t?action=approve"), Some("yes")),
            button("runbook", Some("https://example.org/r"), None),
            button("nowhere", None, Some("no")),
        ],
        ..alert()
    };
    let parts = built_in().render(&content, Links::default(), &reader("en")).unwrap();
    for expected in [
        "<strong>2 %</strong> left &lt;b&gt;now&lt;/b&gt;<br>",
        "<a href=\"https://example.org/x?a=1&amp;b=2\" rel",
        "[that](javascript:x)",
        "href=\"https:&#x2f;&#x2f;alerts.example&#x2f;v1&#x2f;answers&#x2f;t?action=approve\"",
        "&lt;approve&gt;</a>",
        "&lt;runbook&gt;</a>",
    ] {
        assert!(parts.html.contains(expected), "{expected} is missing in {}", parts.html);
    }
    assert!(parts.html.contains("<img src=") && !parts.html.contains("a.png?x=\""), "{}", parts.html);
    assert!(!parts.html.contains("nowhere"), "a button that leads nowhere is none: {}", parts.html);
    for expected in [
        "2 % left <b>now</b>\nsee it (https://example.org/x?a=1&b=2) or [that](javascript:x)",
        "<approve>: https://alerts.example/v1/answers/t?action=approve",
        "<runbook>: https://example.org/r",
    ] {
        assert!(parts.text.contains(expected), "{expected} is missing in {}", parts.text);
    }
    let plain = AlertContent { body_format: BodyFormat::Text, ..content };
    let parts = built_in().render(&plain, Links::default(), &reader("en")).unwrap();
    assert!(parts.html.contains("**2 %** left"), "text is text: {}", parts.html);
}
