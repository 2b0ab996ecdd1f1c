//! What each alert says: the content that came first of its highest version. Every recipient's row says the same (I2).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::SignedDuration;
use sqlx::any::AnyRow;

use super::{
    Failure, GONE_TRIES_MAX, NewAlert, Store, StoreError, Tx,
    acknowledgements::acknowledgement_in,
    int,
    key_rows::AlertRow,
    left_out::noted,
    maybe_int, maybe_text, maybe_time, maybe_word,
    publications::known_of,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text, time, word,
};
use crate::domain::{
    Acknowledgement, AlertId, GroupRule, OutcomeBy, Status, Tenant, Timestamp, UserId,
    acknowledgement::is_open_again,
    inbox::Stand,
    publication::{Fingerprint, Known, Meets, VersionFingerprints, meets},
};

/// What an alert says while a batch is recorded, by its key; sorted, so that all lock in one order.
pub(super) type LockedAlerts = BTreeMap<(Tenant, AlertId), LockedAlert>;

/// What an alert says now.
pub(super) struct LockedAlert {
    pub(super) stand: Stand,
    pub(super) content: Arc<str>,
    /// By which rules people are chased for it.
    pub(super) rules: Rules,
    /// The place in the batch of the alert that says it; none when it was stored before.
    pub(super) by: Option<usize>,
    /// What its versions said, and who made it.
    pub(super) known: Known,
    /// Who published what it says now, if that is that it is acknowledged.
    pub(super) acknowledged_by: Option<OutcomeBy>,
    /// Which of its recipients has it, where one of them is to acknowledge it.
    pub(super) acknowledgement: Option<Acknowledgement>,
    /// Whether somebody had it who has it no more.
    is_let_go: bool,
    /// When what it says now was recorded.
    pub(super) latest_at: Timestamp,
    /// Whether it was deleted, and is known only so that what is delivered once more reaches nobody.
    pub(super) is_deleted: bool,
    /// What the batch changed of what is stored: before and after, a pair a version.
    changes: Vec<(Stand, Stand)>,
}

impl LockedAlert {
    /// An alert that is new to the store.
    fn new(by: usize, new: &NewAlert, now: Timestamp) -> Self {
        let stand = Stand::of(&new.alert);
        let maker = new.publication.as_ref().and_then(|publication| publication.by.as_ref());
        let maker = maker.map(|maker| maker.key.clone());
        let mut known = Known { version: stand.version, said: VersionFingerprints::default(), maker };
        say(&mut known, new);
        let (content, rules) = (new.content.clone(), Rules::of(new, now));
        let acknowledged_by = acknowledger(new);
        let (latest_at, is_deleted, changes) = (now, false, Vec::new());
        let acknowledgement = acknowledgement_of(None, new.group, false);
        Self {
            stand,
            content,
            rules,
            by: Some(by),
            known,
            acknowledged_by,
            acknowledgement,
            is_let_go: false,
            latest_at,
            is_deleted,
            changes,
        }
    }

    /// Whether it was there before the batch. Asked before anything of the batch is taken in.
    pub(super) fn was_stored(&self) -> bool {
        self.by.is_none()
    }

    /// Takes in the next alert of the batch: a later version is what it says from here on, any other changes nothing of
    /// what is shown.
    pub(super) fn meet(&mut self, by: usize, new: &NewAlert, now: Timestamp) -> Meets {
        let version = new.alert.version;
        let met = match &new.publication {
            Some(_) if self.by == Some(by) => Meets::Nothing,
            Some(publication) => meets(Some(&self.known), version, publication),
            None if version > self.stand.version => Meets::Earlier,
            None => Meets::Same,
        };
        match met {
            Meets::Earlier => {
                self.known.version = version;
                say(&mut self.known, new);
                self.let_go(new);
                self.changes.push((self.stand, Stand::of(&new.alert)));
                (self.stand, self.content) = (Stand::of(&new.alert), new.content.clone());
                (self.rules, self.by) = (Rules::of(new, now), Some(by));
                self.acknowledged_by = acknowledger(new);
                (self.latest_at, self.is_deleted) = (now, false);
            }
            // What a stale one says is not kept: said twice, it would be taken for an overtaken version.
            Meets::Nothing
            | Meets::Same
            | Meets::Later
            | Meets::Stale
            | Meets::Conflict
            | Meets::NotItsOwn
            | Meets::TooFarAhead => {}
        }
        met
    }

