//! Secrets that are changed while the process runs. The files that the configuration was read from are looked at again and again, and
//! what they hold now takes the place of what they held.
//!
//! What holds here:
//! - All of the configuration is read and checked as at the start. What cannot be used changes nothing, and the log says why, once.
//! - Keys, passwords and certificates are taken, and the tenants' addresses for outcomes, which belong to a key. Any other setting needs a
//!   restart, and the log says so.
//! - Nobody's work is interrupted. An open connection and an open session go on with what they began with.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::FleetConfig;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The file that is read when none is named.
const CONFIG_FILE: &str = "watchbell.toml";

/// One part that can take its secrets anew, with its name in the log.
pub(crate) type Part = (&'static str, Box<dyn Fn(&FleetConfig) -> anyhow::Result<()> + Send>);

/// Reads the configuration as at the start.
pub(crate) type Load = Box<dyn Fn() -> anyhow::Result<FleetConfig> + Send>;

/// Where the configuration comes from, and what it said.
pub(crate) struct Reload {
    load: Load,
    files: BTreeSet<PathBuf>,
    /// What the files held when the configuration was read.
    seen: Fingerprint,
}

/// What files hold, told apart.
type Fingerprint = [u8; 32];

impl Reload {
    /// Reads the configuration from `file` and `env`, with what it takes to notice a change of it.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub(crate) fn begin(
        file: Option<&Path>,
        env: &[(String, String)],
        load: Load,
    ) -> anyhow::Result<(FleetConfig, Self)> {
        let files = files(file, env, &load()?);
        let seen = fingerprint(&files);
        // Once more, because a file may have changed before it was looked at.
        Ok((load()?, Self { load, files, seen }))
    }

    /// From now on what was read is completed by this, as the process completed what it began with.
    pub(crate) fn completed_by(self, complete: impl Fn(&mut FleetConfig) + Send + 'static) -> Self {
        let load = self.load;
        let completed: Load = Box::new(move || {
            let mut config = load()?;
            complete(&mut config);
            Ok(config)
        });
        Self { load: completed, ..self }
    }

    /// Has the parts take their secrets anew whenever a file changes, until `stop`. `config` is what they have now.
    pub(crate) async fn run(mut self, mut config: FleetConfig, parts: Vec<Part>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
            // Off the threads that serve sessions, because a disk of the network may keep one waiting. A look that failed is made again.
            let files = self.files.clone();
            let Ok(now) = spawn_blocking(move || fingerprint(&files)).await else { continue };
            if now == self.seen {
                continue;
            }
            self.seen = now;
            match (self.load)() {
                Ok(new) => {
                    apply(&parts, &new);
                    if settings_of(&new) != settings_of(&config) {
                        info!("Settings that are no secrets were changed as well: they hold after a restart");
                    }
                    config = new;
                }
                Err(error) => {
                    warn!(
                        "The changed configuration cannot be used, so all secrets stay as they were: {error:#}"
                    );
                }
            }
        }
    }
}

/// What a restart is needed for, as a text without secrets.
fn settings_of(config: &FleetConfig) -> String {
    let mut config = config.clone();
    config.shared = config.shared.without_outcome_addresses();
    config.to_string()
}

fn apply(parts: &[Part], config: &FleetConfig) {
    for (name, take) in parts {
        match take(config) {
            Ok(()) => info!(part = name, "Secrets of `{name}` were read again"),
            Err(error) => warn!(part = name, "The secrets of `{name}` stay as they were: {error:#}"),
        }
    }
}

/// Every file that a setting may come from: the configuration's own, those that `…_FILE` variables name, and those that settings
/// name.
fn files(file: Option<&Path>, env: &[(String, String)], config: &FleetConfig) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::from([file.unwrap_or(Path::new(CONFIG_FILE)).to_owned()]);
    // Of a variable that is only alike to ours nothing is known.
    let named = env.iter().filter(|(name, path)| name.ends_with("_FILE") && !path.is_empty());
    files.extend(named.map(|(_, path)| PathBuf::from(path)));
    if let Ok(settings) = toml::Table::try_from(config) {
        named_in(&toml::Value::Table(settings), &mut files);
    }
    files
}

/// Values of keys that end in `_file` or `_files`.
fn named_in(value: &toml::Value, files: &mut BTreeSet<PathBuf>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                match value {
                    toml::Value::String(path) if key.ends_with("_file") => {
                        files.insert(path.into());
                    }
                    toml::Value::Array(paths) if key.ends_with("_files") => {
                        files.extend(paths.iter().filter_map(toml::Value::as_str).map(PathBuf::from));
                    }
                    value => named_in(value, files),
                }
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| named_in(value, files)),
        _ => {}
    }
}

