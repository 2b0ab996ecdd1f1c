//! What people did with their alerts: one receipt is one change of the inbox, whatever number of alerts it names.

use std::collections::{HashMap, HashSet};

use super::{
    EscalationKey, Failure, Store, StoreError, Tx,
    acknowledgements::Takers,
    chase::StoppedRow,
    inbox_rows::{standing_of, stored_state},
    key_rows::{AlertRow, UserAlertRow},
    maybe_time,
    row_batch::{Batch, Statement, batch_row},
    stored_name, time,
    together::Together,
    word,
};
use crate::domain::{
    AlertId, Answer, InboxState, Receipt, ReceiptState, Seq, Severity, StopReason, Tenant, Timestamp, UserId,
    UserKey, receipt::place_of, snooze::Standing,
};

/// What one receipt changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedReceipt {
    /// The change number it got.
    pub seq: Seq,
    /// The user's badge after it.
    pub unread: u64,
    /// The alerts whose state it changed, of those it named.
    pub alerts: Vec<AlertId>,
}

impl Store {
    /// Applies a batch in order. `None` for a receipt that changed nothing: already so, `delivered` (which is about
    /// delivery, not a change of the inbox), or about nothing in that inbox.
    ///
    /// All but `delivered` and `unread` end the escalation in the same commit (I5). Whoever snoozes or passes on has not taken the
    /// alert on: others are chased as before, or sooner. A person's first answer to an alert stays.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn apply_receipts(
        &self,
        batch: &[Receipt],
        now: Timestamp,
    ) -> Result<Vec<Option<AppliedReceipt>>, StoreError> {
        writing!(self, "apply_receipts", |tx| {
            tx.is_batch_of(batch.len());
            self.apply_in(tx, batch, now).await
        })
        .await
    }

    async fn apply_in(
        &self,
        tx: &mut Tx,
        batch: &[Receipt],
        now: Timestamp,
    ) -> Result<Vec<Option<AppliedReceipt>>, Failure> {
        let mut users: Vec<UserKey> = batch.iter().map(|receipt| receipt.user.clone()).collect();
        users.sort();
        users.dedup();
        let mut heads = self.lock_users(tx, &users, None).await?;
        let Held { standings: mut states, unseen, mut answered, mut takers } = self.held(tx, batch).await?;

        let mut said = Vec::with_capacity(batch.len());
        let mut written: HashMap<(UserKey, AlertId), Written> = HashMap::new();
        let mut stopped: HashMap<(UserKey, AlertId), StopReason> = HashMap::new();
        let mut notes = Vec::new();
        for receipt in batch {
            let Some(head) = heads.get_mut(&receipt.user) else {
                said.push(None);
                continue;
            };
            let mut changed = Vec::new();
            for alert in &receipt.alerts {
                let key = (receipt.user.clone(), alert.clone());
                let Some(standing) = states.get_mut(&key) else { continue };
                let answer = receipt.answers.get(alert);
                if receipt.state == ReceiptState::Answered && answer.is_none() {
                    continue; // It has no such action, so nothing is said of it.
                }
                let entry = written.entry(key.clone()).or_insert_with(|| Written::of(*standing));
                entry.said(receipt.state);
                let taker = takers.get_mut(&(receipt.user.tenant.clone(), alert.clone()));
                let for_all = entry.says_for_others(receipt, taker, *standing);
                let next = match answer {
                    Some(_) => standing.after_answer(answered.contains(&key)),
                    None => for_all.or_else(|| standing.after(receipt.state, receipt.until)),
                };
                let Some(next) = next else { continue };
                if let Some(answer) = answer {
                    answered.insert(key.clone());
                    entry.answer = Some(answer.clone());
                }
                head.unread += i64::from(next.state.is_unread()) - i64::from(standing.state.is_unread());
                notes.extend(note_of(*standing, next, receipt).map(|note| (key.clone(), note)));
                *standing = next;
                entry.standing = next;
                entry.seq = Some(head.seq + 1);
                entry.by = Some(receipt.by.clone());
                changed.push(alert.clone());
                if let Some(reason) = stop_of(receipt.state) {
                    entry.looks = true;
                    entry.takes |= !matches!(receipt.state, ReceiptState::Snoozed | ReceiptState::PassedOn);
                    // The first reason counts, but a snooze is none for good.
                    let first = stopped.entry(key).or_insert(reason);
                    if *first == StopReason::Snoozed {
                        *first = reason;
                    }
                }
            }
            if changed.is_empty() {
                said.push(None);
                continue;
            }
            head.seq += 1;
            head.changed = true;
            said.push(Some(AppliedReceipt {
                seq: head.seq as Seq,
                unread: head.unread.max(0) as u64,
                alerts: changed,
            }));
        }

        self.tell_receipts(tx, batch, &said, now).await?;
        self.pass_on(tx, &written, now).await?;
        self.write_states(tx, &written, now).await?;
        let mut changed = Together::on(self.engine);
        self.write_heads(&mut changed, &heads)?;
        changed.execute(tx).await?;
        let rows = stopped.iter().map(|((user, alert), reason)| StoppedRow::of(user, alert, *reason));
        self.stop_timers(tx, rows, now).await?;
        if !stopped.is_empty() {
            self.take(tx, &written, now).await?;
            self.wake_summaries(tx, heads.keys(), now).await?;
        }
        self.note_snoozes(tx, notes, now).await?;
        self.write_reached(tx, batch, now).await?;
        for (severity, recorded_at) in
            written.iter().filter(|(_, written)| written.seen).filter_map(|(key, _)| unseen.get(key))
        {
            tx.sees(*severity, now.duration_since(*recorded_at).try_into().unwrap_or_default());
        }
        Ok(said)
    }

    async fn note_snoozes(
        &self,
        tx: &mut Tx,
        notes: Vec<((UserKey, AlertId), String)>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let notes: Vec<_> =
            notes.into_iter().map(|((user, alert), what)| (EscalationKey { user, alert }, what)).collect();
        let notes: Vec<_> = notes.iter().map(|(key, what)| (key, what.as_str(), now)).collect();
        self.write_notes(tx, &notes).await
    }

    async fn held(&self, tx: &mut Tx, batch: &[Receipt]) -> Result<Held, Failure> {
        static SELECT: Statement<UserAlertRow<'_>> = Statement::new(
            "SELECT i.tenant, i.user_id, i.alert_id, i.state, i.snoozed_until_ms, i.severity, i.recorded_at_ms,
                 i.seen_at_ms, i.answered_at_ms
             FROM {batch} JOIN inbox i USING (tenant, user_id, alert_id)",
        );
        let keys = batch
            .iter()
            .flat_map(|receipt| receipt.alerts.iter().map(|alert| UserAlertRow::of(&receipt.user, alert)));
        let found = SELECT.over(&Batch::of(self.engine, keys)?).fetch_all(&mut **tx).await?;
        let standings = HashMap::with_capacity(found.len());
        let mut held =
            Held { standings, unseen: HashMap::new(), answered: HashSet::new(), takers: Takers::new() };
        for row in &found {
            let user =
                UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "user_id", UserId));
            let key = (user, stored_name!(row, "alert_id", AlertId));
            if maybe_time(row, "seen_at_ms")?.is_none() {
                held.unseen.insert(key.clone(), (word(row, "severity")?, time(row, "recorded_at_ms")?));
            }
            if maybe_time(row, "answered_at_ms")?.is_some() {
                held.answered.insert(key.clone());
            }
            held.standings.insert(key, standing_of(row)?);
        }
        let for_others = batch
            .iter()
            .filter(|receipt| matches!(receipt.state, ReceiptState::Acknowledged | ReceiptState::PassedOn));
        let alerts = for_others
            .flat_map(|receipt| receipt.alerts.iter().map(|alert| AlertRow::of(&receipt.user.tenant, alert)));
        let alerts = Batch::of(self.engine, alerts)?;
        held.takers = self.takers(tx, &alerts).await?;
        Ok(held)
    }

    async fn write_states(
        &self,
        tx: &mut Tx,
        written: &HashMap<(UserKey, AlertId), Written>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        // Each time is the first of its kind: "seen at" does not move when it is seen again.
        static UPDATE: Statement<StateValues<'_>> = Statement::new(
            "UPDATE inbox SET state = batch.state, snoozed_until_ms = batch.snoozed_until_ms,
                 seq = coalesce(batch.seq, inbox.seq), said_by = coalesce(batch.said_by, inbox.said_by),
                 passed_on_version = CASE WHEN batch.passes_on = 1 THEN inbox.version ELSE inbox.passed_on_version END,
                 looked = CASE WHEN batch.looks = 1 THEN inbox.severity ELSE inbox.looked END,
                 delivered_at_ms = coalesce(inbox.delivered_at_ms, CASE WHEN batch.is_delivered = 1 THEN $1 END),
                 seen_at_ms = coalesce(inbox.seen_at_ms, CASE WHEN batch.is_seen = 1 THEN $1 END),
                 read_at_ms = coalesce(inbox.read_at_ms, CASE WHEN batch.is_read = 1 THEN $1 END),
                 dismissed_at_ms = coalesce(inbox.dismissed_at_ms, CASE WHEN batch.is_dismissed = 1 THEN $1 END),
                 answer_action = coalesce(inbox.answer_action, batch.answer_action),
                 answer_title = coalesce(inbox.answer_title, batch.answer_title),
                 answer_text = coalesce(inbox.answer_text, batch.answer_text),
                 answered_at_ms = coalesce(inbox.answered_at_ms, CASE WHEN batch.answer_action IS NOT NULL THEN $1 END)
             FROM {batch} WHERE inbox.tenant = batch.tenant AND inbox.user_id = batch.user_id AND inbox.alert_id = batch.alert_id",
        );
        if written.is_empty() {
            return Ok(());
        }
        let values = written.iter().map(|((user, alert), written)| StateValues {
            tenant: user.tenant.as_str(),
            user_id: user.user.as_str(),
            alert_id: alert.as_str(),
            state: stored_state(written.standing.state),
            snoozed_until_ms: written.standing.until,
            seq: written.seq,
            said_by: written.by.as_deref(),
            is_delivered: written.delivered,
            is_seen: written.seen,
            is_read: written.read,
            is_dismissed: written.dismissed,
            looks: written.looks,
            passes_on: written.passes_on,
            answer_action: written.answer.as_ref().map(|answer| answer.action.as_str()),
            answer_title: written.answer.as_ref().map(|answer| answer.title.as_str()),
            answer_text: written.answer.as_ref().map(|answer| answer.text.as_str()),
        });
        let values = Batch::of(self.engine, values)?;
        UPDATE.over(&values).bind(now.as_millisecond()).execute(&mut **tx).await?;
        Ok(())
    }
}