    /// Whoever has it keeps it, unless the later version makes it anybody's again.
    fn let_go(&mut self, later: &NewAlert) {
        let is_open_again = is_open_again(self.stand, Stand::of(&later.alert));
        let had = self.acknowledgement.take();
        self.is_let_go |= is_open_again && matches!(had, Some(Acknowledgement::Taken { .. }));
        self.acknowledgement = acknowledgement_of(had, later.group, is_open_again);
    }
}

/// Who has an alert under a rule, who had it before.
fn acknowledgement_of(
    had: Option<Acknowledgement>,
    rule: GroupRule,
    is_open_again: bool,
) -> Option<Acknowledgement> {
    match rule {
        GroupRule::Each | GroupRule::FirstStopsAll => None,
        GroupRule::FirstAcknowledges => Some(had.filter(|_| !is_open_again).unwrap_or(Acknowledgement::Open)),
    }
}

/// Whether this may be the first that is recorded of its alert.
fn can_begin(new: &NewAlert) -> bool {
    let met = |publication| meets(None, new.alert.version, publication);
    !new.publication.as_ref().map_or(Meets::Nothing, met).is_refused()
}

/// Who published an alert that says it is acknowledged.
fn acknowledger(new: &NewAlert) -> Option<OutcomeBy> {
    let key = || Some(new.publication.as_ref()?.by.as_ref()?.key.to_string());
    (new.alert.status == Status::Acknowledged).then(|| key().map_or(OutcomeBy::Amqp, OutcomeBy::Key))
}

/// Keeps what this version says. Also of one that nobody published, such as a suppressed alert that fires again: else whoever
/// publishes under its number would not be told from it.
fn say(known: &mut Known, new: &NewAlert) {
    let fingerprint = match &new.publication {
        Some(publication) => publication.fingerprint.clone(),
        None => Fingerprint::of(&new.content, new.alert.policy.as_deref()),
    };
    known.said.add(new.alert.version, fingerprint);
}

/// By which rules people are chased for what an alert says: those of the version that says it, whichever version names
/// them (I13).
#[derive(Clone)]
pub(super) struct Rules {
    /// The policy's name.
    pub(super) policy: Arc<str>,
    /// How long its first step waits; none for a policy without steps.
    pub(super) first_wait: Option<SignedDuration>,
    /// How long it waits when nobody is there.
    pub(super) absent_wait: Option<SignedDuration>,
    /// When nobody is told any more.
    pub(super) expires_at: Timestamp,
}

impl Rules {
    pub(super) fn of(new: &NewAlert, now: Timestamp) -> Self {
        let wait = |at: Timestamp| at.duration_since(now);
        let (policy, expires_at) = (new.policy.clone(), new.expires_at);
        Self {
            policy,
            first_wait: new.first_due_at.map(wait),
            absent_wait: new.absent_due_at.map(wait),
            expires_at,
        }
    }

    /// As they are stored. `None`: by a version of this program that did not store them.
    fn stored(row: &AnyRow) -> Result<Option<Self>, Failure> {
        let wait = |column| {
            let wait = maybe_int(row, column)?;
            Ok::<_, Failure>(wait.map(SignedDuration::from_millis))
        };
        let (policy, expires_at) = (maybe_text(row, "chased_under")?, maybe_time(row, "expires_at_ms")?);
        let (Some(policy), Some(expires_at)) = (policy, expires_at) else { return Ok(None) };
        let (first_wait, absent_wait) = (wait("first_wait_ms")?, wait("absent_wait_ms")?);
        Ok(Some(Self { policy: policy.into(), first_wait, absent_wait, expires_at }))
    }
}

