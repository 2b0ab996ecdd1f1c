//! What the operator may write, and the exact answer to what they may not.

#![allow(clippy::unwrap_used)]

use super::*;

fn load(toml: &str, env: &[(&str, &str)]) -> anyhow::Result<Config> {
    let dir = std::env::temp_dir().join(format!("watchbell-config-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("watchbell.toml");
    std::fs::write(&file, toml).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let loaded = Config::load(Some(&file), env);
    std::fs::remove_dir_all(&dir).unwrap();
    loaded
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
    assert_eq!(config.http.listen, local(2));
    assert!(!config.broker.declare);
    assert_eq!(config.fallback.lease, Duration::from_secs(90));
    assert_eq!(config.dispatch.batch_max, 256);
}

#[test]
fn a_refusal_names_the_key() {
    for (toml, env, expected) in [
        ("[htpp]\n", &[][..], "unknown field `htpp`"),
        ("[http]\nlsten = \"x\"\n", &[], "unknown field `lsten`"),
        ("", &[("WATCHBELL__HTTP__LSTEN", "x")], "unknown field `lsten`"),
        ("[socket]\nping_every = \"soon\"\n", &[], "must be a duration with its unit"),
        (
            "[policies.p]\nsteps = [{channel = \"fax\", after = \"1s\"}]\n",
            &[],
            "policies.p: steps[0].channel must be push or email",
        ),
        ("[fallback]\nlease = \"1s\"\n", &[], "fallback.lease must be at least 30s"),
        ("[auth]\nhs256_secret = \"short\"\n", &[], "auth.hs256_secret must have at least 32 bytes"),
        ("[auth]\nleeway = \"6m\"\n", &[], "auth.leeway must be at most 5m"),
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
    let file = std::env::temp_dir().join(format!("watchbell-secret-{}", uuid::Uuid::new_v4()));
    std::fs::write(&file, "postgres://ana:canary@db/w\n").unwrap();
    let config = load("", &[("WATCHBELL__STORE__URL_FILE", file.to_str().unwrap())]).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(config.store.url.as_ref().unwrap().expose(), "postgres://ana:canary@db/w");
    assert!(!config.to_string().contains("canary"));
}

#[test]
fn policies_are_added_to_the_ones_that_are_always_there() {
    let config = load("[policies.page]\nsteps = [{channel = \"push\", after = \"0s\"}]\n", &[]).unwrap();
    let policies = config.policies();
    assert_eq!(policies.names().collect::<Vec<_>>(), ["critical", "default", "page"]);
    assert_eq!(policies.get("page").unwrap().steps[0].channel, Channel::Push);
}

#[test]
fn a_duration_says_its_unit() {
    for (text, expected) in [
        ("250ms", Some(250)),
        ("30s", Some(30_000)),
        ("5m", Some(300_000)),
        ("24h", Some(86_400_000)),
        ("7d", Some(604_800_000)),
        ("30", None),
        ("s", None),
        ("-1s", None),
        ("1.5s", None),
        ("", None),
    ] {
        assert_eq!(values::parse_duration(text).map(|d| d.as_millis() as u64), expected, "{text}");
    }
}