/// What inboxes hold of the alerts that receipts name.
struct Held {
    /// What their owners did with them.
    standings: HashMap<(UserKey, AlertId), Standing>,
    /// Of those that nobody has looked at: how bad they are, and when they came.
    unseen: HashMap<(UserKey, AlertId), (Severity, Timestamp)>,
    /// Those that their owners have answered.
    answered: HashSet<(UserKey, AlertId)>,
    /// Alerts that somebody is to acknowledge, with who has them.
    takers: Takers,
}

batch_row! {
    /// What receipts change of an inbox row.
    struct StateValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        state: &'a str,
        snoozed_until_ms: Option<Timestamp>,
        seq: Option<i64>,
        said_by: Option<&'a str>,
        is_delivered: bool,
        is_seen: bool,
        is_read: bool,
        is_dismissed: bool,
        looks: bool,
        passes_on: bool,
        answer_action: Option<&'a str>,
        answer_title: Option<&'a str>,
        answer_text: Option<&'a str>,
    }
}

/// What a batch said of one row in all.
pub(super) struct Written {
    standing: Standing,
    seq: Option<i64>,
    pub(super) by: Option<String>,
    delivered: bool,
    seen: bool,
    read: bool,
    dismissed: bool,
    /// The person looked at what it says now.
    looks: bool,
    /// The person has it from now on, where to look is enough for that.
    pub(super) takes: bool,
    /// The person said that they take it on.
    pub(super) acknowledges: bool,
    /// The person said that it is not for them.
    pub(super) passes_on: bool,
    /// The person's first answer.
    answer: Option<Answer>,
}

