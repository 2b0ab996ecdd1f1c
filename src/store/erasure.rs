//! Erasing a person: everything about them, in every table, in commits of a bounded size.
//!
//! What holds here:
//! - [`TABLES`] is the one list of tables that hold something about a person. A contract test reads the schema of both engines and
//!   fails for a table with a user in it of which a row is left, and for a table that is in neither of the two lists.
//! - The first commit takes away every way to reach them (devices, addresses, sessions, groups), so nobody is notified from then on
//!   even if the rest takes long.
//! - What is erased leaves no trace that stands in the way: a later alert for the same id makes a new person. Only the tokens they
//!   had stay refused for [`ERASED_SESSIONS_KEPT`], under a hash that names nobody.
//! - It may stop anywhere and be repeated: each commit erases what it finds.
//!
//! Lock order: the person, their inbox, alerts, escalations, as in a step and as when alerts are recorded.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;

use super::{
    AuditedChange, EscalationKey, Failure, Store, StoreError, Tx,
    key_rows::{AlertRow, UserAlertRow},
    row_batch::{Batch, Statement},
    stored_name,
    summaries::of_user,
    text,
};
use crate::domain::{
    AlertId, Channel, Timestamp, UserKey,
    audit::{self, AuditAction},
};

/// Rows of one table that one commit erases, about.
pub const ERASED_ROWS_PER_COMMIT_MAX: usize = 500;
/// How long the tokens that an erased person had are refused: longer than any token should live.
pub const ERASED_SESSIONS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Who took an alert on for all, once that person was erased. Others are not chased for it again.
const ERASED: &str = "~erased";
/// Rows of forgotten sessions that one erasure sweeps.
const SWEPT_SESSIONS_MAX: i64 = 100;

/// A table with rows of people.
struct PersonTable {
    /// Its name, as in receipts.
    name: &'static str,
    /// Takes out about `$3` rows of the user `$2` of the tenant `$1`. The rows are looked up by their whole key: with a part of it
    /// given as well, a planner without statistics would go through all rows of the person for each.
    erase: &'static str,
}

