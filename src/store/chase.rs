//! What follows for people's escalations when alerts are recorded: they begin, begin anew, go on under another policy, or
//! stop. What follows is decided in `domain::inbox`; here it is carried out.
//!
//! The escalations of what is recorded already are locked before anything is decided on them, so that a push that begins
//! meanwhile is either counted as sent or begins after it (I5).

use std::collections::HashMap;

use sqlx::any::AnyRow;

use super::{
    EscalationKey, Failure, NewAlert, Store, Tx,
    alerts::{LockedAlerts, Rules},
    attempts::{Note, small},
    inbox_rows::Rows,
    int,
    key_rows::UserAlertRow,
    maybe_text, maybe_time, maybe_word,
    presence::is_present,
    row_batch::{Batch, Statement, batch_row},
    text, time,
    together::Together,
};
use crate::domain::{
    AlertId, Severity, StopReason, Timestamp, UserKey,
    inbox::{Chase, EscalationChange, Stand},
};

/// The escalations that a batch is about, as it leaves them; those that are neither stored nor opened are not in it.
#[derive(Default)]
pub(super) struct Chases(HashMap<(UserKey, AlertId), Chased>);

/// One escalation while a batch is recorded. Of several versions of one alert the last word counts.
struct Chased {
    policy: std::sync::Arc<str>,
    round: u32,
    opened_at: Timestamp,
    is_open: bool,
    has_begun: bool,
    /// Whether it is open or snoozed, so that its expiry ends something.
    can_expire: bool,
    /// Whether that has ended it.
    ended_expired: bool,
    /// When nobody is told any more.
    expires_at: Timestamp,
    /// Whether that moved, and nothing opens with it.
    expiry_moves: bool,
    sent: Option<Severity>,
    sent_before: Option<Severity>,
    /// When the person is told next, or looked after, if nothing comes between.
    promised: Option<Timestamp>,
    opens: Option<Opening>,
    stops: Option<StopReason>,
    /// What was sent before does not count any more, though nothing opens.
    forgets: bool,
    notes: Vec<String>,
}

/// When an escalation that opens is due.
struct Opening {
    due_at: Timestamp,
    absent_due_at: Timestamp,
    expires_at: Timestamp,
}

impl Chases {
    /// What was sent of an alert so far, and where its escalation stands against these rules.
    pub(super) fn of(&self, key: &(UserKey, AlertId), rules: &Rules, now: Timestamp) -> Chase {
        self.0.get(key).map_or(Chase::default(), |chased| Chase {
            sent: chased.sent,
            waits: chased.is_open && !chased.has_begun,
            is_other_policy: chased.policy != rules.policy,
            has_expired: chased.ended_expired || chased.can_expire && chased.expires_at <= now,
        })
    }

    /// Takes in what follows from a version of an alert.
    pub(super) fn follow(
        &mut self,
        key: &(UserKey, AlertId),
        escalation: EscalationChange,
        said: Stand,
        rules: &Rules,
        now: Timestamp,
    ) {
        let severity = said.severity;
        match escalation {
            EscalationChange::Keep => {
                if let Some(chased) = self.0.get_mut(key) {
                    chased.expire_at(rules.expires_at);
                }
            }
            EscalationChange::Stop(reason) => {
                if let Some(chased) = self.0.get_mut(key) {
                    chased.stop(reason);
                    if reason == StopReason::Seen {
                        chased
                            .notes
                            .push(format!("back to {severity}, which was seen: nothing more is sent"));
                    }
                }
            }
            EscalationChange::Begin => {
                let chased = self.0.entry(key.clone()).or_insert_with(|| Chased::none(rules, now));
                (chased.sent, chased.sent_before, chased.promised) = (None, None, None);
                chased.forgets = true;
                chased.open(said.version, rules, now);
            }
            EscalationChange::Anew => {
                let chased = self.0.entry(key.clone()).or_insert_with(|| Chased::none(rules, now));
                if rules.first_wait.is_some() {
                    chased.sent_before = chased.sent;
                    chased
                        .notes
                        .push(format!("became {severity}: chased anew under policy {}", rules.policy));
                    chased.open(said.version, rules, now);
                } else {
                    chased.expire_at(rules.expires_at);
                }
            }
            EscalationChange::GoOn => {
                let Some(chased) = self.0.get_mut(key) else { return };
                let policy = &rules.policy;
                match rules.first_wait {
                    Some(_) => {
                        chased.notes.push(format!("is {severity} now: chased under policy {policy}"));
                        let opened_at = chased.opened_at;
                        chased.open(chased.round, rules, now);
                        chased.opened_at = opened_at;
                    }
                    None => {
                        chased.notes.push(format!("is {severity} now: policy {policy} has no steps"));
                        chased.stop(StopReason::Exhausted);
                    }
                }
            }
        }
    }
}

