//! Which history this store tells: the part of a cursor that changes when a backup was restored.
//!
//! A change number means something only within the history that counted it. The name of a history is made of what a
//! backup does not hold or brings back with another value, so that a restore changes it without anybody's help:
//!
//! | what | changes when |
//! |---|---|
//! | PostgreSQL's system identifier | the data is in another cluster |
//! | its timeline | a standby was promoted, or a backup was recovered to a point in time |
//! | the database, and the tables `users` and `meta`, as the server numbers them | a dump was restored, into a new database or over the tables of an old one |
//! | SQLite's file, by its number and birth | the file was put back |
//! | the word stored in `meta` | [`Store::begin_history`]: `watchbell restored`, or the mark below |
//!
//! One restore leaves all of that as it was: the disk is put back to an earlier moment. For it there is the mark: how far
//! PostgreSQL has written its log, which never goes back within a history. A process that sees it go back begins a new one.
//! With nobody running to remember the mark, there is `watchbell restored`.
//!
//! A failover that lost nothing changes the timeline too, and nobody can tell that it lost nothing: every client fetches
//! its inbox once.

use std::{os::unix::fs::MetadataExt as _, path::Path, sync::atomic::Ordering, time::UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;

use super::{Failure, Store, StoreError, dialect::Engine, int, text};

/// What PostgreSQL says when an ordinary user may not ask, the server does not have the question, or is a standby.
/// Then the name is made of the rest.
const CANNOT_BE_ASKED: [&str; 4] = ["42501", "42883", "55000", "0A000"];

/// A history, as it was read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Its name, eight characters: part of every cursor.
    pub name: String,
    /// The word stored in `meta`.
    word: String,
    /// How far the log was written, where that can be asked.
    mark: Option<i64>,
}

impl History {
    fn new(word: String, place: &[String], mark: Option<i64>) -> Self {
        let mut hash = Sha256::new();
        for part in place.iter().chain([&word]) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let name = hash.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name, word, mark }
    }

    /// Whether time went back between `before` and this, in what calls itself one history.
    pub fn went_back_since(&self, before: &Self) -> bool {
        self.name == before.name && self.mark.zip(before.mark).is_some_and(|(now, then)| now < then)
    }
}

impl Store {
    /// The history this store tells now. Asked at start, whenever the store was away, and now and then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(&self) -> Result<History, StoreError> {
        self.in_time("history", async {
            match self.engine {
                Engine::Postgres => self.history_of_postgres().await,
                Engine::Sqlite => self.history_of_sqlite().await,
            }
        })
        .await
    }

    async fn history_of_postgres(&self) -> Result<History, Failure> {
        let known = "SELECT (SELECT value FROM meta WHERE name = 'epoch') AS word,
                            (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS db,
                            'users'::regclass::oid::text AS users, pg_relation_filenode('meta')::text AS meta";
        let known = sqlx::query(known).fetch_one(&self.read).await?;
        let mut place = vec![text(&known, "db")?, text(&known, "users")?, text(&known, "meta")?];
        let system = "SELECT system_identifier::text AS id FROM pg_control_system()";
        if let Some(row) = self.ask_if_allowed(system).await? {
            place.push(text(&row, "id")?);
        }
        // A promoted server writes files of its new timeline at once, and its checkpoint says so only later.
        let log = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline,
                          (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint AS mark";
        let mut mark = None;
        if let Some(row) = self.ask_if_allowed(log).await? {
            place.push(text(&row, "timeline")?);
            mark = Some(int(&row, "mark")?);
        }
        Ok(History::new(text(&known, "word")?, &place, mark))
    }

    async fn history_of_sqlite(&self) -> Result<History, Failure> {
        let known = "SELECT (SELECT value FROM meta WHERE name = 'epoch') AS word,
                            (SELECT file FROM pragma_database_list WHERE name = 'main') AS file";
        let known = sqlx::query(known).fetch_one(&self.read).await?;
        let place = place_of(Path::new(&text(&known, "file")?));
        Ok(History::new(text(&known, "word")?, &place, None))
    }

    async fn ask_if_allowed(&self, statement: &'static str) -> Result<Option<AnyRow>, Failure> {
        match sqlx::query(statement).fetch_one(&self.read).await {
            Ok(row) => Ok(Some(row)),
            Err(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| CANNOT_BE_ASKED.contains(&code.as_ref())) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a new history: every cursor that was given out before is answered with `resync`. With `from`, only if that
    /// is still the one, so that many processes that notice the same thing begin one together.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_history(&self, from: Option<&History>) -> Result<(), StoreError> {
        self.in_time("begin_history", async {
            let word = new_word();
            let changed = match from {
                None => sqlx::query("UPDATE meta SET value = $1 WHERE name = 'epoch'").bind(word),
                Some(from) => sqlx::query("UPDATE meta SET value = $1 WHERE name = 'epoch' AND value = $2")
                    .bind(word)
                    .bind(from.word.clone()),
            };
            changed.execute(&self.write).await?;
            Ok(())
        })
        .await
    }

    /// How many connections were made so far. One more may lead to another server: a time to ask for the history.
    pub fn connections_made(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A word that no other history has.
pub(super) fn new_word() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..8].to_owned()
}

/// The file as the system numbers it, and when it was born: a number alone is given to the next file.
fn place_of(file: &Path) -> Vec<String> {
    let Ok(found) = std::fs::metadata(file) else { return Vec::new() };
    let born = found.created().ok().and_then(|at| Some(at.duration_since(UNIX_EPOCH).ok()?.as_nanos()));
    vec![found.ino().to_string(), born.unwrap_or_default().to_string()]
}

#[test]
fn a_history_goes_by_its_place_and_word_and_notices_that_time_went_back() {
    let history = |word: &str, place: &[&str], mark| {
        let place: Vec<String> = place.iter().map(|part| (*part).to_owned()).collect();
        History::new(word.to_owned(), &place, mark)
    };
    let before = history("w", &["1", "23"], Some(100));
    assert_eq!(before.name.len(), 8);
    for (why, now, is_the_same, went_back) in [
        ("nothing happened", history("w", &["1", "23"], Some(100)), true, false),
        ("time passed", history("w", &["1", "23"], Some(200)), true, false),
        ("the disk was put back", history("w", &["1", "23"], Some(99)), true, true),
        ("nobody may ask for the mark", history("w", &["1", "23"], None), true, false),
        (
            "another timeline, which writes its log from an earlier place",
            history("w", &["1", "24"], Some(99)),
            false,
            false,
        ),
        ("parts are not run together", history("w", &["12", "3"], Some(100)), false, false),
        ("`watchbell restored`", history("x", &["1", "23"], Some(100)), false, false),
    ] {
        assert_eq!(
            (now.name == before.name, now.went_back_since(&before)),
            (is_the_same, went_back),
            "{why}"
        );
    }
}