/// The tables with rows of people, in the order in which they are emptied: first what reaches them, then what is chased, then what
/// happened. Besides these there are `inbox`, which takes alerts with it, and `users`, which is last.
const TABLES: &[PersonTable] = &[
    PersonTable {
        name: "devices",
        erase: "DELETE FROM devices WHERE (tenant, user_id, device_id) IN
                (SELECT tenant, user_id, device_id FROM devices
                 WHERE tenant = $1 AND user_id = $2 ORDER BY device_id LIMIT $3)",
    },
    PersonTable {
        name: "live_activities",
        erase: "DELETE FROM live_activities WHERE (tenant, user_id, alert_id, device_id) IN
                (SELECT tenant, user_id, alert_id, device_id FROM live_activities
                 WHERE tenant = $1 AND user_id = $2 ORDER BY alert_id, device_id LIMIT $3)",
    },
    PersonTable {
        name: "addresses",
        erase: "DELETE FROM addresses WHERE (tenant, user_id, channel) IN
                (SELECT tenant, user_id, channel FROM addresses
                 WHERE tenant = $1 AND user_id = $2 ORDER BY channel LIMIT $3)",
    },
    PersonTable {
        name: "group_members",
        erase: "DELETE FROM group_members WHERE (tenant, group_id, user_id) IN
                (SELECT tenant, group_id, user_id FROM group_members
                 WHERE tenant || '' = $1 AND user_id || '' = $2 LIMIT $3)",
    },
    PersonTable {
        name: "presence",
        erase: "DELETE FROM presence WHERE (tenant, user_id, pod) IN
                (SELECT tenant, user_id, pod FROM presence
                 WHERE tenant = $1 AND user_id = $2 ORDER BY pod LIMIT $3)",
    },
    PersonTable {
        name: "outbox",
        erase: "DELETE FROM outbox WHERE (route, ready_at_ms, outcome_id) IN
                (SELECT route, ready_at_ms, outcome_id FROM outbox
                 WHERE tenant = $1 AND user_id || '' = $2 AND user_id || '' > '' LIMIT $3)",
    },
    PersonTable {
        name: "escalations",
        erase: "DELETE FROM escalations WHERE (tenant, user_id, alert_id) IN
                (SELECT tenant, user_id, alert_id FROM escalations
                 WHERE tenant = $1 AND user_id = $2 ORDER BY alert_id LIMIT $3)",
    },
    PersonTable {
        name: "group_receipts",
        erase: "DELETE FROM group_receipts WHERE (tenant, user_id, alert_id, said, version) IN
                (SELECT tenant, user_id, alert_id, said, version FROM group_receipts
                 WHERE tenant = $1 AND user_id = $2 ORDER BY alert_id, said, version LIMIT $3)",
    },
    PersonTable {
        name: "told",
        erase: "DELETE FROM told WHERE (tenant, user_id, alert_id, channel) IN
                (SELECT tenant, user_id, alert_id, channel FROM told
                 WHERE tenant = $1 AND user_id = $2 ORDER BY alert_id, channel LIMIT $3)",
    },
    PersonTable {
        name: "lately",
        erase: "DELETE FROM lately WHERE (tenant, user_id, channel) IN
                (SELECT tenant, user_id, channel FROM lately
                 WHERE tenant = $1 AND user_id = $2 ORDER BY channel LIMIT $3)",
    },
    PersonTable {
        name: "attempts",
        erase: "DELETE FROM attempts WHERE attempt_id IN
                (SELECT attempt_id FROM attempts
                 WHERE tenant = $1 AND user_id || '' = $2 AND user_id || '' > '' LIMIT $3)",
    },
    PersonTable {
        // Its rows have no key, so they go by their time, and a few more with the same one.
        name: "notes",
        erase: "DELETE FROM notes WHERE tenant = $1 AND user_id || '' = $2 AND user_id || '' > '' AND at_ms <= coalesce(
                (SELECT at_ms FROM notes WHERE tenant = $1 AND user_id || '' = $2 AND user_id || '' > ''
                 ORDER BY at_ms LIMIT 1 OFFSET $3),
                9223372036854775807)",
    },
];

/// Tables that hold nothing about a person by themselves, each with the reason. What else is in the schema is in the list of those
/// that are erased.
const TABLES_OF_NOBODY: &[(&str, &str)] = &[
    ("meta", "what this store is"),
    ("api_keys", "producers, which are programs"),
    ("pods", "processes"),
    ("outbox_routes", "where outcomes go, not whose they are"),
    ("sweeps", "which process does what for all of them"),
    ("topic_events", "what is kept of topics is for whoever subscribes, and from no user"),
    ("expansions", "audiences that are being told; a row is gone when that is done"),
    ("expansion_texts", "what those audiences are told; a row is gone with that of its audience"),
    (
        "broadcast_channels",
        "what Apple calls the channel of an alert for everyone; a row is gone when its channel is deleted",
    ),
    ("erased_sessions", "a hash that names nobody, for a month"),
];

/// What an erasure takes out of an alert or a person beside [`TABLES`].
const OTHER_TABLES: &[&str] = &["inbox", "alerts", "versions", "audit_log", "users"];

/// Characters of a pseudonym by which the audit log tells of an erased person.
const ERASED_OBJECT_CHARS: usize = 16;

/// What one commit of an erasure took out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedBatch {
    /// Rows by table, in the order in which they went; tables of which nothing went are left out.
    pub rows: Vec<(&'static str, u64)>,
    /// Whether nothing is left.
    pub is_over: bool,
}

impl Store {
    /// The tables of which an erasure takes rows, and those that hold nothing about people with the reason.
    pub fn tables_of_people() -> (Vec<&'static str>, &'static [(&'static str, &'static str)]) {
        let erased = TABLES.iter().map(|table| table.name).chain(OTHER_TABLES.iter().copied());
        (erased.collect(), TABLES_OF_NOBODY)
    }