impl Store {
    /// Locks the alerts of a batch, those that are new to the store as their first in the batch says. One that is new and
    /// cannot begin so is not among them.
    pub(super) async fn lock_alerts(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        now: Timestamp,
    ) -> Result<LockedAlerts, Failure> {
        static INSERT: Statement<AlertValues<'_>> = Statement::new(
            "INSERT INTO alerts ({columns}, recorded_at_ms) SELECT {columns}, $1
             FROM {batch} WHERE true ON CONFLICT (tenant, alert_id) DO NOTHING RETURNING tenant, alert_id",
        );
        let (mut held, mut firsts) = (LockedAlerts::new(), BTreeMap::new());
        for (by, new) in batch.iter().enumerate() {
            let key = (new.alert.tenant.clone(), new.alert.id.clone());
            firsts.entry(key.clone()).or_insert(new);
            if can_begin(new) {
                held.entry(key).or_insert_with(|| LockedAlert::new(by, new, now));
            }
        }
        let mut missing: BTreeSet<_> = firsts.keys().cloned().collect();
        for _ in 0..GONE_TRIES_MAX {
            let new = held.iter().filter(|(key, _)| missing.contains(key));
            let values = new.filter_map(|(_, held)| AlertValues::of(batch, held, now));
            let values = Batch::of(self.engine, values)?;
            for row in &INSERT.over(&values).bind(now.as_millisecond()).fetch_all(&mut **tx).await? {
                missing
                    .remove(&(stored_name!(row, "tenant", Tenant), stored_name!(row, "alert_id", AlertId)));
            }
            // One that was deleted while this waited for its lock is added anew.
            self.lock_known(tx, &mut missing, &firsts, &mut held, now).await?;
            // What cannot begin and is not stored stays out.
            missing.retain(|key| held.contains_key(key));
            if missing.is_empty() {
                return Ok(held);
            }
        }
        Err(Failure::Unreadable("alerts"))
    }

    /// Locks those of these alerts that are stored, and takes them out of `known`. `firsts` has the first of the batch of each.
    async fn lock_known(
        &self,
        tx: &mut Tx,
        known: &mut BTreeSet<(Tenant, AlertId)>,
        firsts: &BTreeMap<(Tenant, AlertId), &NewAlert>,
        held: &mut LockedAlerts,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static SELECT: Statement<AlertRow<'_>> = Statement::new(
            "SELECT a.tenant, a.alert_id, a.version, a.severity, a.status, a.content, a.policy, a.chased_under,
                 a.first_wait_ms, a.absent_wait_ms, a.expires_at_ms, a.said, a.maker, a.acknowledged_by,
                 a.first_acknowledges, a.taken_by, a.taken_at_ms,
                 coalesce(a.latest_at_ms, a.recorded_at_ms) AS latest_at_ms, a.deleted_at_ms
             FROM {batch} JOIN alerts a USING (tenant, alert_id) ORDER BY a.tenant, a.alert_id {lock:a}",
        );
        if known.is_empty() {
            return Ok(());
        }
        let keys = known.iter().map(|(tenant, alert)| AlertRow::of(tenant, alert));
        let keys = Batch::of(self.engine, keys)?;
        let found = SELECT.over(&keys).fetch_all(&mut **tx).await?;
        for row in &found {
            let said = known_of(row)?;
            let stand = Stand {
                version: said.version,
                severity: word(row, "severity")?,
                status: word(row, "status")?,
            };
            let content = text(row, "content")?.into();
            let key = (stored_name!(row, "tenant", Tenant), stored_name!(row, "alert_id", AlertId));
            known.remove(&key);
            let Some(first) = firsts.get(&key) else { continue }; // Only what was asked for is found.
            let rules = Rules::stored(row)?.unwrap_or_else(|| Rules::of(first, now));
            let (acknowledged_by, changes) = (maybe_word(row, "acknowledged_by")?, Vec::new());
            let (latest_at, deleted_at) = (time(row, "latest_at_ms")?, maybe_time(row, "deleted_at_ms")?);
            let alert = LockedAlert {
                stand,
                content,
                rules,
                by: None,
                known: said,
                acknowledged_by,
                acknowledgement: acknowledgement_in(row)?,
                is_let_go: false,
                latest_at,
                is_deleted: deleted_at.is_some(),
                changes,
            };
            held.insert(key, alert);
        }
        Ok(())
    }

    /// Writes what the batch changed of its alerts, which are locked.
    pub(super) async fn write_alerts(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        held: &LockedAlerts,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<AlertValues<'_>> = Statement::new(
            "UPDATE alerts SET version = batch.version, severity = batch.severity, status = batch.status,
                 content = batch.content, policy = batch.policy, first_stops_all = batch.first_stops_all,
                 first_acknowledges = batch.first_acknowledges,
                 chased_under = batch.chased_under, first_wait_ms = batch.first_wait_ms,
                 absent_wait_ms = batch.absent_wait_ms, expires_at_ms = batch.expires_at_ms, said = batch.said,
                 returns_at_ms = batch.returns_at_ms, acknowledged_by = batch.acknowledged_by, latest_at_ms = $1,
                 trace = batch.trace, deleted_at_ms = NULL, audience = coalesce(batch.audience, alerts.audience),
                 returned_at_ms = coalesce(batch.returned_at_ms, alerts.returned_at_ms)
             FROM {batch} WHERE alerts.tenant = batch.tenant AND alerts.alert_id = batch.alert_id",
        );
        let changed = held.values().filter(|held| !held.changes.is_empty());
        let values = Batch::of(self.engine, changed.filter_map(|held| AlertValues::of(batch, held, now)))?;
        if values.is_empty() {
            return Ok(());
        }
        UPDATE.over(&values).bind(now.as_millisecond()).execute(&mut **tx).await?;
        self.let_go(tx, held).await?;
        // In order, so that no two transactions wait for each other.
        let later = held.iter().filter(|(_, held)| !held.changes.is_empty());
        let later: BTreeSet<_> = later.map(|((tenant, alert), _)| (tenant, alert)).collect();
        let later = later.into_iter().map(|(tenant, alert)| AlertRow::of(tenant, alert));
        self.wake_channels(tx, &Batch::of(self.engine, later)?, now).await?;
        self.write_versions(tx, held, now).await
    }

    /// Nobody has these alerts any more, of which the batch made that so.
    async fn let_go(&self, tx: &mut Tx, held: &LockedAlerts) -> Result<(), Failure> {
        static UPDATE: Statement<AlertRow<'_>> = Statement::new(
            "UPDATE alerts SET taken_by = NULL, taken_version = NULL, taken_at_ms = NULL
             FROM {batch} WHERE alerts.tenant = batch.tenant AND alerts.alert_id = batch.alert_id",
        );
        let let_go = held.iter().filter(|(_, held)| held.is_let_go);
        let keys = Batch::of(self.engine, let_go.map(|((tenant, alert), _)| AlertRow::of(tenant, alert)))?;
        if !keys.is_empty() {
            UPDATE.over(&keys).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Notes when each later version arrived, and what it changed. Nothing is decided by it.
    async fn write_versions(&self, tx: &mut Tx, held: &LockedAlerts, now: Timestamp) -> Result<(), Failure> {
        static INSERT: Statement<VersionValues<'_>> = Statement::new(
            "INSERT INTO versions ({columns}, recorded_at_ms) SELECT {columns}, $1
             FROM {batch} WHERE true ON CONFLICT (tenant, alert_id, version) DO NOTHING",
        );
        let values = held
            .iter()
            .flat_map(|(key, held)| held.changes.iter().map(move |change| VersionValues::of(key, change)));
        let values = Batch::of(self.engine, values)?;
        INSERT.over(&values).bind(now.as_millisecond()).execute(&mut **tx).await?;
        Ok(())
    }

    /// The people an alert reached already, in order, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recipients_after(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>, StoreError> {
        let holders = self.holders_after(tenant, alert, after, limit).await?;
        Ok(holders.into_iter().map(|(user, _)| user).collect())
    }

    /// The people an alert reached already, in order, after `after`, each with the version they hold: a later one goes to
    /// them as well.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn holders_after(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, u32)>, StoreError> {
        self.in_time("holders_after", async {
            let found = sqlx::query(
                "SELECT user_id, version FROM inbox
                 WHERE tenant = $1 AND alert_id = $2 AND user_id > $3 ORDER BY user_id LIMIT $4",
            )
            .bind(tenant.as_str())
            .bind(alert.as_str())
            .bind(after.map_or("", UserId::as_str))
            .bind(limit as i64)
            .fetch_all(&self.read)
            .await?;
            let holder = |row: &AnyRow| {
                let version =
                    u32::try_from(int(row, "version")?).map_err(|_| Failure::Unreadable("version"))?;
                Ok((stored_name!(row, "user_id", UserId), version))
            };
            found.iter().map(holder).collect()
        })
        .await
    }
}