impl Chased {
    fn none(rules: &Rules, now: Timestamp) -> Self {
        Self {
            policy: rules.policy.clone(),
            round: 0,
            opened_at: now,
            is_open: false,
            has_begun: false,
            can_expire: false,
            ended_expired: false,
            expires_at: rules.expires_at,
            expiry_moves: false,
            sent: None,
            sent_before: None,
            promised: None,
            opens: None,
            stops: None,
            forgets: false,
            notes: Vec::new(),
        }
    }

    /// At the first step of these rules, but no later than was promised. Nothing, when they have no steps.
    fn open(&mut self, round: u32, rules: &Rules, now: Timestamp) {
        let Some(first_wait) = rules.first_wait else { return };
        let soon = |at: Timestamp| self.promised.map_or(at, |promised| promised.min(at));
        let due_at = soon(now + first_wait);
        let absent_due_at = rules.absent_wait.map_or(due_at, |wait| soon(now + wait));
        self.opens = Some(Opening { due_at, absent_due_at, expires_at: rules.expires_at });
        (self.policy, self.round, self.opened_at) = (rules.policy.clone(), round, now);
        (self.is_open, self.has_begun, self.stops) = (true, false, None);
        (self.can_expire, self.expires_at, self.expiry_moves) = (true, rules.expires_at, false);
        self.ended_expired = false;
        self.promised = Some(due_at);
    }

    /// The version that is shown says until when people are told, also when nothing else follows from it.
    fn expire_at(&mut self, at: Timestamp) {
        if !self.can_expire || self.expires_at == at {
            return;
        }
        self.expires_at = at;
        match &mut self.opens {
            Some(opening) => opening.expires_at = at,
            None => self.expiry_moves = true,
        }
    }

    fn stop(&mut self, reason: StopReason) {
        (self.stops, self.opens, self.is_open) = (Some(reason), None, false);
        (self.can_expire, self.expiry_moves) = (false, false);
    }

    fn stored(row: &AnyRow, now: Timestamp) -> Result<Self, Failure> {
        let (due_at, step_due_at) = (maybe_time(row, "due_at_ms")?, time(row, "step_due_at_ms")?);
        let stopped = maybe_text(row, "stopped")?;
        let is_open = stopped.is_none() && due_at.is_some();
        // What is snoozed can expire meanwhile, and is no news any more then.
        let can_expire = is_open || stopped.as_deref() == Some(StopReason::Snoozed.as_str());
        let has_begun = int(row, "begun")? == 1;
        // What is held is told when that ends. A step that was due and has begun is on its way already.
        let promised = match maybe_text(row, "held")? {
            Some(_) => due_at,
            None => Some(step_due_at).filter(|at| *at > now || !has_begun),
        };
        Ok(Self {
            policy: text(row, "policy")?.into(),
            round: small(row, "round")?,
            opened_at: time(row, "opened_at_ms")?,
            is_open,
            has_begun,
            can_expire,
            ended_expired: stopped.as_deref() == Some(StopReason::Expired.as_str()),
            expires_at: time(row, "expires_at_ms")?,
            expiry_moves: false,
            sent: maybe_word(row, "sent")?,
            sent_before: maybe_word(row, "sent_before")?,
            promised: promised.filter(|_| is_open),
            opens: None,
            stops: None,
            forgets: false,
            notes: Vec::new(),
        })
    }