    /// Refuses the tokens of this user that were issued up to now, whether or not they are known, and returns up to when: the latest
    /// of all erasures. It outlasts the rows of the person; [`Store::heads`] tells of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refuse_erased_sessions(
        &self,
        user: &UserKey,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let user_hash = self.user_hash(user).await?;
        writing!(self, "refuse_erased_sessions", |tx| {
            // Swept here, because rows come from erasures alone.
            sqlx::query(
                "DELETE FROM erased_sessions WHERE (tenant, user_hash) IN
                 (SELECT tenant, user_hash FROM erased_sessions WHERE forget_at_ms <= $1 ORDER BY forget_at_ms LIMIT $2)",
            )
            .bind(now.as_millisecond())
            .bind(SWEPT_SESSIONS_MAX)
            .execute(&mut **tx)
            .await?;
            let row = sqlx::query(
                "INSERT INTO erased_sessions (tenant, user_hash, issued_until_ms, forget_at_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant, user_hash) DO UPDATE SET
                     issued_until_ms = CASE WHEN erased_sessions.issued_until_ms > excluded.issued_until_ms
                         THEN erased_sessions.issued_until_ms ELSE excluded.issued_until_ms END,
                     forget_at_ms = CASE WHEN erased_sessions.forget_at_ms > excluded.forget_at_ms
                         THEN erased_sessions.forget_at_ms ELSE excluded.forget_at_ms END
                 RETURNING issued_until_ms",
            )
            .bind(user.tenant.as_str())
            .bind(&user_hash)
            .bind(now.as_millisecond())
            .bind((now + ERASED_SESSIONS_KEPT).as_millisecond())
            .fetch_one(&mut **tx)
            .await?;
            super::time(&row, "issued_until_ms")
        })
        .await
    }

    /// Takes out about `rows_max` rows of each table that are about this person; call it until it is over.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn erase_batch(&self, user: &UserKey, rows_max: usize) -> Result<ErasedBatch, StoreError> {
        writing!(self, "erase_batch", |tx| self.erase_in(tx, user, rows_max).await).await
    }

    async fn erase_in(&self, tx: &mut Tx, user: &UserKey, rows_max: usize) -> Result<ErasedBatch, Failure> {
        // The lock of a step that sends a summary: of the person, and then of their inbox.
        let summary = AlertId::summary_by(Channel::Push).ok_or(Failure::Unreadable("alert_id"))?;
        self.lock_person(tx, &EscalationKey { user: user.clone(), alert: summary }).await?;
        let mut erased = Erased { rows: Vec::new(), rows_max: rows_max as u64, is_over: true };
        of_user(
            sqlx::query(
                "UPDATE users SET email = NULL, email_refused_at_ms = NULL, locale = NULL, preferences = NULL,
                     time_zone = NULL, preference_defaults = NULL, named_only = 1 WHERE tenant = $1 AND user_id = $2",
            ),
            user,
        )
        .execute(&mut **tx)
        .await?;
        self.erase_inbox(tx, user, &mut erased).await?;
        for table in TABLES {
            let done = of_user(sqlx::query(AssertSqlSafe(table.erase)), user).bind(rows_max as i64);
            erased.count(table.name, done.execute(&mut **tx).await?.rows_affected());
        }
        let taken = of_user(
            sqlx::query(
                "UPDATE alerts SET taken_by = $4 WHERE (tenant, alert_id) IN
                 (SELECT tenant, alert_id FROM alerts WHERE tenant = $1 AND taken_by = $2 LIMIT $3)",
            ),
            user,
        );
        let taken = taken.bind(rows_max as i64).bind(ERASED).execute(&mut **tx).await?.rows_affected();
        erased.is_over &= taken < rows_max as u64;
        // What was done is still told, and no longer to whom; people name devices after themselves.
        let named = sqlx::query(
            "UPDATE audit_log SET object = $4,
                 outcome = CASE WHEN outcome LIKE 'device %' THEN 'a device' ELSE outcome END WHERE entry_id IN
             (SELECT entry_id FROM audit_log WHERE tenant = $1 AND object = $2 LIMIT $3)",
        );
        let named =
            named.bind(user.tenant.as_str()).bind(audit::user_object(&user.user)).bind(rows_max as i64);
        let named = named.bind(self.erased_object(user).await?).execute(&mut **tx).await?;
        erased.count("audit_log", named.rows_affected());
        if erased.is_over {
            let person = of_user(sqlx::query("DELETE FROM users WHERE tenant = $1 AND user_id = $2"), user);
            erased.rows.push(("users", person.execute(&mut **tx).await?.rows_affected()));
        }
        erased.rows.retain(|(_, rows)| *rows > 0);
        Ok(ErasedBatch { rows: erased.rows, is_over: erased.is_over })
    }

    /// Inbox rows, and the alerts that nobody holds without them. An alert is locked before it is looked at: whoever is recording
    /// it for somebody else holds that lock, and their row is seen once it is free.
    async fn erase_inbox(&self, tx: &mut Tx, user: &UserKey, erased: &mut Erased) -> Result<(), Failure> {
        static LOCK: Statement<AlertRow<'_>> = Statement::new(
            "SELECT a.alert_id FROM {batch} JOIN alerts a USING (tenant, alert_id)
             ORDER BY a.tenant, a.alert_id {lock:a}",
        );
        static DELETE: Statement<UserAlertRow<'_>> = Statement::new(
            "DELETE FROM inbox WHERE (tenant, user_id, alert_id) IN (SELECT {columns} FROM {batch})",
        );
        // Each asked by key, whatever a planner believes of the tables.
        static ALONE: Statement<AlertRow<'_>> = Statement::new(
            "SELECT batch.alert_id FROM {batch} WHERE (SELECT 1 FROM inbox i
                 WHERE i.tenant = batch.tenant AND i.alert_id = batch.alert_id LIMIT 1) IS NULL
             AND (SELECT 1 FROM expansions e
                 WHERE e.tenant = batch.tenant AND e.alert_id = batch.alert_id LIMIT 1) IS NULL",
        );
        static VERSIONS: Statement<AlertRow<'_>> = Statement::new(
            "DELETE FROM versions WHERE (tenant, alert_id) IN (SELECT {columns} FROM {batch})",
        );
        static ALERTS: Statement<AlertRow<'_>> =
            Statement::new("DELETE FROM alerts WHERE (tenant, alert_id) IN (SELECT {columns} FROM {batch})");
        let page = of_user(
            sqlx::query(
                "SELECT alert_id FROM inbox WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 ORDER BY seq LIMIT $3",
            ),
            user,
        );
        let found = page.bind(erased.rows_max as i64).fetch_all(&mut **tx).await?;
        let mut held = Vec::with_capacity(found.len());
        for row in &found {
            held.push(stored_name!(row, "alert_id", AlertId));
        }
        let alerts = Batch::of(self.engine, held.iter().map(|alert| AlertRow::of(&user.tenant, alert)))?;
        LOCK.over(&alerts).fetch_all(&mut **tx).await?;
        let rows = Batch::of(self.engine, held.iter().map(|alert| UserAlertRow::of(user, alert)))?;
        erased.count("inbox", DELETE.over(&rows).execute(&mut **tx).await?.rows_affected());
        let found = ALONE.over(&alerts).fetch_all(&mut **tx).await?;
        let mut alone = Vec::with_capacity(found.len());
        for row in &found {
            alone.push(stored_name!(row, "alert_id", AlertId));
        }
        let alone = Batch::of(self.engine, alone.iter().map(|alert| AlertRow::of(&user.tenant, alert)))?;
        erased.rows.push(("alerts", ALERTS.over(&alone).execute(&mut **tx).await?.rows_affected()));
        erased.rows.push(("versions", VERSIONS.over(&alone).execute(&mut **tx).await?.rows_affected()));
        Ok(())
    }

    /// By what a person is known who must not be named: a hash with a key that only this store has. The same person has the same
    /// one for as long as the store lives.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pseudonym(&self, user: &UserKey) -> Result<String, StoreError> {
        self.in_time("pseudonym", self.pseudonym_in(user)).await
    }

    /// What the audit log calls a person who was erased.
    async fn erased_object(&self, user: &UserKey) -> Result<String, Failure> {
        let pseudonym = self.pseudonym_in(user).await?;
        Ok(format!("user:~{}", pseudonym.get(..ERASED_OBJECT_CHARS).unwrap_or(&pseudonym)))
    }

    /// Leaves an entry of an erasure, which names nobody.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_erasure(
        &self,
        user: &UserKey,
        outcome: String,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        writing!(self, "note_erasure", |tx| {
            let object = self.erased_object(user).await?;
            let change = AuditedChange::done(&user.tenant, AuditAction::UserErased, object);
            self.write_audit(tx, &change.with_outcome(outcome.as_str()), now).await
        })
        .await
    }

    /// Leaves an entry of something that was done to this person, and was no write. If they were erased meanwhile, it names nobody: it
    /// waits for the commit of an erasure that is under way, whose next one finds what was written before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_about_person(
        &self,
        user: &UserKey,
        action: AuditAction,
        outcome: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let user_hash = self.user_hash(user).await?;
        writing!(self, "note_about_person", |tx| {
            let is_there = !self.lock_users(tx, std::slice::from_ref(user), None).await?.is_empty();
            let erased = sqlx::query(
                "SELECT issued_until_ms FROM erased_sessions WHERE tenant = $1 AND user_hash = $2",
            );
            let erased = erased.bind(user.tenant.as_str()).bind(&user_hash).fetch_optional(&mut **tx).await?;
            let object = match erased {
                Some(_) if !is_there => self.erased_object(user).await?,
                _ => audit::user_object(&user.user),
            };
            let change = AuditedChange::done(&user.tenant, action, object);
            self.write_audit(tx, &change.with_outcome(outcome), now).await
        })
        .await
    }

    /// What stands for a person in [`erased_sessions`](Self::refuse_erased_sessions). Asked before a transaction begins: the key
    /// is read over a connection of its own, and many that hold one and wait for another would wait for each other.
    pub(super) async fn user_hash(&self, user: &UserKey) -> Result<String, StoreError> {
        self.in_time("pseudonym_key", self.pseudonym_in(user)).await
    }

    pub(super) async fn pseudonym_in(&self, user: &UserKey) -> Result<String, Failure> {
        let key = self.pseudonym_key.get_or_try_init(|| async {
            let row = sqlx::query("SELECT value FROM meta WHERE name = 'pseudonym_key'");
            match row.fetch_optional(&self.read).await? {
                Some(row) => text(&row, "value"),
                None => Err(Failure::Unreadable("pseudonym_key")),
            }
        });
        Ok(pseudonym_of(key.await?, user))
    }
}

