//! What one recipient of an alert says for the others: that they take it on, pass it on, or give back what they had taken on.
//!
//! The commit of the receipt takes the alert ([`super::taking`]), by which everybody's escalation ends when it is next looked
//! at, and leaves a row here. Dispatch works through these rows and goes through the other recipients page by page, so that
//! nobody's receipt waits until 100,000 rows were written.
//!
//! What holds here:
//! - The row is written in the commit of the receipt and goes with the last page. The place of the next page moves in the
//!   commit of its page, so that whoever goes on after a crash repeats and skips nobody.
//! - A version is passed on by a person once, and taken on by one person until they pass it on after all, or
//!   `domain::acknowledgement` says that it is open to everybody again.
//! - What is shown is who has the alert when the page is written, so the pages of two words may come in either order.
//! - A page changes only escalations of the version that was spoken of, or of an earlier one.

use std::{collections::HashSet, sync::Arc};

use sqlx::any::AnyRow;

use super::{
    EscalationKey, Failure, RecordedRow, Store, StoreError, Tx,
    acknowledgements::acknowledgement_in,
    attempts::{Note, small},
    escalations::key_of,
    inbox_rows::{Existing, Rows as InboxRows},
    int,
    key_rows::{AlertRow, UserAlertRow},
    maybe_time,
    record::LockedHead,
    row_batch::{Batch, Statement, batch_row},
    stored_name, text,
    together::Together,
    word,
};
use crate::domain::{
    Acknowledgement, AlertId, GroupRule, ReceiptState, Seq, Status, StopReason, Timestamp, UserId, UserKey,
    acknowledgement::state_given_back, explanation, inbox::Row,
};

/// Rows that are found at a time.
pub const GROUP_RECEIPTS_MAX: usize = 100;
/// Recipients of one page, which is one commit.
pub const GROUP_PAGE_MAX: usize = 500;

/// What a recipient said that is to be carried to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReceipt {
    /// Who said it.
    pub by: UserKey,
    /// About which alert.
    pub alert: AlertId,
    /// `Acknowledged` or `PassedOn`.
    pub said: ReceiptState,
    /// Which version they spoke of.
    pub version: u32,
}

/// A page of the others that was gone through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CarriedPage {
    /// The rows that changed, to be shown; their place in a batch is 0.
    pub rows: Vec<RecordedRow>,
    /// Whether more of the others are left.
    pub is_more: bool,
}

batch_row! {
    /// The key of what is to be carried.
    pub(super) struct GroupReceiptRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        said: &'a str,
        version: u32,
    }
}

impl<'a> GroupReceiptRow<'a> {
    pub(super) fn of(receipt: &'a GroupReceipt) -> Self {
        Self {
            tenant: receipt.by.tenant.as_str(),
            user_id: receipt.by.user.as_str(),
            alert_id: receipt.alert.as_str(),
            said: receipt.said.as_str(),
            version: receipt.version,
        }
    }
}

batch_row! {
    /// The change number of an inbox row.
    struct SeqValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        seq: i64,
    }
}

/// What is shown of an alert that somebody is to acknowledge.
struct ShownAlert {
    acknowledgement: Acknowledgement,
    version: u32,
    content: Arc<str>,
    is_firing: bool,
    expires_at: Option<Timestamp>,
}

impl ShownAlert {
    /// The next change of a person's inbox, which shows it.
    fn to(&self, user: &UserKey, existing: &Existing, head: &mut LockedHead) -> RecordedRow {
        head.seq += 1;
        head.changed = true;
        RecordedRow {
            alert: 0,
            user: user.user.clone(),
            seq: head.seq as Seq,
            unread: head.unread.max(0) as u64,
            state: existing.row.state,
            until: existing.until,
            answer: existing.answer.clone(),
            acknowledgement: Some(self.acknowledgement.clone()),
            version: self.version,
            content: Arc::clone(&self.content),
            changed: true,
        }
    }
}

