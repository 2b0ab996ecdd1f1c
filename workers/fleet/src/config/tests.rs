//! What the operator may write, and the exact answer to what they may not.

#![allow(clippy::unwrap_used)]

use watchbell::domain::{
    Channel, Tenant,
    policy::{GroupRule, Unless},
};

use super::*;

fn load(toml: &str, env: &[(&str, &str)]) -> anyhow::Result<FleetConfig> {
    let dir = scratch();
    let file = dir.path().join("watchbell.toml");
    std::fs::write(&file, toml).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    FleetConfig::load(Some(&file), env)
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn refusal(toml: &str, env: &[(&str, &str)]) -> String {
    format!("{:#}", load(toml, env).unwrap_err())
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let config = load(
        "[http]\nlisten = \"127.0.0.1:1\"\n[broker]\ndeclare = false\n",
        &[
            ("WATCHBELL__HTTP__LISTEN", "127.0.0.1:2"),
            ("WATCHBELL__FALLBACK__LEASE", "90s"),
            ("PATH", "ignored"),
        ],
    )
    .unwrap();
    assert_eq!(config.shared.http.listen, ([127, 0, 0, 1], 2).into());
    assert!(!config.shared.broker.declare);
    assert_eq!(config.fallback.lease, Duration::from_secs(90));
    assert_eq!(config.dispatch.batch_max, 256);
}

/// `up` is silent unless somebody wants to read what it logs.
#[test]
fn logs_are_chosen_where_a_filter_is_written() {
    for (why, toml, env, expected) in [
        ("nothing is written", "", &[][..], false),
        ("another setting of the section", "[log]\nformat = \"json\"\n", &[], false),
        ("in the file, also what is the default", "[log]\nfilter = \"info\"\n", &[], true),
        ("in the environment", "", &[("WATCHBELL__LOG__FILTER", "info")], true),
        ("another section", "", &[("WATCHBELL__HTTP__LISTEN", "127.0.0.1:2")], false),
    ] {
        let dir = scratch();
        let file = dir.path().join("watchbell.toml");
        std::fs::write(&file, toml).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(FleetConfig::chooses_logs(Some(&file), env).unwrap(), expected, "{why}");
    }
}

#[test]
fn a_refusal_names_the_key() {
    for (toml, env, expected) in [
        ("[htpp]\n", &[][..], "unknown section `htpp`, expected one of http, store"),
        ("[http]\nlsten = \"x\"\n", &[], "unknown field `lsten`"),
        ("", &[("WATCHBELL__HTTP__LSTEN", "x")], "http.lsten: unknown field `lsten`"),
        ("", &[("WATCHBELL__HTTP", "x")], "http: must be a section with keys of its own"),
        (
            "",
            &[("WATCHBELL__HTTP", "x"), ("WATCHBELL__HTTP__LISTEN", "x")],
            "WATCHBELL__HTTP__LISTEN: there is a value for all of `http` already",
        ),
        ("", &[("WATCHBELL__BROKER__DECLARE", "yes")], "broker.declare: must be true or false"),
        ("[broker]\ndeclare = \"true\"\n", &[], "broker.declare: must be true or false"),
        ("", &[("WATCHBELL__DISPATCH__BATCH_MAX", "1e3")], "dispatch.batch_max: must be an integer from 0"),
        ("[dispatch]\nbatch_max = -1\n", &[], "dispatch.batch_max: must be an integer from 0"),
        ("", &[("WATCHBELL__LOG__FORMAT", "xml")], "log.format: must be one of text, json"),
        ("[auth]\ndefault_tenant = 7\n", &[], "auth.default_tenant: must be a text: write it in quotes"),
        ("[auth]\naudience = 1e3\n", &[], "auth.audience: must be a text: write it in quotes"),
        ("[http]\ntrusted_proxies = \"10.0.0.1\"\n", &[], "http.trusted_proxies: must be a list"),
        ("[auth]\nhs256_secret = canary\n", &[], "line 2 is not TOML"),
        ("[socket]\nping_every = \"soon\"\n", &[], "must be a duration with its unit"),
        (
            "[policies.p]\nsteps = [{channel = \"fax\", after = \"1s\"}]\n",
            &[],
            "policies.p: steps[0].channel must be one of push, email",
        ),
        (
            "[policies.p]\nsteps = [{channel = \"push\", after = \"1s\", unless = [\"raining\"]}]\n",
            &[],
            "steps[0].unless must be one of pushed, mailed",
        ),
        (
            "[policies.p]\nsteps = []\ngroup = \"some\"\n",
            &[],
            "group must be one of each, first_stops_all, first_acknowledges",
        ),
        ("[policy_for]\ncategory = {billing = \"slwo\"}\n", &[], "there is no policy `slwo`"),
        (
            "[policy_for]\nseverity = {urgent = \"default\"}\n",
            &[],
            "policy_for.severity.urgent: must be one of",
        ),
        (
            "[tenants.acme.policies.p]\nsteps = [{channel = \"fax\", after = \"1s\"}]\n",
            &[],
            "tenants.acme: policies.p: steps[0]",
        ),
        (
            "[restraint.channels.fax]\nalone_max = 1\n",
            &[],
            "restraint.channels.fax: the channel must be one of push, email",
        ),
        (
            "[restraint.channels.email]\nper_hour_max = 0\n",
            &[],
            "restraint.channels.email.per_hour_max must be at least 1",
        ),
        (
            "[restraint.channels.push]\nwindow = \"2h\"\n",
            &[],
            "restraint.channels.push.window must be at most 1h",
        ),
        ("[restraint]\npushes_per_hour_max = 0\n", &[], "restraint.pushes_per_hour_max must be at least 1"),
        ("[fallback]\nlease = \"1s\"\n", &[], "fallback.lease must be at least 30s"),
        ("[fallback]\npoll_every = \"0s\"\n", &[], "fallback.poll_every must be at least 10ms"),
        ("[fallback]\nclaim_max = 0\n", &[], "fallback.claim_max must be at least 1"),
        ("[fallback]\nbacklog_max = 0\n", &[], "fallback.backlog_max must be at least 1"),
        ("[fallback]\nin_flight_max = 0\n", &[], "fallback.in_flight_max must be at least 1"),
        ("[dispatch]\nbatch_max = 0\n", &[], "dispatch.batch_max must be at least 1"),
        ("[dispatch]\nbatch_max = 1000000\n", &[], "dispatch.batch_max must be at most 10000"),
        ("[dispatch]\nbatch_wait = \"1h\"\n", &[], "dispatch.batch_wait must be at most 1m"),
        ("[dispatch]\nexpires_after = \"0s\"\n", &[], "dispatch.expires_after must be at least 1s"),
        ("[dispatch]\nexpires_after = \"9999999h\"\n", &[], "dispatch.expires_after: must be at most 87600h"),
        ("[dispatch]\ntopics_kept = \"0s\"\n", &[], "dispatch.topics_kept must be at least 1s"),
        ("[store]\nconnections_max = 0\n", &[], "store.connections_max must be at least 1"),
        ("[store]\nconnections_max = 4294967295\n", &[], "store.connections_max must be at most 10000"),
        ("[http]\nconnections_max = 0\n", &[], "http.connections_max must be at least 1"),
        ("[http]\nconnections_max = 9223372036854775807\n", &[], "http.connections_max must be at most"),
        ("[http]\nhead_timeout = \"0s\"\n", &[], "http.head_timeout must be at least 100ms"),
        ("[http]\npublic_url = \"alerts.example.com\"\n", &[], "http.public_url must be an address with"),
        ("[http]\nclient_address = \"forwarded\"\n", &[], "http.client_address needs http.trusted_proxies"),
        (
            "[http]\nlisten = \"127.0.0.1:7000\"\noperations_listen = \"127.0.0.1:7000\"\n",
            &[],
            "http.operations_listen must be another address than http.listen (127.0.0.1:7000)",
        ),
        (
            "[http]\nclient_address = \"x-real-ip\"\n",
            &[],
            "http.client_address: must be one of x-forwarded-for",
        ),
        (
            "[http]\noperations_listen = \"7709\"\n",
            &[],
            "http.operations_listen: must be an address with its port",
        ),
        ("[http]\nkeep_alive = \"0s\"\n", &[], "http.keep_alive must be at least 100ms"),
        ("[http]\nstall_timeout = \"1h\"\n", &[], "http.stall_timeout must be at most 5m"),
        ("[http]\nbytes_per_second_min = 0\n", &[], "http.bytes_per_second_min must be at least 1"),
        ("[socket]\nping_every = \"1ms\"\n", &[], "socket.ping_every must be at least 100ms"),
        ("[socket]\nauth_timeout = \"0s\"\n", &[], "socket.auth_timeout must be at least 100ms"),
        ("[socket]\nwrite_timeout = \"0s\"\n", &[], "socket.write_timeout must be at least 100ms"),
        ("[socket]\nage_max = \"0s\"\n", &[], "socket.age_max must be at least 1s"),
        ("[socket]\nsessions_max = 0\n", &[], "socket.sessions_max must be at least 1"),
        ("[socket]\nsessions_per_user_max = 0\n", &[], "socket.sessions_per_user_max must be at least 1"),
        ("[socket]\nbacklog_bytes_max = 1\n", &[], "socket.backlog_bytes_max must be at least"),
        (
            "[socket]\nallowed_origins = [\"https://a.example\", \"https://b.example/\"]\n",
            &[],
            "socket.allowed_origins[1] must be an origin",
        ),
        ("[log]\nfilter = \"watchbell=loud\"\n", &[], "log.filter must be a filter such as"),
        (
            "[apns]\ntopic = \"a\"\nteam_id = \"A\"\n",
            &[],
            "apns: needs either team_id, key_id and key, or keys, or certificate",
        ),
        (
            "[apns]\ntopic = \"a\"\n[[apns.keys]]\nteam_id = \"A\"\nkey_id = \"K\"\nkey = \"canary\"\n\
             [[apns.keys]]\nteam_id = \"B\"\nkey_id = \"L\"\nkey = \"canary\"\n",
            &[],
            "apns: keys have to be of one team",
        ),
        (
            "[apns]\ntopic = \"a\"\nbroadcast = true\ncertificate = \"canary\"\n",
            &[],
            "apns: broadcast needs a key in place of the certificate",
        ),
        (
            "[apns]\ntopic = \"a\"\n[[apns.keys]]\nteam_id = \"A\"\nkey_id = \"K\"\nkey = \"canary\"\nenvironment = \"test\"\n",
            &[],
            "apns: keys[0].environment",
        ),
        ("[push]\ncontent = \"some\"\n", &[], "push.content"),
        ("[push]\ncontent_by_severity = {fatal = \"none\"}\n", &[], "push: content_by_severity.fatal"),
        ("[webhook]\nsecret = \"whsec_c2hvcnQ=\"\n", &[], "webhook: secret must be `whsec_`"),
        (
            "[webhook]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nurl = \"http://example.com/\"\n",
            &[],
            "webhook: url must begin with https://; http:// needs private_endpoints",
        ),
        (
            "[webhook]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n[webhook.tenants.acme]\nurl = \"canary\"\n",
            &[],
            "webhook: tenants.acme: url must be an address such as https://example.com/alerts",
        ),
        (
            "[sms]\naccount_sid = \"AC1/..\"\nauth_token = \"canary\"\nfrom = \"+15005550006\"\n",
            &[],
            "sms: account_sid must be AC and 32 hexadecimal digits",
        ),
        (
            "[sms]\naccount_sid = \"AC00000000000000000000000000000001\"\nfrom = \"+15005550006\"\n",
            &[],
            "sms: needs either auth_token, or api_key and api_key_secret",
        ),
        (
            "[sms]\naccount_sid = \"AC00000000000000000000000000000001\"\napi_key = \"SK00000000000000000000000000000001\"\nfrom = \"Watchbell\"\n",
            &[],
            "sms: needs either auth_token, or api_key and api_key_secret",
        ),
        (
            "[sms]\naccount_sid = \"AC00000000000000000000000000000001\"\nauth_token = \"canary\"\n",
            &[],
            "sms: needs either from or messaging_service_sid",
        ),
        (
            "[sms]\naccount_sid = \"AC00000000000000000000000000000001\"\nauth_token = \"canary\"\nmessaging_service_sid = \"MG1\"\n",
            &[],
            "sms: messaging_service_sid must be MG and 32 hexadecimal digits",
        ),
        (
            "[sms]\naccount_sid = \"AC00000000000000000000000000000001\"\nauth_token = \"canary\"\nfrom = \"Watchbell Alerts\"\n",
            &[],
            "sms: from must be a number such as +15005550006, a short code, or a name of at most 11",
        ),
        (
            "[sms]\naccount_sid = \"AC00000000000000000000000000000001\"\nauth_token = \"canary\"\nfrom = \"Watchbell\"\nsegments_max = 11\n",
            &[],
            "sms: segments_max must be 1 to 10",
        ),
        ("[slack]\ntoken = \"canary\"\n", &[], "slack: token must be one of a bot, which begins with xoxb-"),
        ("[auth]\nunsubscribe_secret = \"short\"\n", &[], "auth.unsubscribe_secret must have at least 32"),
        ("[auth]\ndefault_tenant = \"\"\n", &[], "auth.default_tenant"),
        ("[auth]\nuser_claim = \"\"\n", &[], "auth.user_claim must name a claim"),
        ("[[mount]]\npath = \"ws\"\n", &[], "mount ws: path must begin with /"),
        (
            "[[mount]]\npath = \"/v1/inbox\"\ntopics = [\"a\"]\n",
            &[],
            "mount /v1/inbox: path must not begin with /v1",
        ),
        ("[[mount]]\npath = \"/\"\n", &[], "mount /: path must not begin with /,"),
        ("[[mount]]\npath = \"/docs\"\n", &[], "mount /docs: path must not begin with /docs"),
        ("[[mount]]\npath = \"/a?b=c\"\n", &[], "path must have letters, digits"),
        ("[[mount]]\npath = \"/a b\"\n", &[], "path must have letters, digits"),
        ("[[mount]]\npath = \"/ws/{id\"\n", &[], "mount /ws/{id: path must have each parameter alone"),
        ("[[mount]]\npath = \"/ws/{a}-{b}\"\n", &[], "path must have each parameter alone"),
        ("[[mount]]\npath = \"/ws/{}\"\n", &[], "path must have each parameter alone"),
        ("[[mount]]\npath = \"/ws/:id\"\n", &[], "path must have each parameter alone"),
        (
            "[[mount]]\npath = \"/ws/{a}\"\n[[mount]]\npath = \"/ws/{b}\"\n",
            &[],
            "mount /ws/{b}: there is another one at this address",
        ),
        (
            "[email]\nhost = \"h\"\nport = 25\nfrom = \"a@b.example\"\nconnections_max = 0\n",
            &[],
            "email: connections_max must be at least 1",
        ),
        (
            "[email]\nhost = \"h\"\nport = 25\nfrom = \"a@b.example\"\ntls = \"ssl\"\n",
            &[],
            "email.tls: must be one of none, starttls, implicit",
        ),
        (
            "[socket]\ndrain_window = \"600s\"\n",
            &[],
            "http.grace_period must be at least 615s: http.leave_wait and socket.drain_window",
        ),
        ("[http]\nleave_wait = \"30s\"\n", &[], "http.grace_period must be at least 62s"),
        (
            "[socket]\nrebalance_every = \"1s\"\n",
            &[],
            "socket.rebalance_every must be 0s (never) or 2s to 1h",
        ),
        ("[socket]\nrebalance_band_percent = 0\n", &[], "socket.rebalance_band_percent must be at least 1"),
        ("[auth]\nhs256_secret = \"short\"\n", &[], "auth.hs256_secret must have at least 32 bytes"),
        ("[auth]\nleeway = \"6m\"\n", &[], "auth.leeway must be at most 5m"),
        (
            "[telegram]\nbot_token = \"canary/../..\"\n",
            &[],
            "telegram: bot_token must be the token that @BotFather gave",
        ),
        (
            "",
            &[("WATCHBELL__STORE__URL_FILE", "no-such-file")],
            "WATCHBELL__STORE__URL_FILE: its file cannot be read",
        ),
    ] {
        let text = refusal(toml, env);
        assert!(text.contains(expected), "{toml}{env:?}: {text}");
    }
}

#[test]
fn a_secret_may_come_from_a_file_and_does_not_print() {
    let dir = scratch();
    let file = dir.path().join("secret");
    std::fs::write(&file, "postgres://ana:canary@db/w\n").unwrap();
    let config = load("", &[("WATCHBELL__STORE__URL_FILE", file.to_str().unwrap())]).unwrap();
    assert_eq!(config.shared.store.url.as_ref().unwrap().expose(), "postgres://ana:canary@db/w");
    assert!(!config.to_string().contains("canary"));
}

#[test]
fn what_is_shown_is_toml_that_says_the_same() {
    let written = "[http]\ntrusted_proxies = [\"10.0.0.0/8\"]\npublic_url = \"https://a.example\"\n\
                   [auth]\nhs256_secret = \"canary-canary-canary-canary-canary\"\n\
                   [policies.page]\nsteps = [{channel = \"push\", after = \"1s\"}]\n\
                   [[mount]]\npath = \"/ws/{id}\"\n\
                   [email]\nhost = \"h\"\nport = 25\nfrom = \"a@b.example\"\nusername = \"canary\"\npassword = \"canary\"\n";
    let config = load(written, &[]).unwrap();
    let shown = config.to_string();
    assert!(!shown.contains("canary") && shown.contains("hs256_secret = \"redacted\""), "{shown}");
    let dir = scratch();
    let file = dir.path().join("watchbell.toml");
    std::fs::write(&file, &shown).unwrap();
    let again = FleetConfig::read(Some(&file), []).unwrap();
    assert_eq!(serde_json::to_value(again).unwrap(), serde_json::to_value(config).unwrap());
}

#[test]
fn policies_are_added_to_the_ones_that_are_always_there() {
    let config = load("[policies.page]\nsteps = [{channel = \"push\", after = \"0s\"}]\n", &[]).unwrap();
    let policies = config.shared.policies();
    let acme = Tenant::parse("acme").unwrap();
    assert_eq!(policies.names(&acme), ["critical", "default", "page"]);
    assert_eq!(policies.get(&acme, "page").unwrap().steps[0].channel, Channel::Push);
}

#[test]
fn a_policy_says_all_it_may_say() {
    let config = load(
        r#"
        [policies.critical]
        steps = [{channel = "push", after = "0s"}]
        [policies.page]
        steps = [{channel = "push", after = "1s"}, {channel = "email", after = "2m", unless = ["pushed", "quiet"]}]
        mandatory = true
        expires_after = "12h"
        group = "first_stops_all"
        [policy_for]
        category = {outage = "page"}
        [tenants.acme.policies.page]
        steps = []
        [restraint]
        digest_window = "0s"
        bundle_after = 3
        "#,
        &[],
    )
    .unwrap();
    let policies = config.shared.policies();
    let [acme, other] = ["acme", "other"].map(|name| Tenant::parse(name).unwrap());
    let page = policies.get(&other, "page").unwrap();
    assert_eq!(page.steps[1].unless, [Unless::Told(Channel::Push), Unless::Quiet]);
    assert_eq!((page.mandatory, page.expires_after), (true, Some(Duration::from_secs(12 * 3600))));
    assert_eq!(page.group, GroupRule::FirstStopsAll);
    assert_eq!(policies.get(&acme, "page").unwrap().steps, []);
    assert!(policies.get(&acme, "critical").unwrap().mandatory, "critical is, unless it says that it is not");
    let bounds = config.shared.restraint.bounds();
    assert_eq!((bounds[Channel::Email].window, bounds[Channel::Push].alone_max), (Duration::ZERO, 3));
}

#[test]
fn a_list_in_the_environment_has_commas() {
    for (text, expected) in [
        ("", &[][..]),
        ("https://a.example", &["https://a.example"]),
        (" https://a.example , https://b.example", &["https://a.example", "https://b.example"]),
    ] {
        let config = load("", &[("WATCHBELL__SOCKET__ALLOWED_ORIGINS", text)]).unwrap();
        assert_eq!(config.socket.allowed_origins, expected, "{text}");
    }
}

/// What is misspelt in the file is refused; in the environment, where others write as well, what can be nobody else's.
#[test]
fn a_variable_that_is_nearly_ours_is_not_lost_in_silence() {
    for (why, name, expected) in [
        ("one underscore before the section", "WATCHBELL_HTTP__LISTEN", "WATCHBELL__HTTP__LISTEN"),
        ("one after it", "WATCHBELL__HTTP_LISTEN", "WATCHBELL__HTTP__LISTEN"),
        ("and of a file", "WATCHBELL__STORE_URL_FILE", "WATCHBELL__STORE__URL_FILE"),
        ("small letters", "watchbell__store__url", "WATCHBELL__STORE__URL"),
        ("an unknown key", "WATCHBELL__HTTP__LISTNE", "unknown field `listne`"),
        (
            "an unknown section",
            "WATCHBELL__HTPP__LISTEN",
            "unknown section `htpp`, expected one of http, store,",
        ),
    ] {
        let dir = scratch();
        let file = dir.path().join("canary");
        std::fs::write(&file, "canary").unwrap();
        let value = if name.ends_with("_FILE") { file.to_str().unwrap() } else { "127.0.0.1:1" };
        let said = refusal("", &[(name, value)]);
        assert!(said.contains(expected), "{why}: {said}");
    }
    let warned =
        load("", &[("WATCHBELL_STORE_URL", ""), ("WATCHBELL_URL", "x"), ("WATCHBELL_PORT", "7700")]).unwrap();
    let line = "WATCHBELL_STORE_URL is no setting, and is passed over: if it was meant for Watchbell, write WATCHBELL__STORE__URL";
    assert_eq!(warned.passed_over, [line]);
    assert!(!warned.to_string().contains("passed_over"), "it is no setting");
}

#[test]
fn one_setting_is_given_in_one_way() {
    let dir = scratch();
    let file = dir.path().join("secret");
    std::fs::write(&file, "postgres://ana:canary@db/w\n").unwrap();
    let both = [
        ("WATCHBELL__STORE__URL", "postgres://ana:canary@db/w"),
        ("WATCHBELL__STORE__URL_FILE", file.to_str().unwrap()),
    ];
    let twice = "WATCHBELL__STORE__URL is given twice, also as WATCHBELL__STORE__URL_FILE";
    assert!(refusal("", &both).starts_with(twice));
    let alike = [("WATCHBELL__HTTP__LISTEN", "127.0.0.1:1"), ("WATCHBELL__HTTP__listen", "127.0.0.1:2")];
    assert!(refusal("", &alike).contains("differs only in capital letters"));
}

/// A mount can be at none of our addresses, nor at one that is added with its document.
#[test]
fn what_our_addresses_begin_with_is_ours() {
    for document in
        [include_str!("../../../socket/openapi.json"), include_str!("../../../ingest/openapi.json")]
    {
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        for path in document["paths"].as_object().unwrap().keys() {
            let beginning = path.split('/').nth(1).unwrap_or_default();
            assert!(watchbell_socket::OWN_BEGINNINGS.contains(&beginning), "{path}");
        }
    }
}