/// What is counted while rows go.
struct Erased {
    rows: Vec<(&'static str, u64)>,
    rows_max: u64,
    is_over: bool,
}

impl Erased {
    /// So many rows went of this table. If they are as many as may, there may be more.
    fn count(&mut self, table: &'static str, rows: u64) {
        self.rows.push((table, rows));
        self.is_over &= rows < self.rows_max;
    }
}

/// Neither a tenant nor a user has a NUL in it, so no two people are hashed from one text.
fn pseudonym_of(key: &str, user: &UserKey) -> String {
    let digest = Sha256::digest(format!("{key}\0{}\0{}", user.tenant, user.user.as_str()));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_pseudonym_depends_on_the_key_the_tenant_and_the_user() {
    use crate::domain::{Tenant, UserId};

    let of = |key: &str, tenant: &str, user: &str| {
        let user = UserKey::new(Tenant::parse(tenant).unwrap(), UserId::parse(user).unwrap());
        pseudonym_of(key, &user)
    };
    let ana = of("k1", "acme", "ana");
    assert_eq!(ana, of("k1", "acme", "ana"));
    assert_eq!(ana.len(), 64);
    for other in [of("k2", "acme", "ana"), of("k1", "globex", "ana"), of("k1", "acme", "ben")] {
        assert_ne!(ana, other);
    }
}