fn fingerprint(files: &BTreeSet<PathBuf>) -> Fingerprint {
    let mut hash = Sha256::new();
    for file in files {
        let held = std::fs::read(file).map(|bytes| Sha256::digest(&bytes)).unwrap_or_default();
        hash.update(held);
    }
    hash.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        fs,
        sync::{Arc, Mutex},
    };

    use watchbell::domain::Secret;

    use super::*;

    const OLD: &str = "the old secret, of 32 bytes or more";
    const NEW: &str = "the new secret, of 32 bytes or more";

    /// A configuration whose secret is in a file, and what the one part of a process was given.
    struct Scene {
        folder: tempfile::TempDir,
        given: Arc<Mutex<Vec<String>>>,
    }

    impl Scene {
        fn new() -> Self {
            let scene = Self { folder: tempfile::tempdir().unwrap(), given: Arc::default() };
            scene.write(OLD);
            scene
        }

        fn env(&self) -> Vec<(String, String)> {
            let path = self.folder.path().join("secret").to_str().unwrap().to_owned();
            vec![("WATCHBELL__AUTH__HS256_SECRET_FILE".to_owned(), path)]
        }

        fn write(&self, secret: &str) {
            fs::write(self.folder.path().join("secret"), secret).unwrap();
        }

        fn begin(&self) -> (FleetConfig, Reload) {
            let env = self.env();
            let load = move || FleetConfig::load(None, env.clone());
            Reload::begin(None, &self.env(), Box::new(load)).unwrap()
        }

        fn parts(&self) -> Vec<Part> {
            let given = Arc::clone(&self.given);
            let take = move |config: &FleetConfig| {
                let secret = config.shared.auth.hs256_secret.as_ref().map(Secret::expose);
                given.lock().unwrap().push(secret.unwrap_or_default().to_owned());
                Ok(())
            };
            vec![("part", Box::new(take))]
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_given_what_its_file_holds_now_and_only_when_that_is_something_else() {
        let scene = Scene::new();
        let (config, reload) = scene.begin();
        assert_eq!(config.shared.auth.hs256_secret.as_ref().unwrap().expose(), OLD);
        let stop = CancellationToken::new();
        let running = tokio::spawn(reload.run(config, scene.parts(), stop.clone()));
        // Between two looks the clock of the test stands, so every look sees what was written before it.
        for (written, given) in
            [(OLD, &[][..]), (NEW, &[NEW][..]), ("too short", &[NEW][..]), (OLD, &[NEW, OLD][..])]
        {
            scene.write(written);
            sleep(LOOK_EVERY * 2).await;
            assert_eq!(*scene.given.lock().unwrap(), given, "after {written}");
        }
        stop.cancel();
        running.await.unwrap();
    }

    #[test]
    fn what_is_read_again_is_completed_as_at_the_start() {
        let scene = Scene::new();
        let (_, reload) = scene.begin();
        let reload = reload.completed_by(|config| config.shared.log.filter = "completed".to_owned());
        assert_eq!((reload.load)().unwrap().shared.log.filter, "completed");
    }

    #[test]
    fn an_address_for_outcomes_needs_no_restart_and_another_setting_does() {
        let toml = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("own.toml");
            fs::write(&file, text).unwrap();
            FleetConfig::load(Some(&file), []).unwrap()
        };
        let outcomes = "[tenants.acme.outcomes]\nurl = \"https://acme.example/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";
        let policies = "[tenants.acme.policies.default]\nsteps = []\n";
        for (why, before, after, needs_restart) in [
            ("a new tenant", String::new(), outcomes.to_owned(), false),
            ("a tenant that goes", outcomes.to_owned(), String::new(), false),
            ("a policy of a tenant", outcomes.to_owned(), format!("{outcomes}{policies}"), true),
            ("a setting", String::new(), "[log]\nfilter = \"debug\"\n".to_owned(), true),
        ] {
            assert_eq!(settings_of(&toml(&before)) != settings_of(&toml(&after)), needs_restart, "{why}");
        }
    }

    #[test]
    fn every_file_that_a_setting_names_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let toml = folder.path().join("own.toml");
        fs::write(&toml, "[auth]\npublic_key_files = [\"a.pem\", \"b.pem\"]\n").unwrap();
        let secret = folder.path().join("url");
        fs::write(&secret, "postgres://localhost/x").unwrap();
        let env = vec![("WATCHBELL__STORE__URL_FILE".to_owned(), secret.to_str().unwrap().to_owned())];
        let config = FleetConfig::load(Some(&toml), env.clone()).unwrap();
        let expected: BTreeSet<PathBuf> = ["a.pem".into(), "b.pem".into(), toml.clone(), secret].into();
        assert_eq!(files(Some(&toml), &env, &config), expected);
    }
}