    fn opened<'a>(&'a self, user: &'a UserKey, alert: &'a AlertId) -> Option<OpenedRow<'a>> {
        self.opens.as_ref().map(|opening| OpenedRow {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            alert_id: alert.as_str(),
            round: self.round,
            policy: &self.policy,
            due_at_ms: opening.due_at,
            absent_due_at_ms: opening.absent_due_at,
            opened_at_ms: self.opened_at,
            expires_at_ms: opening.expires_at,
            sent: self.sent.map(Severity::as_str),
            sent_before: self.sent_before.map(Severity::as_str),
        })
    }

    fn moved<'a>(&self, user: &'a UserKey, alert: &'a AlertId) -> Option<ExpiryRow<'a>> {
        self.expiry_moves.then(|| ExpiryRow {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            alert_id: alert.as_str(),
            expires_at_ms: self.expires_at,
        })
    }
}

batch_row! {
    /// An escalation that opens.
    struct OpenedRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        round: u32,
        policy: &'a str,
        due_at_ms: Timestamp,
        absent_due_at_ms: Timestamp,
        opened_at_ms: Timestamp,
        expires_at_ms: Timestamp,
        sent: Option<&'a str>,
        sent_before: Option<&'a str>,
    }
}

batch_row! {
    /// An escalation that ends.
    pub(super) struct StoppedRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        stopped: &'a str,
        withdraws: bool,
    }
}

impl<'a> StoppedRow<'a> {
    pub(super) fn of(user: &'a UserKey, alert: &'a AlertId, reason: StopReason) -> Self {
        Self {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            alert_id: alert.as_str(),
            stopped: reason.as_str(),
            withdraws: reason.withdraws(),
        }
    }
}

batch_row! {
    /// An escalation that expires at another time.
    struct ExpiryRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        expires_at_ms: Timestamp,
    }
}

