//! Planted faults of the configuration: each is found, and named with its remedy.

#![allow(clippy::unwrap_used)]

use super::{requirements::WORKERS, *};

/// What every worker needs.
const ENOUGH: &str = "[store]\nurl = \"postgres://ana:canary@db/w\"\n\
                      [broker]\nurl = \"amqp://ana:canary@a/w,amqp://ana:canary@b/w,amqp://ana:canary@c/w\"\n\
                      [auth]\nhs256_secret = \"canary-canary-canary-canary-canary\"\n";
const EMAIL: &str = "[email]\nhost = \"h\"\nport = 25\nfrom = \"a@b.example\"\n";

pub(super) fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

/// What is found of a configuration, as `doctor` without `--connect` finds it.
fn found(toml: &str) -> Vec<Finding> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("watchbell.toml");
    std::fs::write(&file, toml).unwrap();
    match FleetConfig::load(Some(&file), []) {
        Ok(config) => {
            let needed = WORKERS.iter().flat_map(|role| requirements::of(*role, &config));
            without_repetitions(needed.chain(advice::of(&WORKERS, &config, now())).collect())
        }
        Err(error) => vec![Finding::fail("configuration", format!("{error:#}"), "correct it")],
    }
}

/// Whether there is a finding with this verdict, of this check, that says and advises this.
pub(super) fn assert_found(
    why: &str,
    findings: &[Finding],
    verdict: Verdict,
    check: &str,
    says: &str,
    remedy: &str,
) {
    let is_it = |finding: &&Finding| {
        finding.verdict == verdict
            && finding.check.starts_with(check)
            && finding.found.contains(says)
            && finding.remedy.as_deref().unwrap_or_default().contains(remedy)
    };
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.iter().any(|finding| is_it(&finding)), "{why}:\n{}", lines.join("\n"));
    assert!(!lines.join("\n").contains("canary"), "{why}: a secret is printed:\n{}", lines.join("\n"));
}

#[tokio::test]
async fn a_configuration_that_is_whole_has_no_failure() {
    let findings = found(ENOUGH);
    assert!(findings.iter().all(|finding| finding.verdict < Verdict::Fail), "{findings:?}");
}

