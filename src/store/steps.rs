//! Steps of escalations: what was answered is kept, the rows are read again under their locks, a decision is made on them and
//! carried into the store, all in one commit (I5, I6).
//!
//! Many escalations are stepped in one commit with the statements of one ([`Store::steps`]). It waits for nobody: what is
//! locked, what is a summary, and what cannot be read is left out, to be stepped alone ([`Store::step`]).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use sqlx::any::AnyRow;

use super::{
    EscalationKey, Failure, Store, StoreError, Tx,
    attempts::{AttemptValues, NewAttempt, Note, ProviderAnswer, ReceivedAnswer},
    dialect::Engine,
    escalation_state::{Escalation, read_escalations},
    int,
    key_rows::PlacedEscalationRow,
    row_batch::{Batch, Statement, batch_row},
    summaries::{Hold, SummaryOutcome, lock_of},
};
use crate::domain::{
    AttemptKind, Channel, DeviceId, Severity, StopReason, Timestamp, UserKey, restraint::Lately,
};

/// Escalations that one commit of [`Store::steps`] steps at the most.
pub const STEPS_PER_COMMIT_MAX: usize = 128;
/// Escalations that are stepped before others may write who wait for the one writer.
const STEPS_AT_A_STRETCH_MAX: usize = 16;

/// By what right a step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A claim just received.
    Claim(u64),
    /// The fence of the step before.
    Fence(u64),
}

/// A step to take.
pub struct Ask<'a> {
    /// Of which escalation.
    pub key: &'a EscalationKey,
    /// By what right.
    pub holder: Holder,
    /// What providers answered to the attempts of the step before.
    pub answers: &'a [ProviderAnswer],
    /// The time it is taken at.
    pub now: Timestamp,
    /// Decides on what the rows say. Pure, and may run again when the commit lost a race.
    pub decide: &'a (dyn Fn(&Escalation) -> Decision + Send + Sync),
}

/// What to do about an escalation.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The step that is next, or under way.
    pub step: usize,
    /// When that step is, or became, due.
    pub step_due_at: Timestamp,
    /// What to do about it.
    pub act: Act,
    /// What the person got lately, when that changes.
    pub lately: Option<(Channel, Lately)>,
    /// For the timeline.
    pub notes: Vec<String>,
    /// For the escalations that waited for this summary, once it was answered.
    pub told: Option<SummaryOutcome>,
}

/// What to do about a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Write these attempts, new ones and ones whose next try begins, and hold the row for the lease while the
    /// providers are called.
    Attempt(Vec<NewAttempt>),
    /// It is due, but has to wait; nothing to call.
    Hold(Hold),
    /// Nothing to call now: look again then.
    Rest(Timestamp),
    /// Nothing is left to do; why, unless the row says so already.
    End(StopReason),
}

impl Decision {
    /// To do so about a step, and nothing besides.
    pub fn new(step: usize, step_due_at: Timestamp, act: Act) -> Self {
        Self { step, step_due_at, act, lately: None, notes: Vec::new(), told: None }
    }
}

/// What a step came to.
#[derive(Debug, Clone)]
pub enum Stepped {
    /// The attempts are committed: call the providers, then step again with the answers and this fence.
    Call {
        /// The right to the next step.
        fence: u64,
        /// What it was decided on.
        escalation: Box<Escalation>,
        /// What to call.
        attempts: Vec<NewAttempt>,
    },
    /// Nothing to call; the row is released.
    Rested,
    /// Somebody else holds it now.
    Lost,
}

impl Store {
    /// Keeps the answers, then decides on what the row says now and carries the decision into the store, all in one
    /// commit. Waits for whoever has the person or the row locked.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it with the same arguments.
    pub async fn step(&self, ask: &Ask<'_>, lease: Duration) -> Result<Stepped, StoreError> {
        writing!(self, "step", |tx| {
            // The locks come before the answers, in every step, so that no two steps wait for each other.
            self.lock_person(tx, ask.key).await?;
            let locked = self.lock_escalations(tx, &[ask], &LOCK).await?;
            match self.step_locked(tx, &[ask], locked, lease).await?.pop() {
                Some(stepped) => stepped,
                None => Ok(Stepped::Lost),
            }
        })
        .await
    }

