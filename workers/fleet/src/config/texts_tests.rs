//! A text arrives as it was written: by the environment, by a file that is named there, and by TOML. A secret that lost a
//! digit would be weaker than it looks, and a tenant that lost a zero would be another tenant.

#![allow(clippy::unwrap_used)]

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;

/// Texts that a reader might take for something else.
const TEXTS: [&str; 24] = [
    "007",
    "1e3",
    "TRUE",
    "true",
    "0x10",
    "1_000",
    "+5",
    "-0",
    "1.50",
    ".5",
    "inf",
    "nan",
    "null",
    "",
    " ",
    "  both sides  ",
    "\tone tab",
    "a,b, c",
    "[1, 2]",
    "2026-11-30",
    "1234567890123456789012345678901234567890",
    "quote \" and ' and \\ and $HOME and #",
    "first line\nsecond line",
    "Zoë 🔔",
];

/// What random texts are made of.
const LETTERS: [char; 24] = [
    '0', '1', '7', '9', 'e', 'x', 'T', 'r', 'u', '.', '-', '+', '_', ' ', '\t', ',', '"', '\'', '\\', '#',
    '\n', '\r', 'ö', '🔔',
];
const RANDOM_TEXTS: usize = 300;

type Setting = (&'static str, fn(&FleetConfig) -> &str);

/// Every setting whose value is a text, and how to look at it.
const SETTINGS: [Setting; 54] = [
    ("http.public_url", |config| config.shared.http.public_url.as_deref().unwrap()),
    ("store.url", |config| config.shared.store.url.as_ref().unwrap().expose()),
    ("broker.url", |config| config.shared.broker.url.as_ref().unwrap().expose()),
    ("auth.hs256_secret", |config| config.shared.auth.hs256_secret.as_ref().unwrap().expose()),
    ("auth.jwks_url", |config| config.shared.auth.jwks_url.as_deref().unwrap()),
    ("auth.audience", |config| config.shared.auth.audience.as_deref().unwrap()),
    ("auth.issuer", |config| config.shared.auth.issuer.as_deref().unwrap()),
    ("auth.unsubscribe_secret", |config| config.shared.auth.unsubscribe_secret.as_ref().unwrap().expose()),
    ("auth.default_tenant", |config| config.shared.auth.default_tenant.as_deref().unwrap()),
    ("auth.user_claim", |config| &config.shared.auth.user_claim),
    ("auth.tenant_claim", |config| &config.shared.auth.tenant_claim),
    ("auth.topics_claim", |config| &config.shared.auth.topics_claim),
    ("simulator.dir", |config| config.simulator.dir.to_str().unwrap()),
    ("simulator.host", |config| &config.simulator.host),
    ("log.filter", |config| &config.shared.log.filter),
    ("apns.team_id", |config| config.channels.apns.as_ref().unwrap().team_id.as_deref().unwrap()),
    ("apns.key_id", |config| config.channels.apns.as_ref().unwrap().key_id.as_deref().unwrap()),
    ("apns.key", |config| config.channels.apns.as_ref().unwrap().key.as_ref().unwrap().expose()),
    ("apns.certificate", |config| {
        config.channels.apns.as_ref().unwrap().certificate.as_ref().unwrap().expose()
    }),
    ("apns.topic", |config| &config.channels.apns.as_ref().unwrap().topic),
    ("apns.endpoint", |config| config.channels.apns.as_ref().unwrap().endpoint.as_deref().unwrap()),
    ("apns.endpoint_sandbox", |config| {
        config.channels.apns.as_ref().unwrap().endpoint_sandbox.as_deref().unwrap()
    }),
    ("apns.endpoint_channels", |config| {
        config.channels.apns.as_ref().unwrap().endpoint_channels.as_deref().unwrap()
    }),
    ("apns.endpoint_channels_sandbox", |config| {
        config.channels.apns.as_ref().unwrap().endpoint_channels_sandbox.as_deref().unwrap()
    }),
    ("fcm.service_account", |config| config.channels.fcm.as_ref().unwrap().service_account.expose()),
    ("fcm.endpoint", |config| config.channels.fcm.as_ref().unwrap().endpoint.as_deref().unwrap()),
    ("fcm.channel_id", |config| config.channels.fcm.as_ref().unwrap().channel_id.as_deref().unwrap()),
    ("webpush.public_key", |config| &config.shared.webpush.as_ref().unwrap().public_key),
    ("webpush.private_key", |config| {
        config.shared.webpush.as_ref().unwrap().private_key.as_ref().unwrap().expose()
    }),
    ("webpush.previous_private_key", |config| {
        config.shared.webpush.as_ref().unwrap().previous_private_key.as_ref().unwrap().expose()
    }),
    ("webpush.page", |config| config.shared.webpush.as_ref().unwrap().page.as_deref().unwrap()),
    ("webpush.subject", |config| &config.shared.webpush.as_ref().unwrap().subject),
    ("email.host", |config| &config.channels.email.as_ref().unwrap().host),
    ("email.username", |config| config.channels.email.as_ref().unwrap().username.as_ref().unwrap().expose()),
    ("email.password", |config| config.channels.email.as_ref().unwrap().password.as_ref().unwrap().expose()),
    ("email.from", |config| &config.channels.email.as_ref().unwrap().from),
    ("email.dkim.domain", |config| &config.channels.email.as_ref().unwrap().dkim.as_ref().unwrap().domain),
    ("email.dkim.selector", |config| {
        &config.channels.email.as_ref().unwrap().dkim.as_ref().unwrap().selector
    }),
    ("email.dkim.key", |config| config.channels.email.as_ref().unwrap().dkim.as_ref().unwrap().key.expose()),
    ("webhook.secret", |config| config.channels.webhook.as_ref().unwrap().secret.expose()),
    ("webhook.url", |config| config.channels.webhook.as_ref().unwrap().url.as_ref().unwrap().expose()),
    ("email.templates_dir", |config| {
        config.channels.email.as_ref().unwrap().templates_dir.as_ref().unwrap().to_str().unwrap()
    }),
    ("slack.token", |config| config.channels.slack.as_ref().unwrap().token.as_ref().unwrap().expose()),
    ("slack.endpoint", |config| config.channels.slack.as_ref().unwrap().endpoint.as_deref().unwrap()),
    ("slack.hooks_endpoint", |config| {
        config.channels.slack.as_ref().unwrap().hooks_endpoint.as_deref().unwrap()
    }),
    ("sms.account_sid", |config| &config.channels.sms.as_ref().unwrap().account_sid),
    ("sms.auth_token", |config| config.channels.sms.as_ref().unwrap().auth_token.as_ref().unwrap().expose()),
    ("sms.api_key", |config| config.channels.sms.as_ref().unwrap().api_key.as_deref().unwrap()),
    ("sms.api_key_secret", |config| {
        config.channels.sms.as_ref().unwrap().api_key_secret.as_ref().unwrap().expose()
    }),
    ("sms.from", |config| config.channels.sms.as_ref().unwrap().from.as_deref().unwrap()),
    ("sms.messaging_service_sid", |config| {
        config.channels.sms.as_ref().unwrap().messaging_service_sid.as_deref().unwrap()
    }),
    ("sms.endpoint", |config| config.channels.sms.as_ref().unwrap().endpoint.as_deref().unwrap()),
    ("telegram.bot_token", |config| config.channels.telegram.as_ref().unwrap().bot_token.expose()),
    ("telegram.endpoint", |config| config.channels.telegram.as_ref().unwrap().endpoint.as_deref().unwrap()),
];

/// What those sections need besides.
const BESIDES: &str = "email.port = 25\n";

#[test]
fn a_text_arrives_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let (toml, secret) = (dir.path().join("watchbell.toml"), dir.path().join("secret"));
    let name = |key: &str| format!("WATCHBELL__{}", key.to_uppercase().replace('.', "__"));
    for text in texts() {
        std::fs::write(&toml, BESIDES).unwrap();
        let env = SETTINGS.map(|(key, _)| (name(key), text.clone()));
        compare("in the environment", &text, &text, FleetConfig::read(Some(&toml), env));

        // As an editor leaves it.
        std::fs::write(&secret, format!("{text}\n")).unwrap();
        let path = secret.to_str().unwrap();
        let env = SETTINGS.map(|(key, _)| (format!("{}_FILE", name(key)), path.to_owned()));
        let expected = text.trim_end_matches(['\n', '\r']);
        compare("in a file of its own", &text, expected, FleetConfig::read(Some(&toml), env));

        let quoted = toml::Value::String(text.clone());
        let lines: String = SETTINGS.iter().map(|(key, _)| format!("{key} = {quoted}\n")).collect();
        std::fs::write(&toml, format!("{lines}{BESIDES}")).unwrap();
        compare("in TOML", &text, &text, FleetConfig::read(Some(&toml), []));
    }
}

fn texts() -> Vec<String> {
    let mut chance = StdRng::seed_from_u64(7);
    let random = (0..RANDOM_TEXTS).map(|_| {
        let length = chance.random_range(1..50);
        (0..length).map(|_| LETTERS[chance.random_range(0..LETTERS.len())]).collect()
    });
    TEXTS.iter().map(|text| (*text).to_owned()).chain(random).collect()
}

fn compare(way: &str, text: &str, expected: &str, read: anyhow::Result<FleetConfig>) {
    let config = read.unwrap_or_else(|error| panic!("{text:?} {way}: {error:#}"));
    for (key, of) in SETTINGS {
        assert_eq!(of(&config), expected, "{key} {way}");
    }
}