#[tokio::test]
async fn faults_of_the_configuration_are_named_with_their_remedies() {
    let without = |section: &str| {
        let sections = ENOUGH.split_inclusive('\n').collect::<Vec<_>>();
        sections.chunks(2).filter(|lines| lines[0].trim() != section).flatten().copied().collect::<String>()
    };
    let more = |text: &str| format!("{ENOUGH}{text}");
    let pair =
        watchbell_fallback::channel::VapidKey::parse(&"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".into())
            .unwrap();
    let half = format!("[webpush]\npublic_key = \"{}\"\nsubject = \"mailto:a@b.example\"\n", pair.public());
    let other = "[webpush]\npublic_key = \"BJgav4MO6F\"\nprivate_key = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"\nsubject = \"mailto:a@b.example\"\n";
    for (why, toml, verdict, check, says, remedy) in [
        ("no store", without("[store]"), Verdict::Fail, "store.url", "must be given", "set store.url"),
        ("no broker", without("[broker]"), Verdict::Fail, "broker.url", "must be given", "set broker.url"),
        ("nobody can sign in", without("[auth]"), Verdict::Fail, "auth", "must be given", "correct [auth]"),
        (
            "a store of another kind",
            ENOUGH.replace("postgres:", "mysql:"),
            Verdict::Fail,
            "store.url",
            "must begin with postgres://",
            "correct it",
        ),
        (
            "a broker that is a web page",
            ENOUGH.replace("amqp://ana:canary@b", "http://ana:canary@b"),
            Verdict::Fail,
            "broker.url",
            "broker URL 2 is not like amqp://",
            "correct it",
        ),
        (
            "one node of three",
            ENOUGH.replace(",amqp://ana:canary@b/w,amqp://ana:canary@c/w", ""),
            Verdict::Warn,
            "broker.url nodes",
            "names 1",
            "name three nodes",
        ),
        (
            "trust roots that are not there",
            ENOUGH.replace("[auth]", "trust_root_file = \"/no/such.pem\"\n[auth]"),
            Verdict::Fail,
            "broker.trust_root_file",
            "cannot be read",
            "correct the path",
        ),
        (
            "a client certificate without its key",
            ENOUGH.replace("[auth]", &format!("client_certificate = '''{}'''\n[auth]", certificate(2036))),
            Verdict::Fail,
            "broker.url",
            "must hold a certificate and its private key",
            "correct it",
        ),
        (
            "half a key of browsers",
            more(&half),
            Verdict::Fail,
            "channels",
            "webpush.private_key is not configured",
            "correct that section",
        ),
        (
            "keys of browsers that are no pair",
            more(other),
            Verdict::Fail,
            "channels",
            "are not a pair",
            "correct that section",
        ),
        (
            "a key of Apple's that is none",
            more("[apns]\nteam_id = \"T\"\nkey_id = \"K\"\nkey = \"canary\"\ntopic = \"t\"\n"),
            Verdict::Fail,
            "channels",
            "the .p8 file from Apple",
            "correct that section",
        ),
        (
            "a step by a channel that is not there",
            more("[policies.page]\nsteps = [{channel = \"sms\", after = \"1s\"}]\n"),
            Verdict::Warn,
            "policies.page",
            "its step by sms is skipped",
            "configure [sms]",
        ),
        (
            "alerts go before they expire",
            more("[retention]\nalerts_kept = \"24h\"\n"),
            Verdict::Warn,
            "retention",
            "is shorter than dispatch.expires_after",
            "keep alerts for longer",
        ),
        (
            "a step that no alert comes to",
            more("[tenants.acme.policies.slow]\nsteps = [{channel = \"email\", after = \"200h\"}]\n"),
            Verdict::Warn,
            "tenants.acme.policies.slow",
            "expires after 168h (dispatch.expires_after)",
            "shorten the waits",
        ),
        (
            "whoever connects is believed",
            more("[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"::/0\"]\n"),
            Verdict::Warn,
            "http.trusted_proxies",
            "::/0 has strangers in it",
            "your own proxies",
        ),
        ("mails without links", more(EMAIL), Verdict::Warn, "http.public_url", "no links", "reach socket"),
        (
            "mails that cannot be unsubscribed",
            more(EMAIL),
            Verdict::Warn,
            "auth.unsubscribe_secret",
            "no link to unsubscribe",
            "the same secret",
        ),
        (
            "whoever may publish",
            more(""),
            Verdict::Warn,
            "broker.producer",
            "any tenant",
            "[[broker.producer]]",
        ),
        (
            "leaving takes longer than it may",
            more("[socket]\ndrain_window = \"60s\"\n"),
            Verdict::Fail,
            "configuration",
            "http.grace_period must be at least 75s",
            "",
        ),
        (
            "an origin that no browser sends",
            more("[socket]\nallowed_origins = [\"https://a.example/\"]\n"),
            Verdict::Fail,
            "configuration",
            "socket.allowed_origins[0] must be an origin",
            "",
        ),
        (
            "room for nobody",
            more("[socket]\nsessions_max = 0\n"),
            Verdict::Fail,
            "configuration",
            "socket.sessions_max must be at least 1",
            "",
        ),
    ] {
        assert_found(why, &found(&toml), verdict, check, says, remedy);
    }
}

#[tokio::test]
async fn the_record_of_the_signatures_is_told() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let dkim = |key: &str| {
        let section = format!("[email.dkim]\ndomain = \"b.example\"\nselector = \"s1\"\nkey = {key:?}\n");
        format!("{ENOUGH}{EMAIL}{section}")
    };
    let record = "s1._domainkey.b.example TXT \"v=DKIM1; k=ed25519; p=";
    assert_found("signed", &found(&dkim(&key)), Verdict::Ok, "email.dkim", record, "");
    let (check, says) = ("channels", "key is not a PEM of a private key");
    assert_found("no key", &found(&dkim("canary")), Verdict::Fail, check, says, "correct that section");
    let elsewhere = dkim(&key).replace("\"b.example\"", "\"c.example\"");
    let says = "dkim.domain must be the domain of from";
    assert_found("of another domain", &found(&elsewhere), Verdict::Fail, "configuration", says, "");
}

fn certificate(until_year: i32) -> String {
    let mut parameters = rcgen::CertificateParams::new(["broker.example.com".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(until_year, 12, 10);
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

#[tokio::test]
async fn a_certificate_that_ends_is_told_before_it_does() {
    let dir = tempfile::tempdir().unwrap();
    for (why, year, verdict, says, remedy) in [
        ("long over", 2025, Verdict::Fail, "ended at 2025-12-10", "renew it"),
        ("in ten days", 2026, Verdict::Warn, "ends in 9 days", "renew it"),
        ("in a year", 2027, Verdict::Ok, "good for 374 days", ""),
    ] {
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, certificate(year)).unwrap();
        let toml = ENOUGH.replace("[auth]", &format!("trust_root_file = \"{}\"\n[auth]", file.display()));
        assert_found(why, &found(&toml), verdict, "broker.trust_root_file", says, remedy);
    }
}