impl Written {
    fn of(standing: Standing) -> Self {
        Self {
            standing,
            seq: None,
            by: None,
            delivered: false,
            seen: false,
            read: false,
            dismissed: false,
            looks: false,
            takes: false,
            acknowledges: false,
            passes_on: false,
            answer: None,
        }
    }

    /// What a receipt says for the others of a group. `taker` is who has the alert, where somebody is to acknowledge it, and is kept
    /// up to date, because one batch may say several things of it. Answers the person's standing after it where it changes
    /// who has the alert: that is a change, also where the row's state stays.
    fn says_for_others(
        &mut self,
        receipt: &Receipt,
        taker: Option<&mut Option<UserId>>,
        standing: Standing,
    ) -> Option<Standing> {
        let taker = taker?;
        let who = &receipt.user.user;
        match receipt.state {
            ReceiptState::Acknowledged if taker.is_none() => {
                *taker = Some(who.clone());
                self.acknowledges = true;
                Some(standing.after_taking())
            }
            ReceiptState::PassedOn if taker.is_none() => {
                self.passes_on = true;
                None
            }
            ReceiptState::PassedOn if taker.as_ref() == Some(who) => {
                *taker = None;
                (self.acknowledges, self.passes_on) = (false, true);
                Some(standing.after_giving_back())
            }
            _ => None,
        }
    }