impl Store {
    /// What is to be carried to others by `now`, the oldest first: at most [`GROUP_RECEIPTS_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn group_receipts(&self, now: Timestamp) -> Result<Vec<GroupReceipt>, StoreError> {
        self.in_time("group_receipts", async {
            let found = sqlx::query(
                "SELECT tenant, user_id, alert_id, said, version FROM group_receipts
                 WHERE ready_at_ms <= $1 ORDER BY ready_at_ms LIMIT $2",
            )
            .bind(now.as_millisecond())
            .bind(GROUP_RECEIPTS_MAX as i64)
            .fetch_all(&self.read)
            .await?;
            let receipt = |row: &AnyRow| {
                let EscalationKey { user: by, alert } = key_of(row)?;
                Ok(GroupReceipt { by, alert, said: word(row, "said")?, version: small(row, "version")? })
            };
            found.iter().map(receipt).collect()
        })
        .await
    }

    /// Goes through the next page of the other recipients, at most `people_max` of them ([`GROUP_PAGE_MAX`]). After
    /// `Acknowledged` their escalations end, and everybody's row changes, so that it shows who has the alert. After `PassedOn`
    /// their next step is due now, as far as nothing holds it back; and if the one who says so had the alert, everybody's row shows
    /// that it is anybody's, and it is told again. A process that comes second finds nothing left to do.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn carry(
        &self,
        receipt: &GroupReceipt,
        people_max: usize,
        now: Timestamp,
    ) -> Result<CarriedPage, StoreError> {
        writing!(self, "carry", |tx| self.carry_in(tx, receipt, people_max, now).await).await
    }

    async fn carry_in(
        &self,
        tx: &mut Tx,
        receipt: &GroupReceipt,
        people_max: usize,
        now: Timestamp,
    ) -> Result<CarriedPage, Failure> {
        static LOCK: Statement<GroupReceiptRow<'_>> = Statement::new(
            "SELECT g.after_user_id, g.releases FROM {batch} JOIN group_receipts g USING (tenant, user_id, alert_id, said, version) {lock:g}",
        );
        static MOVE: Statement<GroupReceiptRow<'_>> = Statement::new(
            "UPDATE group_receipts SET after_user_id = $1 FROM {batch}
             WHERE group_receipts.tenant = batch.tenant AND group_receipts.user_id = batch.user_id
                 AND group_receipts.alert_id = batch.alert_id AND group_receipts.said = batch.said
                 AND group_receipts.version = batch.version",
        );
        static DELETE: Statement<GroupReceiptRow<'_>> = Statement::new(
            "DELETE FROM group_receipts WHERE (tenant, user_id, alert_id, said, version) IN (SELECT {columns} FROM {batch})",
        );
        let key = Batch::of(self.engine, [GroupReceiptRow::of(receipt)])?;
        let Some(row) = LOCK.over(&key).fetch_optional(&mut **tx).await? else {
            return Ok(CarriedPage::default());
        };
        let after = text(&row, "after_user_id")?;
        let people = self.holders_in(tx, receipt, &after, people_max).await?;
        let rows = match (receipt.said, int(&row, "releases")? == 1) {
            (ReceiptState::Acknowledged, _) => self.show_taken(tx, receipt, &people, now).await?,
            (_, true) => self.give_back(tx, receipt, &people, now).await?,
            (_, false) => {
                self.hasten(tx, receipt, &people, now).await?;
                Vec::new()
            }
        };
        match people.last().filter(|_| people.len() == people_max) {
            Some(last) => {
                MOVE.over(&key).bind(last.user.as_str().to_owned()).execute(&mut **tx).await?;
                Ok(CarriedPage { rows, is_more: true })
            }
            None => {
                DELETE.over(&key).execute(&mut **tx).await?;
                Ok(CarriedPage { rows, is_more: false })
            }
        }
    }

    /// The next page of those who hold an alert, in the order of their names.
    async fn holders_in(
        &self,
        tx: &mut Tx,
        receipt: &GroupReceipt,
        after: &str,
        people_max: usize,
    ) -> Result<Vec<UserKey>, Failure> {
        let found = sqlx::query(
            "SELECT user_id FROM inbox WHERE tenant = $1 AND alert_id = $2 AND user_id > $3 ORDER BY user_id LIMIT $4",
        )
        .bind(receipt.by.tenant.as_str().to_owned())
        .bind(receipt.alert.as_str().to_owned())
        .bind(after.to_owned())
        .bind(people_max as i64)
        .fetch_all(&mut **tx)
        .await?;
        let user = |row| Ok(UserKey::new(receipt.by.tenant.clone(), stored_name!(row, "user_id", UserId)));
        found.iter().map(user).collect()
    }

    /// One change of each of these inboxes, whose row shows who has the alert, and the end of the others' escalations. Nothing, when
    /// nobody has it any more.
    async fn show_taken(
        &self,
        tx: &mut Tx,
        receipt: &GroupReceipt,
        people: &[UserKey],
        now: Timestamp,
    ) -> Result<Vec<RecordedRow>, Failure> {
        let mut heads = self.lock_users(tx, people, None).await?;
        let Some(shown) = self.shown_alert(tx, receipt).await? else { return Ok(Vec::new()) };
        if !matches!(shown.acknowledgement, Acknowledgement::Taken { .. }) {
            return Ok(Vec::new());
        }
        let held = self.held_by(tx, receipt, people).await?;
        let mut rows = Vec::with_capacity(held.len());
        for user in people {
            let existing = held.get(&(user.clone(), receipt.alert.clone()));
            let (Some(head), Some(existing)) = (heads.get_mut(user), existing) else { continue };
            rows.push(shown.to(user, existing, head));
        }
        let mut together = Together::on(self.engine);
        self.number(&mut together, receipt, &rows)?;
        self.write_heads(&mut together, &heads)?;
        together.execute(tx).await?;
        self.end_for_others(tx, receipt, people, now).await?;
        Ok(rows)
    }

    /// One change of each of these inboxes, whose row shows that the alert is anybody's again. For the others it is as if it had
    /// come now, but for who put it away. Nothing, when somebody has taken it on since.
    async fn give_back(
        &self,
        tx: &mut Tx,
        receipt: &GroupReceipt,
        people: &[UserKey],
        now: Timestamp,
    ) -> Result<Vec<RecordedRow>, Failure> {
        let mut heads = self.lock_users(tx, people, None).await?;
        let Some(shown) = self.shown_alert(tx, receipt).await? else { return Ok(Vec::new()) };
        if shown.acknowledgement != Acknowledgement::Open {
            return Ok(Vec::new());
        }
        let held = self.held_by(tx, receipt, people).await?;
        let told_since = self.told_since(tx, receipt, people).await?;
        let is_news = shown.is_firing && shown.expires_at.is_none_or(|at| at > now);
        let (mut rows, mut again) = (Vec::with_capacity(held.len()), Vec::new());
        let mut written = InboxRows::new();
        for user in people {
            let key = (user.clone(), receipt.alert.clone());
            let (Some(head), Some(existing)) = (heads.get_mut(user), held.get(&key)) else { continue };
            let is_other = *user != receipt.by && !told_since.contains(user);
            if let Some(state) = state_given_back(existing.row.state).filter(|_| is_news && is_other) {
                head.unread += i64::from(state.is_unread()) - i64::from(existing.row.state.is_unread());
                let mut existing = existing.clone();
                existing.row = Row { state, looked: None, ..existing.row };
                rows.push(shown.to(user, &existing, head));
                existing.seq = head.seq;
                written.insert(key, existing);
                again.push(user.clone());
            } else {
                rows.push(shown.to(user, existing, head));
            }
        }
        let mut together = Together::on(self.engine);
        // Only for whom it comes anew does it count as come now.
        let is_anew = |row: &RecordedRow| {
            let user = UserKey::new(receipt.by.tenant.clone(), row.user.clone());
            written.contains_key(&(user, receipt.alert.clone()))
        };
        let only_shown = rows.iter().filter(|row| !is_anew(row));
        self.number(&mut together, receipt, only_shown)?;
        self.write_rows(&mut together, &written, now)?;
        self.write_heads(&mut together, &heads)?;
        together.execute(tx).await?;
        self.begin_again(tx, receipt, &again, now).await?;
        Ok(rows)
    }

    /// Gives rows that are shown anew their change numbers, and leaves all else of them.
    fn number<'a>(
        &self,
        together: &mut Together,
        receipt: &GroupReceipt,
        rows: impl IntoIterator<Item = &'a RecordedRow>,
    ) -> Result<(), Failure> {
        static NUMBER: Statement<SeqValues<'_>> = Statement::new(
            "UPDATE inbox SET seq = batch.seq FROM {batch} WHERE inbox.tenant = batch.tenant
                 AND inbox.user_id = batch.user_id AND inbox.alert_id = batch.alert_id",
        );
        let numbers = rows.into_iter().map(|row| SeqValues {
            tenant: receipt.by.tenant.as_str(),
            user_id: row.user.as_str(),
            alert_id: receipt.alert.as_str(),
            seq: row.seq as i64,
        });
        together.add(&NUMBER, Batch::of(self.engine, numbers)?, &[]);
        Ok(())
    }

    /// What the alert says, and who has it; none, where nothing is to be acknowledged. Read once its people are locked: whoever
    /// recorded a later version for one of them has committed it.
    async fn shown_alert(&self, tx: &mut Tx, receipt: &GroupReceipt) -> Result<Option<ShownAlert>, Failure> {
        static ALERT: Statement<AlertRow<'_>> = Statement::new(
            "SELECT a.version, a.content, a.status, a.expires_at_ms, a.first_acknowledges, a.taken_by, a.taken_at_ms
             FROM {batch} JOIN alerts a USING (tenant, alert_id)",
        );
        let alert = Batch::of(self.engine, [AlertRow::of(&receipt.by.tenant, &receipt.alert)])?;
        let Some(alert) = ALERT.over(&alert).fetch_optional(&mut **tx).await? else { return Ok(None) };
        let content = text(&alert, "content")?;
        let Some(acknowledgement) = acknowledgement_in(&alert)?.filter(|_| !content.is_empty()) else {
            return Ok(None);
        };
        let status: Status = word(&alert, "status")?;
        Ok(Some(ShownAlert {
            acknowledgement,
            version: small(&alert, "version")?,
            content: content.into(),
            is_firing: status == Status::Firing,
            expires_at: maybe_time(&alert, "expires_at_ms")?,
        }))
    }

    async fn held_by(
        &self,
        tx: &mut Tx,
        receipt: &GroupReceipt,
        people: &[UserKey],
    ) -> Result<InboxRows, Failure> {
        let keys = people.iter().map(|user| UserAlertRow::of(user, &receipt.alert));
        self.rows_of(tx, &Batch::of(self.engine, keys)?).await
    }

    /// Who of these is chased by a later version than the one that was spoken of, which told them already.
    async fn told_since(
        &self,
        tx: &mut Tx,
        receipt: &GroupReceipt,
        people: &[UserKey],
    ) -> Result<HashSet<UserKey>, Failure> {
        static SELECT: Statement<UserAlertRow<'_>> = Statement::new(
            "SELECT e.tenant, e.user_id, e.alert_id FROM {batch} CROSS JOIN escalations e
             WHERE e.tenant = batch.tenant AND e.user_id = batch.user_id AND e.alert_id = batch.alert_id AND e.round > $1",
        );
        let batch = Batch::of(self.engine, people.iter().map(|user| UserAlertRow::of(user, &receipt.alert)))?;
        let found = SELECT.over(&batch).bind(i64::from(receipt.version)).fetch_all(&mut **tx).await?;
        found.iter().map(|row| Ok(key_of(row)?.user)).collect()
    }

    /// Begins the escalations of these people again, at their first step and now. Whoever works on the walk before has an old
    /// claim and an old fence.
    async fn begin_again(
        &self,
        tx: &mut Tx,
        receipt: &GroupReceipt,
        people: &[UserKey],
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<UserAlertRow<'_>> = Statement::new(
            "UPDATE escalations SET opening = escalations.opening + 1, step = 0, step_due_at_ms = $1, due_at_ms = $1,
                 leased_until_ms = 0, claim = escalations.claim + 1, fence = escalations.fence + 1, opened_at_ms = $1,
                 stopped = NULL, absent = 0, held = NULL, sent = NULL, sent_before = NULL, summarized = NULL, begun = 0
             FROM {batch} WHERE escalations.tenant = batch.tenant AND escalations.user_id = batch.user_id
                 AND escalations.alert_id = batch.alert_id AND escalations.expires_at_ms > $1
             RETURNING escalations.tenant AS tenant, escalations.user_id AS user_id, escalations.alert_id AS alert_id",
        );
        let batch = Batch::of(self.engine, people.iter().map(|user| UserAlertRow::of(user, &receipt.alert)))?;
        if batch.is_empty() {
            return Ok(());
        }
        let begun = UPDATE.over(&batch).bind(now.as_millisecond()).fetch_all(&mut **tx).await?;
        let keys = self.note_all(tx, &begun, explanation::GIVEN_BACK, now).await?;
        // A summary may have been about to tell of what is told by itself now.
        self.wake_summaries(tx, keys.iter().map(|key| &key.user), now).await
    }

    /// Ends the escalations of those who do not have it. What is shown stays, as with everything that still goes on.
    async fn end_for_others(
        &self,
        tx: &mut Tx,
        receipt: &GroupReceipt,
        people: &[UserKey],
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<UserAlertRow<'_>> = Statement::new(
            "UPDATE escalations SET stopped = 'acknowledged', held = NULL, due_at_ms = NULL FROM {batch}
             WHERE escalations.tenant = batch.tenant AND escalations.user_id = batch.user_id
                 AND escalations.alert_id = batch.alert_id AND escalations.stopped IS NULL AND escalations.round <= $1
             RETURNING escalations.tenant AS tenant, escalations.user_id AS user_id,
                 escalations.alert_id AS alert_id, escalations.stopped AS stopped",
        );
        let batch = Batch::of(self.engine, others(receipt, people))?;
        if batch.is_empty() {
            return Ok(());
        }
        let ended = UPDATE.over(&batch).bind(i64::from(receipt.version)).fetch_all(&mut **tx).await?;
        tx.end_as_stored(&ended)?;
        let words = explanation::ended(StopReason::Acknowledged, Some(GroupRule::FirstAcknowledges));
        let keys = self.note_all(tx, &ended, &words, now).await?;
        self.wake_summaries(tx, keys.iter().map(|key| &key.user), now).await
    }

    /// What is next of the others is due now: what waits for its time, and not what is held back, on its way, or tried again.
    async fn hasten(
        &self,
        tx: &mut Tx,
        receipt: &GroupReceipt,
        people: &[UserKey],
        now: Timestamp,
    ) -> Result<(), Failure> {
        static UPDATE: Statement<UserAlertRow<'_>> = Statement::new(
            "UPDATE escalations SET step_due_at_ms = $1, due_at_ms = $1 FROM {batch}
             WHERE escalations.tenant = batch.tenant AND escalations.user_id = batch.user_id
                 AND escalations.alert_id = batch.alert_id AND escalations.stopped IS NULL AND escalations.held IS NULL
                 AND escalations.step_due_at_ms > $1 AND escalations.due_at_ms > $1 AND escalations.round <= $2
             RETURNING escalations.tenant AS tenant, escalations.user_id AS user_id, escalations.alert_id AS alert_id",
        );
        // As everybody does who changes escalations of several people.
        self.lock_users(tx, people, None).await?;
        let batch = Batch::of(self.engine, others(receipt, people))?;
        if batch.is_empty() {
            return Ok(());
        }
        let hastened = UPDATE
            .over(&batch)
            .bind(now.as_millisecond())
            .bind(i64::from(receipt.version))
            .fetch_all(&mut **tx)
            .await?;
        self.note_all(tx, &hastened, explanation::HASTENED, now).await.map(drop)
    }

    /// The same note for each of these escalations, whose keys it answers.
    async fn note_all(
        &self,
        tx: &mut Tx,
        rows: &[AnyRow],
        words: &str,
        now: Timestamp,
    ) -> Result<Vec<EscalationKey>, Failure> {
        let keys = rows.iter().map(key_of).collect::<Result<Vec<_>, _>>()?;
        let notes: Vec<Note<'_>> = keys.iter().map(|key| (key, words, now)).collect();
        self.write_notes(tx, &notes).await?;
        Ok(keys)
    }

    /// Puts off what cannot be carried: it is tried again at `until`, and holds up nobody else's meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_off_group_receipt(
        &self,
        receipt: &GroupReceipt,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        static UPDATE: Statement<GroupReceiptRow<'_>> = Statement::new(
            "UPDATE group_receipts SET ready_at_ms = $1 FROM {batch}
             WHERE group_receipts.tenant = batch.tenant AND group_receipts.user_id = batch.user_id
                 AND group_receipts.alert_id = batch.alert_id AND group_receipts.said = batch.said
                 AND group_receipts.version = batch.version",
        );
        writing!(self, "put_off_group_receipt", |tx| {
            let key = Batch::of(self.engine, [GroupReceiptRow::of(receipt)])?;
            UPDATE.over(&key).bind(until.as_millisecond()).execute(&mut **tx).await?;
            Ok(())
        })
        .await
    }
}

/// The keys of everybody on a page but the one who spoke.
fn others<'a>(receipt: &'a GroupReceipt, people: &'a [UserKey]) -> impl Iterator<Item = UserAlertRow<'a>> {
    people.iter().filter(|user| **user != receipt.by).map(|user| UserAlertRow::of(user, &receipt.alert))
}
