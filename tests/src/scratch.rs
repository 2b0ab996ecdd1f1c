//! Folders for one test run: made under the system's temporary folder, removed when dropped.
//!
//! Why not `tempfile` (3.27), which unit tests use: PostgreSQL runs as another user and has to enter the folder, a process that
//! is killed has to leave none behind, and a failed test's logs are to be kept on demand.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use anyhow::Context;

use crate::guard;

static MADE: AtomicU32 = AtomicU32::new(0);

/// A new empty folder that every user may enter, because PostgreSQL refuses to run as root.
///
/// It is removed when dropped, and by the guard when the process is killed. To look at the logs
/// of a failed test, set `WATCHBELL_KEEP`: then nothing is removed.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// `name` is for whoever reads the folder's path.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        Self::made_in(&env::temp_dir(), name)
    }

    /// The same in memory, where the system has a folder there: for tests that are not about what a disk keeps, and
    /// would otherwise wait for it at every commit.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn in_memory(name: &str) -> anyhow::Result<Self> {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::made_in(memory, name) } else { Self::new(name) }
    }

    fn made_in(parent: &Path, name: &str) -> anyhow::Result<Self> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("watchbell-{}-{number}-{name}", process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        if !keep() {
            guard::remove(&path);
        }
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if keep() {
            eprintln!("Kept {}", self.0.display());
        } else {
            // A process that is just being killed may still write; the guard tries again.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn keep() -> bool {
    env::var_os("WATCHBELL_KEEP").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_new_and_goes_with_its_owner() {
        let (one, two) = (Scratch::new("same").unwrap(), Scratch::new("same").unwrap());
        assert_ne!(one.path(), two.path());
        fs::write(one.path().join("file"), "x").unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert_eq!(path.exists(), keep());
    }
}