    /// Whoever answered it has read it, whoever read it has seen it, and whoever has seen it was delivered to. Whoever snoozed it may have seen its title
    /// only, so they were delivered to.
    fn said(&mut self, state: ReceiptState) {
        self.dismissed |= matches!(state, ReceiptState::Dismissed | ReceiptState::PassedOn);
        self.read |=
            matches!(state, ReceiptState::Read | ReceiptState::Answered | ReceiptState::Acknowledged);
        self.seen |= self.read || self.dismissed || state == ReceiptState::Seen;
        self.delivered |= self.seen || matches!(state, ReceiptState::Delivered | ReceiptState::Snoozed);
    }
}

/// What the timeline says of a snooze that begins, moves, or ends before its time, and of what was acknowledged from a message.
fn note_of(before: Standing, now: Standing, receipt: &Receipt) -> Option<String> {
    let place = place_of(&receipt.by);
    match (before.state, now.state, now.until) {
        (_, InboxState::Snoozed, Some(until)) => Some(format!("snoozed until {until} {place}")),
        (InboxState::Snoozed, ..) => Some(format!("the snooze was ended: {} {place}", receipt.state)),
        _ if receipt.is_from_a_message() => Some(format!("acknowledged {place}")),
        _ => None,
    }
}

fn stop_of(state: ReceiptState) -> Option<StopReason> {
    match state {
        ReceiptState::Seen => Some(StopReason::Seen),
        ReceiptState::Read | ReceiptState::Answered | ReceiptState::Acknowledged => Some(StopReason::Read),
        ReceiptState::Dismissed | ReceiptState::PassedOn => Some(StopReason::Dismissed),
        ReceiptState::Snoozed => Some(StopReason::Snoozed),
        ReceiptState::Delivered | ReceiptState::Unread => None,
    }
}
