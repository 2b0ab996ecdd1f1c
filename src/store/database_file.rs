//! Whether the SQLite file that is open is still the one at its path.
//!
//! A file that was deleted or replaced stays open, and takes every write: all of it is gone when the process ends. SQLite does
//! not notice while it keeps a write-ahead log. So the store remembers which file it opened first, and looks at the path
//! again with each write and for `/readyz`: one call of the system.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::OnceLock,
};

use sqlx::sqlite::SqliteConnectOptions;

use super::dialect::Engine;
use crate::runtime::health::Fault;

/// A file as the system numbers it: its device, and its number there.
type FileId = (u64, u64);

/// Where the file is, and which it was.
#[derive(Debug, Default)]
pub(super) struct DatabaseFile {
    /// None for PostgreSQL, and for SQLite in memory.
    path: Option<PathBuf>,
    first: OnceLock<FileId>,
}

impl DatabaseFile {
    pub(super) fn of(engine: Engine, url: &str) -> Self {
        let file = |options: SqliteConnectOptions| options.get_filename().to_path_buf();
        let path = match engine {
            Engine::Postgres => None,
            Engine::Sqlite if url.contains(":memory:") || url.contains("mode=memory") => None,
            Engine::Sqlite => SqliteConnectOptions::from_str(url).ok().map(file),
        };
        Self { path, first: OnceLock::new() }
    }

    /// Remembers the file, when its first connection is made.
    pub(super) fn remember(&self) {
        if let Some(id) = self.path.as_deref().and_then(id_of) {
            self.first.get_or_init(|| id);
        }
    }

    /// Refuses when another file, or none, is at the path.
    pub(super) fn check(&self) -> Result<(), sqlx::Error> {
        match (&self.path, self.first.get()) {
            (Some(path), Some(first)) if id_of(path) != Some(*first) => {
                Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::NotFound, moved().cause)))
            }
            _ => Ok(()),
        }
    }
}

fn id_of(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Why the store does not work then.
pub(super) fn moved() -> Fault {
    Fault::new(
        "the SQLite file was deleted or replaced while it was open",
        "move it back to where it was, or restart Watchbell, which goes on with what is at that path",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        domain::{Tenant, Timestamp},
        runtime::health::Seen,
        store::{KeyRights, Store, StoreConfig, StoreError},
    };

    /// What takes the file away, from its path and a path beside it.
    type Happens = fn(&Path, &Path);

    #[tokio::test]
    async fn a_file_that_was_deleted_or_replaced_takes_nothing_until_it_is_back() {
        let cases: [(&str, Happens); 3] = [
            ("moved away", |file, beside| fs::rename(file, beside).unwrap()),
            ("replaced by another", |file, beside| {
                fs::rename(file, beside).unwrap();
                fs::write(file, "").unwrap();
            }),
            ("replaced by its copy", |file, beside| {
                fs::rename(file, beside).unwrap();
                fs::copy(beside, file).unwrap();
            }),
        ];
        for (why, happens) in cases {
            let dir = tempfile::tempdir().unwrap();
            let (file, beside) = (dir.path().join("a file.db"), dir.path().join("beside.db"));
            let url = Store::sqlite_url(&file);
            let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
            store.migrate().await.unwrap();
            let acme = KeyRights::of(Tenant::parse("acme").unwrap());
            let write = |hash: &'static str| store.add_api_key(hash, &acme, "ci", Timestamp::UNIX_EPOCH);
            write("before").await.unwrap();
            assert_eq!(store.look().await.store, Seen::Ok, "{why}");

            happens(&file, &beside);
            let refused = write("lost").await;
            assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{why}: {refused:?}");
            assert_eq!(store.look().await.store, Seen::Failing(moved()), "{why}");

            fs::rename(&beside, &file).unwrap();
            write("after").await.unwrap();
            assert_eq!(store.look().await.store, Seen::Ok, "{why}: it is back");
            store.close().await;
        }
    }

    #[test]
    fn only_a_file_has_a_place() {
        for (engine, url, has_path) in [
            (Engine::Sqlite, "sqlite:/tmp/watchbell.db?mode=rwc", true),
            (Engine::Sqlite, "sqlite::memory:", false),
            (Engine::Postgres, "postgres://a@b/c", false),
        ] {
            assert_eq!(DatabaseFile::of(engine, url).path.is_some(), has_path, "{url}");
        }
    }
}