impl Store {
    /// Locks the escalations that may change with a batch: of what is recorded already, by a later version.
    pub(super) async fn lock_chases(
        &self,
        tx: &mut Tx,
        batch: &[NewAlert],
        rows: &Rows,
        alerts: &LockedAlerts,
        now: Timestamp,
    ) -> Result<Chases, Failure> {
        let mut latest: HashMap<_, u32> =
            alerts.iter().map(|(key, held)| (key.clone(), held.stand.version)).collect();
        for new in batch {
            let key = (new.alert.tenant.clone(), new.alert.id.clone());
            latest.entry(key).and_modify(|version| *version = new.alert.version.max(*version));
        }
        let changing = rows.iter().filter(|((user, alert), held)| {
            latest
                .get(&(user.tenant.clone(), alert.clone()))
                .is_some_and(|version| *version > held.row.version)
        });
        static SELECT: Statement<UserAlertRow<'_>> = Statement::new(
            "SELECT e.tenant, e.user_id, e.alert_id, e.round, e.policy, e.step_due_at_ms, e.due_at_ms, e.opened_at_ms,
                 e.expires_at_ms, e.stopped, e.held, e.begun, e.sent, e.sent_before
             FROM {batch} CROSS JOIN escalations e
             WHERE e.tenant = batch.tenant AND e.user_id = batch.user_id AND e.alert_id = batch.alert_id {lock:e}",
        );
        let keys = changing.map(|((user, alert), _)| UserAlertRow::of(user, alert));
        let keys = Batch::of(self.engine, keys)?;
        if keys.is_empty() {
            return Ok(Chases::default());
        }
        let found = SELECT.over(&keys).fetch_all(&mut **tx).await?;
        let mut chases = HashMap::with_capacity(found.len());
        for row in &found {
            let EscalationKey { user, alert } = super::escalations::key_of(row)?;
            chases.insert((user, alert), Chased::stored(row, now)?);
        }
        Ok(Chases(chases))
    }

    /// Carries out what follows from a batch, but for what [`Self::open_timers`] opened.
    pub(super) async fn write_chases(
        &self,
        tx: &mut Tx,
        chases: &Chases,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let all = || chases.0.iter();
        let stopped = all().filter_map(|((user, alert), chased)| {
            chased.stops.map(|reason| StoppedRow::of(user, alert, reason))
        });
        self.stop_timers(tx, stopped, now).await?;
        let moved = all().filter_map(|((user, alert), chased)| chased.moved(user, alert));
        self.move_expiries(tx, moved).await?;
        let forgotten = all().filter(|(_, chased)| chased.forgets && chased.opens.is_none());
        self.forget_sent(tx, forgotten.map(|((user, alert), _)| UserAlertRow::of(user, alert))).await?;
        let said: Vec<_> = all().filter(|(_, chased)| !chased.notes.is_empty()).collect();
        // A summary may have told of what is told by itself now, or of what stopped.
        let left = all().filter(|(_, chased)| chased.stops.is_some() || !chased.notes.is_empty());
        let mut users: Vec<_> = left.map(|((user, _), _)| user).collect();
        users.sort();
        users.dedup();
        if !users.is_empty() {
            self.wake_summaries(tx, users.into_iter(), now).await?;
        }
        let key =
            |(user, alert): &(UserKey, AlertId)| EscalationKey { user: user.clone(), alert: alert.clone() };
        let said: Vec<_> = said.into_iter().map(|(at, chased)| (key(at), &chased.notes)).collect();
        let notes =
            said.iter().flat_map(|(key, notes)| notes.iter().map(move |note| (key, note.as_str(), now)));
        let notes: Vec<Note<'_>> = notes.collect();
        self.write_notes(tx, &notes).await
    }

    /// Opens the escalations that begin with a batch.
    pub(super) fn open_timers(
        &self,
        together: &mut Together,
        chases: &Chases,
        now: Timestamp,
    ) -> Result<(), Failure> {
        // Presence only ever shortens the first wait; it does not matter when the policy has none. Whoever works on the
        // round before has an old claim and an old fence: what its provider answers is kept, and decides nothing.
        static INSERT: Statement<OpenedRow<'_>> = Statement::new(concat!(
            "INSERT INTO escalations (tenant, user_id, alert_id, round, policy, step, step_due_at_ms, due_at_ms,
                 leased_until_ms, claim, fence, opened_at_ms, expires_at_ms, stopped, pushed, absent, sent, sent_before,
                 begun)
             SELECT tenant, user_id, alert_id, round, policy, 0, first_due_ms,
                 CASE WHEN first_due_ms > expires_at_ms THEN expires_at_ms ELSE first_due_ms END, 0, 0, 0, opened_at_ms,
                 expires_at_ms, NULL, 0, CASE WHEN first_due_ms < due_at_ms THEN 1 ELSE 0 END, sent, sent_before, 0
             FROM (SELECT batch.tenant, batch.user_id, batch.alert_id, batch.round, batch.policy, batch.due_at_ms,
                       batch.opened_at_ms, batch.expires_at_ms, batch.sent, batch.sent_before,
                       CASE WHEN batch.absent_due_at_ms < batch.due_at_ms AND NOT (",
            is_present!("batch"),
            ")
                           THEN batch.absent_due_at_ms ELSE batch.due_at_ms END AS first_due_ms
                   FROM {batch}) AS opened WHERE true
             ON CONFLICT (tenant, user_id, alert_id) DO UPDATE SET
                 opening = CASE WHEN escalations.round = excluded.round THEN escalations.opening + 1 ELSE 0 END,
                 round = excluded.round, policy = excluded.policy, step = 0, step_due_at_ms = excluded.step_due_at_ms,
                 due_at_ms = excluded.due_at_ms, leased_until_ms = 0, claim = escalations.claim + 1,
                 fence = escalations.fence + 1, opened_at_ms = excluded.opened_at_ms,
                 expires_at_ms = excluded.expires_at_ms, stopped = NULL, absent = excluded.absent, held = NULL,
                 sent = excluded.sent, sent_before = excluded.sent_before,
                 summarized = NULL, begun = 0",
        ));
        let opened = chases.0.iter().filter_map(|((user, alert), chased)| chased.opened(user, alert));
        together.add(&INSERT, Batch::of(self.engine, opened)?, &[now.as_millisecond()]);
        Ok(())
    }

    /// Ends escalations (I5); the first reason stays, but what was only acknowledged or snoozed, or had nothing left to do,
    /// can still end for good. One whose push may be on a phone becomes due at once, so that it is taken away; a lease stays, so
    /// that a push under way is answered before it is withdrawn. Whoever looked knows how bad it is by that, and not by
    /// what was sent before.
    pub(super) async fn stop_timers<'a>(
        &self,
        tx: &mut Tx,
        stopped: impl Iterator<Item = StoppedRow<'a>>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<StoppedRow<'_>> = Statement::new(
            "UPDATE escalations SET stopped = batch.stopped, held = NULL,
                 sent = CASE WHEN batch.stopped IN ('seen', 'read', 'dismissed', 'snoozed') THEN NULL ELSE escalations.sent END,
                 due_at_ms = CASE WHEN pushed = 1 AND batch.withdraws = 1 THEN $1 ELSE NULL END
             FROM {batch} WHERE escalations.tenant = batch.tenant AND escalations.user_id = batch.user_id
                 AND escalations.alert_id = batch.alert_id
                 AND (escalations.stopped IS NULL OR escalations.stopped = 'exhausted'
                     OR escalations.stopped IN ('acknowledged', 'snoozed') AND batch.withdraws = 1)
             RETURNING escalations.stopped AS stopped",
        );
        let stopped: Vec<_> = stopped.collect();
        let keys = stopped.iter().map(|row| UserAlertRow {
            tenant: row.tenant,
            user_id: row.user_id,
            alert_id: row.alert_id,
        });
        let keys = Batch::of(self.engine, keys)?;
        let batch = Batch::of(self.engine, stopped.iter().cloned())?;
        if batch.is_empty() {
            return Ok(());
        }
        let ended = UPDATE.over(&batch).bind(now.as_millisecond()).fetch_all(&mut **tx).await?;
        self.wake_activities(tx, &keys, now).await?;
        tx.end_as_stored(&ended)
    }

    /// Escalations that go on, but expire at another time. One that is due after that is looked at then, to end.
    async fn move_expiries<'a>(
        &self,
        tx: &mut Tx,
        moved: impl Iterator<Item = ExpiryRow<'a>>,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<ExpiryRow<'_>> = Statement::new(
            "UPDATE escalations SET expires_at_ms = batch.expires_at_ms,
                 due_at_ms = CASE WHEN escalations.stopped IS NULL AND escalations.due_at_ms > batch.expires_at_ms
                     THEN batch.expires_at_ms ELSE escalations.due_at_ms END
             FROM {batch} WHERE escalations.tenant = batch.tenant AND escalations.user_id = batch.user_id
                 AND escalations.alert_id = batch.alert_id",
        );
        let batch = Batch::of(self.engine, moved)?;
        if !batch.is_empty() {
            UPDATE.over(&batch).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// What fires again under a policy without steps: what was sent the last time does not count.
    async fn forget_sent<'a>(
        &self,
        tx: &mut Tx,
        forgotten: impl Iterator<Item = UserAlertRow<'a>>,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<UserAlertRow<'_>> = Statement::new(
            "UPDATE escalations SET sent = NULL FROM {batch}
             WHERE escalations.tenant = batch.tenant AND escalations.user_id = batch.user_id
                 AND escalations.alert_id = batch.alert_id",
        );
        let batch = Batch::of(self.engine, forgotten)?;
        if !batch.is_empty() {
            UPDATE.over(&batch).execute(&mut **tx).await?;
        }
        Ok(())
    }
}
