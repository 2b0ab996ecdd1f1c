//! A store for one test, and short ways to ask it and to step an escalation. What it is given comes from the builders.

use std::{path::Path, time::Duration};

use sqlx::{
    Connection as _,
    migrate::{Migration, Migrator},
};
use watchbell::domain::{InboxState, Secret, Seq, Timestamp, UserKey};
use watchbell::store::{Act, Ask, Claim, Decision, Escalation, Head, Holder, Store, StoreConfig};
use watchbell_tests::builders::{at, push_attempt};
use watchbell_tests::scratch::Scratch;
use watchbell_tests::services;

/// A migrated store that nobody else has.
pub struct StoreFixture {
    pub store: Store,
    pub url: Secret,
    _dir: Option<Scratch>,
}

impl StoreFixture {
    pub async fn sqlite() -> anyhow::Result<Self> {
        let dir = Scratch::in_memory("store")?;
        let url = Store::sqlite_url(&dir.path().join("store.db"));
        let store = open(&url)?;
        store.migrate().await?;
        Ok(Self { store, url, _dir: Some(dir) })
    }

    pub async fn postgres() -> anyhow::Result<Self> {
        let url = Secret::from(services::postgres().await?.migrated_database("store").await?);
        Ok(Self { store: open(&url)?, url, _dir: None })
    }

    /// The same store before this migration was applied: what it holds then is up to the test, and `migrate` goes on.
    pub async fn before(&self, migration: i64) -> anyhow::Result<Self> {
        let (url, dir) = match self.dialect(true, false) {
            true => (Secret::from(services::postgres().await?.fresh_database("store").await?), None),
            false => {
                let dir = Scratch::new("store")?;
                (Store::sqlite_url(&dir.path().join("store.db")), Some(dir))
            }
        };
        let earlier = known_migrations().await?.into_iter().filter(|one| one.version < migration).collect();
        let fixture = Self { store: open(&url)?, url, _dir: dir };
        Migrator::with_migrations(earlier).run(&mut fixture.connection().await?).await?;
        Ok(fixture)
    }

    /// Runs statements of the test's own, behind the store's back.
    pub async fn execute(&self, sql: impl Into<String>) -> anyhow::Result<()> {
        let mut connection = self.connection().await?;
        let sql = format!("{OWN_STATEMENT} {}", sql.into());
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// A connection of the test's own.
    pub async fn connection(&self) -> anyhow::Result<sqlx::AnyConnection> {
        Ok(sqlx::AnyConnection::connect(self.url.expose()).await?)
    }

    /// Which of two texts is for this engine.
    pub fn dialect<T>(&self, postgres: T, sqlite: T) -> T {
        if self.url.expose().starts_with("postgres") { postgres } else { sqlite }
    }

    /// A handle with connections of its own, as another process has.
    pub fn another_handle(&self) -> Store {
        open(&self.url).unwrap()
    }
}

/// The migrations of this program, from their files.
pub async fn known_migrations() -> anyhow::Result<Vec<Migration>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/store/migrations");
    Ok(Migrator::new(folder).await?.iter().cloned().collect())
}

pub fn open(url: &Secret) -> anyhow::Result<Store> {
    Store::open(&StoreConfig { url: url.clone(), connections_max: 5 })
}

/// How statements begin that are a test's own, so that the test of the store's plans does not take them for the store's: to
/// explain two of them in one text would run the second.
const OWN_STATEMENT: &str = "/* of a test */";

pub const LEASE: Duration = Duration::from_secs(30);

/// Where `user`'s inbox stands.
pub async fn head(store: &Store, user: &UserKey) -> anyhow::Result<Head> {
    let heads = store.heads(std::slice::from_ref(user)).await?;
    Ok(heads.get(user).copied().unwrap_or_default())
}

/// Everything in `user`'s inbox: `(alert, seq, state)` in the order of change.
pub async fn inbox(store: &Store, user: &UserKey) -> anyhow::Result<Vec<(String, Seq, InboxState)>> {
    let changes = store.changes_after(user, 0, usize::MAX >> 1).await?;
    assert!(changes.complete);
    Ok(changes.rows.into_iter().map(|row| (row.alert.to_string(), row.seq, row.state)).collect())
}

/// Chance from a seed, so that what failed once fails again.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 0 to `sides - 1`. SplitMix64: <https://prng.di.unimi.it/splitmix64.c>.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// The first step of a claim.
pub fn ask<'a>(
    claim: &'a Claim,
    now: Timestamp,
    decide: &'a (dyn Fn(&Escalation) -> Decision + Send + Sync),
) -> Ask<'a> {
    Ask { key: &claim.key, holder: Holder::Claim(claim.number), answers: &[], now, decide }
}

/// A push to `phone` begins, by a decision on the first step, which was due at `due`.
pub fn push(number: u128, due: i64) -> Decision {
    Decision::new(0, at(due), Act::Attempt(vec![push_attempt(number).build()]))
}