    /// The same for many escalations in one commit, [`STEPS_PER_COMMIT_MAX`] at the most and each once; those of one person
    /// follow each other. In several commits while others wait for the one writer. Waits for nobody. `None` is a step that was not
    /// taken: take it with [`Self::step`].
    ///
    /// # Errors
    /// [`StoreError`]; repeat it, or take each step alone.
    pub async fn steps(&self, asks: &[Ask<'_>], lease: Duration) -> Result<Vec<Option<Stepped>>, StoreError> {
        let mut escalations = HashSet::new();
        let mut plain = Vec::with_capacity(asks.len());
        for (at, ask) in asks.iter().enumerate() {
            let fits = plain.len() < STEPS_PER_COMMIT_MAX && ask.key.alert.summary().is_none();
            if fits && escalations.insert(ask.key) {
                plain.push((at, ask));
            }
        }
        let mut all: Vec<Option<Stepped>> = asks.iter().map(|_| None).collect();
        let taken: Vec<&Ask<'_>> = plain.iter().map(|(_, ask)| *ask).collect();
        let mut done = Vec::with_capacity(taken.len());
        while done.len() < taken.len() {
            match self.steps_of(&taken[done.len()..], lease).await {
                Ok(some) => done.extend(some),
                Err(error) if done.is_empty() => return Err(error),
                // What was committed counts; the others are taken alone.
                Err(_) => break,
            }
        }
        for ((at, _), stepped) in plain.iter().zip(done) {
            all[*at] = stepped;
        }
        Ok(all)
    }

    /// Takes the first of these steps in one commit: all of them, as long as nobody waits who wants to write as well.
    async fn steps_of(&self, asks: &[&Ask<'_>], lease: Duration) -> Result<Vec<Option<Stepped>>, StoreError> {
        let stretch = self.line.stretch(STEPS_PER_COMMIT_MAX, STEPS_AT_A_STRETCH_MAX);
        writing!(self, "steps", |tx| {
            let mut all = Vec::with_capacity(asks.len());
            for some in asks.chunks(stretch) {
                all.extend(self.steps_in(tx, some, lease).await?);
                if self.line.others_wait() {
                    break;
                }
            }
            tx.is_batch_of(all.len());
            Ok(all)
        })
        .await
    }

    async fn steps_in(
        &self,
        tx: &mut Tx,
        asks: &[&Ask<'_>],
        lease: Duration,
    ) -> Result<Vec<Option<Stepped>>, Failure> {
        let free = self.try_lock_people(tx, asks).await?;
        let open: Vec<&Ask<'_>> = free.iter().map(|at| asks[*at]).collect();
        let locked = self.lock_escalations(tx, &open, &LOCK_FREE).await?;
        // A row that is not there and one that somebody has locked look the same: both are looked at alone.
        let here: Vec<usize> = locked.iter().map(|locked| locked.at).collect();
        let held: Vec<&Ask<'_>> = here.iter().map(|at| open[*at]).collect();
        let locked = locked.into_iter().enumerate().map(|(at, locked)| Locked { at, ..locked }).collect();
        let mut all: Vec<Option<Stepped>> = asks.iter().map(|_| None).collect();
        let done = self.step_locked(tx, &held, locked, lease).await?;
        for (at, stepped) in here.into_iter().zip(done) {
            // One that cannot be read says so when it is stepped alone.
            all[free[at]] = stepped.ok();
        }
        Ok(all)
    }

    /// The steps of rows that are locked, with one statement for each kind of thing to read or write. In the order of
    /// the asks; one without a row is lost.
    async fn step_locked(
        &self,
        tx: &mut Tx,
        asks: &[&Ask<'_>],
        locked: Vec<Locked>,
        lease: Duration,
    ) -> Result<Vec<Result<Stepped, Failure>>, Failure> {
        let mut held: Vec<Option<Locked>> = asks.iter().map(|_| None).collect();
        for locked in locked {
            if locked.is_held_by(asks[locked.at].holder) {
                let at = locked.at;
                held[at] = Some(locked);
            }
        }
        self.tell_answers(tx, asks).await?;
        self.write_answers(tx, &answered(asks, &held)).await?;
        let mut done: Vec<Result<Stepped, Failure>> = asks.iter().map(|_| Ok(Stepped::Lost)).collect();
        let rows: Vec<_> = held.iter().flatten().map(|locked| (asks[locked.at].key, &locked.row)).collect();
        let escalations = read_escalations(self.engine, tx, &rows).await?;
        let mut moves = Vec::with_capacity(asks.len());
        let mut lately = HashMap::new();
        for (locked, escalation) in held.iter().flatten().zip(escalations) {
            match escalation {
                Ok(Some(mut escalation)) => {
                    let ask = asks[locked.at];
                    // What an earlier escalation of the same person is about to send counts for this one.
                    let lately = lately.entry(&ask.key.user).or_insert(escalation.lately);
                    escalation.lately = *lately;
                    let decision = (ask.decide)(&escalation);
                    if let Some((channel, now)) = decision.lately {
                        lately[channel] = now;
                    }
                    moves.push(Move { at: locked.at, ask, fence: locked.fence + 1, decision, escalation });
                }
                Ok(None) => {} // Its alert is gone.
                Err(failure) => done[locked.at] = Err(failure),
            }
        }
        self.write_moves(tx, &moves, lease).await?;
        for Move { decision, escalation, .. } in &moves {
            if let (Act::End(reason), None) = (&decision.act, escalation.progress.stopped) {
                tx.ends(*reason);
            }
        }
        for Move { at, fence, escalation, decision, .. } in moves {
            done[at] = Ok(match decision.act {
                Act::Attempt(attempts) => Stepped::Call { fence, escalation: Box::new(escalation), attempts },
                Act::Hold(_) | Act::Rest(_) | Act::End(_) => Stepped::Rested,
            });
        }
        Ok(done)
    }

    async fn write_moves(&self, tx: &mut Tx, moves: &[Move<'_>], lease: Duration) -> Result<(), Failure> {
        self.tell_ends(tx, moves).await?;
        self.write_notes(tx, &notes(moves)).await?;
        self.write_lately(tx, &lately(moves)).await?;
        self.write_steps(tx, moves, lease).await?;
        for Move { ask, escalation, decision, .. } in moves {
            if let (Some(channel), Some(told)) = (ask.key.alert.summary(), &decision.told) {
                self.release(tx, ask.key, channel, escalation.progress.round, told, ask.now).await?;
            }
        }
        self.write_attempts(tx, moves.iter().flat_map(attempt_rows)).await?;
        for Move { ask, escalation, decision, .. } in moves {
            match (&decision.act, ask.key.alert.summary()) {
                (Act::Hold(hold), _) => self.hold(tx, ask.key, hold, ask.now).await?,
                (Act::Attempt(_), Some(channel)) if decision.step == 0 => {
                    self.count_in(tx, ask.key, channel, escalation.progress.round).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The escalations' own rows after a decision; what a hold adds is written by [`Store::hold`].
    async fn write_steps(&self, tx: &mut Tx, moves: &[Move<'_>], lease: Duration) -> Result<(), Failure> {
        static UPDATE: Statement<StepValues<'_>> = Statement::new(
            "UPDATE escalations SET fence = escalations.fence + 1, leased_until_ms = batch.leased_until_ms,
                 step = batch.step, step_due_at_ms = batch.step_due_at_ms, due_at_ms = batch.due_at_ms,
                 pushed = CASE WHEN batch.pushed = 1 THEN 1 ELSE escalations.pushed END,
                 begun = CASE WHEN batch.begun = 1 THEN 1 ELSE escalations.begun END,
                 sent = CASE WHEN batch.is_over = 1 THEN escalations.sent ELSE batch.sent END,
                 stopped = coalesce(escalations.stopped, batch.stopped), held = NULL
             FROM {batch} WHERE escalations.tenant = batch.tenant AND escalations.user_id = batch.user_id
                 AND escalations.alert_id = batch.alert_id",
        );
        if moves.is_empty() {
            return Ok(());
        }
        let batch = Batch::of(self.engine, moves.iter().map(|moved| moved.values(lease)))?;
        UPDATE.over(&batch).execute(&mut **tx).await?;
        Ok(())
    }

    /// Which of them nobody else works on.
    async fn try_lock_people(&self, tx: &mut Tx, asks: &[&Ask<'_>]) -> Result<Vec<usize>, Failure> {
        // On PostgreSQL alone: SQLite has one writer.
        static SELECT: Statement<LockRow> = Statement::new(
            "SELECT place FROM (SELECT batch.place, pg_try_advisory_xact_lock(batch.lock_number) AS is_free
                 FROM {batch}) AS tried WHERE is_free",
        );
        if self.engine == Engine::Sqlite {
            return Ok((0..asks.len()).collect());
        }
        let locks = (0..).zip(asks);
        let locks = locks.map(|(place, ask)| LockRow { place, lock_number: lock_of(&ask.key.user) });
        let rows = SELECT.over(&Batch::of(self.engine, locks)?).fetch_all(&mut **tx).await?;
        rows.iter().map(|row| Ok(int(row, "place")? as usize)).collect()
    }

    async fn lock_escalations(
        &self,
        tx: &mut Tx,
        asks: &[&Ask<'_>],
        select: &'static Statement<PlacedEscalationRow<'static>>,
    ) -> Result<Vec<Locked>, Failure> {
        let keys: Vec<_> = asks.iter().map(|ask| ask.key).collect();
        let batch = Batch::of(self.engine, PlacedEscalationRow::all(&keys))?;
        let rows = select.over(&batch).fetch_all(&mut **tx).await?;
        rows.into_iter()
            .map(|row| {
                let (claim, fence) = (int(&row, "claim")? as u64, int(&row, "fence")? as u64);
                Ok(Locked { at: int(&row, "place")? as usize, claim, fence, row })
            })
            .collect()
    }
}

fn answered<'a>(asks: &'a [&Ask<'_>], held: &[Option<Locked>]) -> Vec<ReceivedAnswer<'a>> {
    let all = asks.iter().zip(held);
    all.flat_map(|(ask, held)| {
        let (is_held, at) = (held.is_some(), ask.now);
        ask.answers.iter().map(move |answer| ReceivedAnswer { answer, is_held, at })
    })
    .collect()
}

fn notes<'a>(moves: &'a [Move<'_>]) -> Vec<Note<'a>> {
    let all = moves.iter();
    all.flat_map(|moved| {
        moved.decision.notes.iter().map(move |note| (moved.ask.key, note.as_str(), moved.ask.now))
    })
    .collect()
}

/// The attempts that an escalation is about to make.
fn attempt_rows<'a>(moved: &'a Move<'_>) -> impl Iterator<Item = AttemptValues<'a>> {
    let attempts: &[NewAttempt] = match &moved.decision.act {
        Act::Attempt(attempts) => attempts,
        Act::Hold(_) | Act::Rest(_) | Act::End(_) => &[],
    };
    let key = moved.ask.key;
    attempts.iter().map(move |attempt| AttemptValues {
        tenant: key.user.tenant.as_str(),
        user_id: key.user.user.as_str(),
        alert_id: key.alert.as_str(),
        attempt_id: attempt.id.to_string(),
        kind: attempt.kind.as_str(),
        round: moved.escalation.progress.round,
        opening: moved.escalation.progress.opening,
        step: moved.decision.step as i64,
        channel: attempt.channel.as_str(),
        device_id: attempt.device.as_ref().map(DeviceId::as_str),
        tries: attempt.tries,
        maybe_shown: attempt.channel.can_remove() && attempt.kind == AttemptKind::Alert,
        severity: moved.escalation.severity.map(Severity::as_str),
        created_at_ms: moved.ask.now,
    })
}

/// What people got lately, as their last escalation leaves it.
fn lately<'a>(moves: &'a [Move<'_>]) -> Vec<(&'a UserKey, Channel, Lately)> {
    let mut last = BTreeMap::new();
    for moved in moves {
        if let Some((channel, lately)) = moved.decision.lately {
            last.insert((&moved.ask.key.user, channel.as_str()), (channel, lately));
        }
    }
    last.into_iter().map(|((user, _), (channel, lately))| (user, channel, lately)).collect()
}

/// The rows of escalations, for a statement that locks them.
macro_rules! select_escalations {
    ($lock:literal) => {
        concat!(
            "SELECT batch.place, e.round, e.opening, e.policy, e.step, e.step_due_at_ms, e.claim, e.fence, e.opened_at_ms,
                 e.expires_at_ms, e.stopped, e.held, e.summarized, e.sent_before
             FROM {batch} CROSS JOIN escalations e
             WHERE e.tenant = batch.tenant AND e.user_id = batch.user_id AND e.alert_id = batch.alert_id ",
            $lock
        )
    };
}

/// Waits for whoever has them locked.
static LOCK: Statement<PlacedEscalationRow<'_>> = Statement::new(select_escalations!("{lock:e}"));
/// Passes over those that somebody has locked.
static LOCK_FREE: Statement<PlacedEscalationRow<'_>> = Statement::new(select_escalations!("{skip_locked:e}"));

batch_row! {
    /// The number of a person's lock, with the place of the step that needs it.
    struct LockRow {
        place: i64,
        lock_number: i64,
    }
}

batch_row! {
    /// What a step changes of an escalation.
    struct StepValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        leased_until_ms: i64,
        step: i64,
        step_due_at_ms: Timestamp,
        due_at_ms: Option<Timestamp>,
        pushed: bool,
        begun: bool,
        is_over: bool,
        sent: Option<&'a str>,
        stopped: Option<&'a str>,
    }
}

/// An escalation's row, locked. `at` is the place of its ask.
struct Locked {
    at: usize,
    row: AnyRow,
    claim: u64,
    fence: u64,
}

impl Locked {
    fn is_held_by(&self, holder: Holder) -> bool {
        match holder {
            Holder::Claim(number) => self.claim == number,
            Holder::Fence(number) => self.fence == number,
        }
    }
}

/// A decision on its way into the store.
pub(super) struct Move<'a> {
    at: usize,
    pub(super) ask: &'a Ask<'a>,
    pub(super) fence: u64,
    pub(super) escalation: Escalation,
    pub(super) decision: Decision,
}

impl Move<'_> {
    fn values(&self, lease: Duration) -> StepValues<'_> {
        let now = self.ask.now;
        let (due_at, leased_until, pushed, stopped) = match &self.decision.act {
            Act::Attempt(attempts) => {
                let pushed = attempts.iter().any(|attempt| attempt.channel.can_remove());
                (Some(now), (now + lease).as_millisecond(), pushed, None)
            }
            Act::Hold(hold) => (Some(hold.until), 0, false, None),
            Act::Rest(at) => (Some(*at), 0, false, None),
            Act::End(reason) => (None, 0, false, Some(reason.as_str())),
        };
        let begins = matches!(&self.decision.act, Act::Attempt(attempts)
            if attempts.iter().any(|attempt| attempt.kind == AttemptKind::Alert));
        let progress = &self.escalation.progress;
        let sent = progress.sent().max(self.escalation.severity.filter(|_| begins));
        let key = self.ask.key;
        StepValues {
            tenant: key.user.tenant.as_str(),
            user_id: key.user.user.as_str(),
            alert_id: key.alert.as_str(),
            leased_until_ms: leased_until,
            step: self.decision.step as i64,
            step_due_at_ms: self.decision.step_due_at,
            due_at_ms: due_at,
            pushed,
            begun: begins,
            is_over: progress.stopped.is_some(),
            sent: sent.map(Severity::as_str),
            stopped,
        }
    }
}
