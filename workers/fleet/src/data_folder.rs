//! The folder in which `up` keeps everything: of one process at a time, and for its owner alone.
//!
//! What holds here:
//! - The folder has mode 0700, and every file of ours in it 0600, whatever the umask is and whatever an earlier version left:
//!   the database has the addresses of people and the tokens of their devices.
//! - What somebody else keeps there is not touched; the folder closes it to others all the same.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::{fs::Mode, process::umask};
use watchbell::domain::Secret;
use watchbell_fallback::channel::VapidKey;
use watchbell_ingest::key;

use crate::output;

/// How the names of the files begin that `up` makes in its folder; what follows is an engine's, such as `-wal`.
const OUR_FILES: [&str; 8] = [
    "watchbell.db",
    "up.lock",
    "demo.",
    "auth.",
    "vapid.",
    "simulator-ca.",
    "rejected.ndjson",
    "dead.ndjson",
];
/// The folder of the simulator's keys. All of it is ours.
pub(crate) const SIMULATOR: &str = "simulator";

/// From now on nobody but the owner can read a file that this process makes.
pub(crate) fn make_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// The folder, made if it is not there, and claimed for as long as this lives.
pub(crate) struct DataFolder {
    path: PathBuf,
    _claim: fs::File,
}

impl DataFolder {
    /// Makes the folder and closes it to others.
    pub(crate) fn open(path: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        let claim = claim(&path)?;
        if let Err(error) = close_to_others(&path) {
            // A volume of another owner, or a disk without permissions: the operator's to decide.
            output::note(format!(
                "{} may be readable by others on this machine ({error}): give `up` a folder of its own with --data",
                path.display()
            ));
        }
        Ok(Self { path, _claim: claim })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Makes the folder this process's own for as long as the file is open: two brokers in memory on one database would each
/// know half of what happens. The system lets go of it however the process ends.
fn claim(dir: &Path) -> anyhow::Result<fs::File> {
    let path = dir.join("up.lock");
    let file = fs::File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!(
            "{} is in use by another `watchbell up`: stop that one, or give this one a folder of its own with --data",
            dir.display()
        ),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// Takes the permissions of others away from the folder, from what we keep in it, and from the simulator's keys.
fn close_to_others(dir: &Path) -> std::io::Result<()> {
    restrict(dir, 0o700)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Not what a link leads to: that is elsewhere.
        let kind = entry.file_type()?;
        let is_ours = OUR_FILES.iter().any(|ours| name.starts_with(ours));
        if kind.is_file() && is_ours {
            restrict(&entry.path(), 0o600)?;
        } else if kind.is_dir() && name == SIMULATOR {
            restrict(&entry.path(), 0o700)?;
            for key in fs::read_dir(entry.path())? {
                let key = key?;
                if key.file_type()?.is_file() {
                    restrict(&key.path(), 0o600)?;
                }
            }
        }
    }
    Ok(())
}

/// Sets a mode where more is allowed than that.
fn restrict(path: &Path, mode: u32) -> std::io::Result<()> {
    let is_open = fs::metadata(path)?.permissions().mode() & 0o777 & !mode != 0;
    if is_open { fs::set_permissions(path, fs::Permissions::from_mode(mode)) } else { Ok(()) }
}

/// The secret in a file, made when it is not there.
pub(crate) fn secret_in(file: &Path) -> anyhow::Result<Secret> {
    if let Ok(text) = fs::read_to_string(file) {
        return Ok(Secret::from(text.trim().to_owned()));
    }
    let secret = key::generate(&mut rand::rng());
    write_private(file, secret.expose().as_bytes())?;
    Ok(secret)
}

/// The key in a file, made when it is not there: browsers that have subscribed hold on to it.
pub(crate) fn vapid_key_in(file: &Path) -> anyhow::Result<VapidKey> {
    if let Ok(text) = fs::read_to_string(file) {
        return VapidKey::parse(&Secret::from(text)).with_context(|| format!("{}", file.display()));
    }
    let key = VapidKey::generate()?;
    write_private(file, key.private().expose().as_bytes())?;
    Ok(key)
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let beside = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut out =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        out.write_all(content)?;
        fs::rename(&beside, file)
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_of_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = claim(dir.path()).unwrap();
        let refused = claim(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("in use by another `watchbell up`"), "{refused}");
        drop(first);
        claim(dir.path()).unwrap();
    }

    #[test]
    fn what_an_earlier_version_left_open_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join(SIMULATOR);
        fs::create_dir(&keys).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let cases = [
            ("watchbell.db", 0o644, 0o600),
            ("watchbell.db-wal", 0o664, 0o600),
            ("watchbell.db-shm", 0o666, 0o600),
            ("dead.ndjson", 0o644, 0o600),
            ("rejected.ndjson.unreadable", 0o644, 0o600),
            ("demo.json", 0o400, 0o400),
            ("simulator/ca.pem", 0o644, 0o600),
            ("notes.txt", 0o644, 0o644),
        ];
        for (name, before, _) in cases {
            fs::write(dir.path().join(name), "").unwrap();
            set(&dir.path().join(name), before);
        }
        set(dir.path(), 0o755);
        set(&keys, 0o775);
        // A link may lead to anywhere.
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        set(elsewhere.path(), 0o644);
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("watchbell.db-journal")).unwrap();

        close_to_others(dir.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for (name, _, after) in cases {
            assert_eq!(mode(&dir.path().join(name)), after, "{name}");
        }
        assert_eq!((mode(dir.path()), mode(&keys)), (0o700, 0o700));
        assert_eq!(mode(elsewhere.path()), 0o644);
    }
}
