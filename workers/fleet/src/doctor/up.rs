//! What concerns `watchbell up`, which has its broker, its store and its providers in itself: its folder, the process that runs on
//! it, and what is configured. No remedy of a fleet is among it.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use reqwest::Client;
use serde_json::Value;

use super::{
    advice,
    finding::{Finding, Verdict},
    requirements,
};
use crate::{cli_doctor::DoctorArgs, config::FleetConfig, demo_file::Demo};

/// How long its answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Whether this is about an `up`: no worker is named, no fleet is configured, and one has run in the folder.
pub(super) fn is_meant(args: &DoctorArgs, config: &FleetConfig) -> bool {
    args.roles.is_empty() && !config.is_for_a_fleet() && args.data.join("watchbell.db").exists()
}

/// All of it, without asking anybody.
pub(super) fn of(folder: &Path, config: &FleetConfig, now: Timestamp) -> Vec<Finding> {
    let found =
        format!("`watchbell up` keeps everything in {}: it needs no broker and no store", folder.display());
    let mut findings = vec![Finding::ok("up", found)];
    findings.extend(requirements::of_up(config));
    findings.extend(advice::of_up(config, now));
    findings
}

/// Asks the process that the folder names how it is.
pub(super) async fn look(folder: &Path, config: &FleetConfig) -> Finding {
    let address = match Demo::read(folder) {
        Ok(demo) => demo.reached_at().to_owned(),
        Err(error) => {
            return Finding::fail(
                "up process",
                format!("{error:#}"),
                "start `watchbell up`, which writes it",
            );
        }
    };
    let address = match config.shared.http.operations_listen {
        Some(operations) => format!("http://{operations}"),
        None => address,
    };
    let asked = async {
        let http = Client::builder().timeout(ANSWER_MAX).build()?;
        http.get(format!("{}/readyz", address.trim_end_matches('/'))).send().await?.json::<Value>().await
    };
    of_answer(folder, &address, asked.await.ok().as_ref())
}

/// What the answer of `/readyz` means; none when there was none.
fn of_answer(folder: &Path, address: &str, answer: Option<&Value>) -> Finding {
    let check = "up process";
    let Some(answer) = answer else {
        return Finding::warn(
            check,
            format!("nobody answers at {address}"),
            format!("start `watchbell up --data {}`, if it is meant to run", folder.display()),
        );
    };
    let of_parts = |key: &str| -> Vec<String> {
        let parts = answer["parts"].as_object().into_iter().flat_map(|parts| parts.values());
        parts.filter_map(|part| part[key].as_str()).map(str::to_owned).collect()
    };
    let (causes, remedies) = (of_parts("cause"), of_parts("remedy"));
    let verdict = match answer["status"].as_str() {
        Some("ready") => return Finding::ok(check, format!("answers at {address}, and is ready")),
        Some("degraded") => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let status = answer["status"].as_str().unwrap_or("not what `up` says of itself");
    let found = format!("answers at {address}, and is {status}: {}", causes.join("; "));
    let remedy = if remedies.is_empty() { "look at its log".to_owned() } else { remedies.join("; ") };
    Finding { verdict, ..Finding::warn(check, found, remedy) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(roles: Vec<crate::role::Role>, data: &Path) -> DoctorArgs {
        DoctorArgs {
            roles,
            data: data.to_owned(),
            connect: false,
            management: None,
            public: None,
            token: None,
            json: false,
        }
    }

    #[tokio::test]
    async fn in_the_folder_of_up_nothing_of_a_fleet_is_advised() {
        let folder = tempfile::tempdir().unwrap();
        let config = FleetConfig::default();
        assert!(!is_meant(&asked(vec![], folder.path()), &config), "nothing has run there");
        std::fs::write(folder.path().join("watchbell.db"), "").unwrap();
        assert!(is_meant(&asked(vec![], folder.path()), &config));
        assert!(
            !is_meant(&asked(vec![crate::role::Role::Socket], folder.path()), &config),
            "a worker is named"
        );
        let mut fleet = FleetConfig::default();
        fleet.shared.store.url = Some("postgres://db/w".into());
        assert!(!is_meant(&asked(vec![], folder.path()), &fleet), "a fleet is configured");

        let findings = of(folder.path(), &config, Timestamp::now());
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let lines = lines.join("\n");
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Ok), "{lines}");
        for of_a_fleet in ["store.url", "broker.", "auth.", "set ", "configure [", "grace_period"] {
            assert!(!lines.contains(of_a_fleet), "{of_a_fleet}: {lines}");
        }
        assert!(lines.contains("the simulator stands in for push, email"), "{lines}");
    }

    #[tokio::test]
    async fn what_is_written_wrongly_is_found_for_up_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("watchbell.toml");
        let toml = "[http]\ntrusted_proxies = [\"0.0.0.0/0\"]\n[apns]\nteam_id = \"T\"\nkey_id = \"K\"\nkey = \"canary\"\ntopic = \"t\"\n";
        std::fs::write(&file, toml).unwrap();
        let config = FleetConfig::load(Some(&file), []).unwrap();
        let findings = of(dir.path(), &config, Timestamp::now());
        let has =
            |verdict, check: &str| findings.iter().any(|one| one.verdict == verdict && one.check == check);
        assert!(has(Verdict::Fail, "channels") && has(Verdict::Warn, "http.trusted_proxies"), "{findings:?}");
    }

    #[test]
    fn the_answer_of_the_process_is_judged() {
        let failing = json!({"status": "not_ready", "parts": {
            "store": {"cause": "the disk is full", "remedy": "make room"}, "broker": {"status": "ok"},
        }});
        for (why, answer, verdict, says) in [
            ("ready", Some(json!({"status": "ready", "parts": {}})), Verdict::Ok, "is ready"),
            ("degraded", Some(json!({"status": "degraded", "parts": {}})), Verdict::Warn, "degraded"),
            ("failing", Some(failing), Verdict::Fail, "the disk is full; remedy: make room"),
            ("somebody else", Some(json!("hello")), Verdict::Fail, "not what `up` says"),
            ("nobody", None, Verdict::Warn, "start `watchbell up --data watchbell-data`"),
        ] {
            let finding = of_answer(Path::new("watchbell-data"), "http://127.0.0.1:7700", answer.as_ref());
            assert_eq!(finding.verdict, verdict, "{why}");
            assert!(finding.to_string().contains(says), "{why}: {finding}");
        }
    }
}