batch_row! {
    /// What is written of an alert.
    struct AlertValues<'a> {
        tenant: &'a str,
        alert_id: &'a str,
        version: u32,
        severity: &'a str,
        status: &'a str,
        content: &'a str,
        policy: Option<&'a str>,
        first_stops_all: bool,
        first_acknowledges: bool,
        chased_under: &'a str,
        first_wait_ms: Option<i64>,
        absent_wait_ms: Option<i64>,
        expires_at_ms: Timestamp,
        said: String,
        maker: Option<&'a str>,
        returns_at_ms: Option<Timestamp>,
        returned_at_ms: Option<Timestamp>,
        acknowledged_by: Option<String>,
        audience: Option<String>,
        trace: Option<&'a str>,
    }
}

impl<'a> AlertValues<'a> {
    /// Of an alert that says what the batch said last; none for one that says what was stored before.
    fn of(batch: &'a [NewAlert], held: &'a LockedAlert, now: Timestamp) -> Option<Self> {
        let new = &batch[held.by?];
        let alert = &*new.alert;
        let wait_ms =
            |at: Timestamp| i64::try_from(at.duration_since(now).as_millis()).unwrap_or(i64::MAX / 2);
        Some(Self {
            tenant: alert.tenant.as_str(),
            alert_id: alert.id.as_str(),
            version: alert.version,
            severity: alert.severity.as_str(),
            status: alert.status.as_str(),
            content: &new.content,
            policy: alert.policy.as_deref(),
            first_stops_all: new.group == GroupRule::FirstStopsAll,
            first_acknowledges: new.group == GroupRule::FirstAcknowledges,
            chased_under: &new.policy,
            first_wait_ms: new.first_due_at.map(wait_ms),
            absent_wait_ms: new.absent_due_at.map(wait_ms),
            expires_at_ms: new.expires_at,
            said: held.known.said.to_string(),
            maker: held.known.maker.as_deref(),
            returns_at_ms: alert.returns_at(),
            returned_at_ms: new.returns.then_some(now),
            acknowledged_by: held.acknowledged_by.as_ref().map(ToString::to_string),
            audience: noted(&alert.to),
            trace: new.trace.as_deref(),
        })
    }
}

batch_row! {
    /// What a later version of an alert changed.
    struct VersionValues<'a> {
        tenant: &'a str,
        alert_id: &'a str,
        version: u32,
        severity: &'a str,
        status: &'a str,
        severity_before: &'a str,
        status_before: &'a str,
    }
}

impl<'a> VersionValues<'a> {
    fn of((tenant, alert): &'a (Tenant, AlertId), (before, after): &'a (Stand, Stand)) -> Self {
        Self {
            tenant: tenant.as_str(),
            alert_id: alert.as_str(),
            version: after.version,
            severity: after.severity.as_str(),
            status: after.status.as_str(),
            severity_before: before.severity.as_str(),
            status_before: before.status.as_str(),
        }
    }
}
