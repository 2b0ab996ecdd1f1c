//! The outbox: what producers are told, written in the commit that makes it so.
//!
//! What holds here:
//! - An outcome and what it tells of are committed together, or neither is.
//! - A commit writes its outcomes in one statement, whatever their number, and in none while nobody wants to hear of them.
//! - What is told twice has one id. Who commits again after a lost answer finds nothing new, and writes nothing.
//!
//! Elsewhere: how they leave, in [`super::outbox_relay`]; which there are, in `domain::outcome`.

use super::{
    Act, AppliedReceipt, Ask, EscalationKey, Failure, Store, Tx,
    attempts::{small, storable},
    row_batch::{Batch, Statement, batch_row},
    steps::Move,
    stored_name,
    summaries::{SummaryOutcome, of_user},
};
use crate::{
    domain::{
        AlertId, Answer, AttemptState, Channel, OutcomeBy, OutcomeKind, OutcomeRoutes, Receipt, Tenant,
        Timestamp, UserId, UserKey,
        outcome::{CHANNEL_WORDS, outcome_id, shareable},
    },
    runtime::Current,
};

batch_row! {
    /// What became of an alert for one person, for one route.
    struct FactValues<'a> {
        route: String,
        outcome_id: String,
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        outcome: &'a str,
        channel: Option<&'a str>,
        by_whom: Option<String>,
        until_ms: Option<Timestamp>,
        action: Option<&'a str>,
        action_title: Option<&'a str>,
        answer: Option<&'a str>,
        at_ms: Timestamp,
    }
}

batch_row! {
    /// What a provider answered for good, for one route. It counts if its attempt is by `by_channel`: `*` is any channel, and
    /// the empty text one whose acceptance has no word of its own.
    struct FinalAnswerValues<'a> {
        route: String,
        outcome_id: String,
        tenant: &'a str,
        user_id: &'a str,
        alert_id: &'a str,
        outcome: &'a str,
        by_channel: &'a str,
        reason: Option<String>,
        attempt_id: String,
        at_ms: Timestamp,
    }
}

/// What became of one alert for one person.
struct Fact<'a> {
    user: &'a UserKey,
    alert: &'a AlertId,
    kind: OutcomeKind,
    /// What tells it from others of its kind, for this person and alert.
    apart: String,
    channel: Option<Channel>,
    by: Option<OutcomeBy>,
    until: Option<Timestamp>,
    answer: Option<&'a Answer>,
    at: Timestamp,
}

impl<'a> Fact<'a> {
    fn new(user: &'a UserKey, alert: &'a AlertId, kind: OutcomeKind, apart: String, at: Timestamp) -> Self {
        Self { user, alert, kind, apart, channel: None, by: None, until: None, answer: None, at }
    }

    fn rows<'b>(&'b self, routes: &'b OutcomeRoutes) -> impl Iterator<Item = FactValues<'b>> {
        let (tenant, user, alert) = (&self.user.tenant, self.user.user.as_str(), self.alert.as_str());
        routes.of(tenant, self.kind).map(move |route| FactValues {
            route: route.to_string(),
            outcome_id: outcome_id(self.kind, &[tenant.as_str(), user, alert, &self.apart]).to_string(),
            tenant: tenant.as_str(),
            user_id: user,
            alert_id: alert,
            outcome: self.kind.as_str(),
            channel: self.channel.map(Channel::as_str),
            by_whom: self.by.as_ref().map(ToString::to_string),
            until_ms: self.until,
            action: self.answer.map(|answer| answer.action.as_str()),
            action_title: self.answer.map(|answer| answer.title.as_str()),
            answer: self.answer.map(|answer| answer.text.as_str()),
            at_ms: self.at,
        })
    }
}

impl Store {
    /// Has the outcomes written that these routes want to hear of. Every process of an installation is given the same.
    #[must_use]
    pub fn telling(self, routes: OutcomeRoutes) -> Self {
        Self { outcomes: Current::new(routes), ..self }
    }

    /// From now on outcomes go to the addresses of these routes, in every handle that was cloned from this one since it was told of
    /// any. What goes to the exchange stays.
    pub fn replace_outcome_addresses(&self, routes: OutcomeRoutes) {
        let queue = self.outcomes.get().queue.clone();
        self.outcomes.replace(OutcomeRoutes { queue, webhooks: routes.webhooks });
    }

    /// What people said, before it is written: of a first `delivered` the row does not know yet.
    pub(super) async fn tell_receipts(
        &self,
        tx: &mut Tx,
        batch: &[Receipt],
        said: &[Option<AppliedReceipt>],
        now: Timestamp,
    ) -> Result<(), Failure> {
        if self.outcomes.get().is_empty() {
            return Ok(());
        }
        let mut facts = Vec::new();
        for (receipt, said) in batch.iter().zip(said) {
            let Some(kind) = OutcomeKind::of_receipt(receipt.state) else { continue };
            let fact = |alert, apart| {
                let until = receipt.until.filter(|_| kind == OutcomeKind::Snoozed);
                Fact {
                    until,
                    answer: receipt.answers.get(alert),
                    ..Fact::new(&receipt.user, alert, kind, apart, now)
                }
            };
            match said {
                Some(said) => facts.extend(said.alerts.iter().map(|alert| fact(alert, said.seq.to_string()))),
                None if kind == OutcomeKind::Delivered => {
                    facts.extend(receipt.alerts.iter().map(|alert| fact(alert, String::new())));
                }
                None => {}
            }
        }
        self.tell(tx, &facts).await
    }

    /// Who took which alerts for all.
    pub(super) async fn tell_taken(
        &self,
        tx: &mut Tx,
        taken: &[sqlx::any::AnyRow],
        now: Timestamp,
    ) -> Result<(), Failure> {
        if self.outcomes.get().is_empty() {
            return Ok(());
        }
        let mut all = Vec::with_capacity(taken.len());
        for row in taken {
            let user =
                UserKey::new(stored_name!(row, "tenant", Tenant), stored_name!(row, "taken_by", UserId));
            let by = OutcomeBy::User(user.user.clone());
            let key = (user, stored_name!(row, "alert_id", AlertId));
            all.push((key, small(row, "taken_version")?, by));
        }
        self.tell_acknowledged(tx, &all, now).await
    }

    /// In whose inboxes an alert has turned acknowledged, in which version and by whom; after it is written.
    pub(super) async fn tell_acknowledged(
        &self,
        tx: &mut Tx,
        turned: &[((UserKey, AlertId), u32, OutcomeBy)],
        now: Timestamp,
    ) -> Result<(), Failure> {
        // A version is acknowledged once by each who may.
        let facts = turned.iter().map(|((user, alert), version, by)| {
            let (kind, apart) = (OutcomeKind::Acknowledged, format!("{version}/{by}"));
            Fact { by: Some(by.clone()), ..Fact::new(user, alert, kind, apart, now) }
        });
        self.tell(tx, &facts.collect::<Vec<_>>()).await
    }

    /// Whether anybody hears of outcomes. While nobody does, nothing is computed for them.
    pub(super) fn is_telling(&self) -> bool {
        !self.outcomes.get().is_empty()
    }

    /// Which escalations ended without anybody saying anything.
    pub(super) async fn tell_ends(&self, tx: &mut Tx, moves: &[Move<'_>]) -> Result<(), Failure> {
        let ended = moves.iter().filter_map(|moved| match moved.decision.act {
            Act::End(reason) if moved.escalation.progress.stopped.is_none() => {
                let EscalationKey { user, alert } = moved.ask.key;
                let apart = format!("{}/{}", moved.escalation.progress.round, moved.fence);
                Some(Fact::new(user, alert, OutcomeKind::of_end(reason)?, apart, moved.ask.now))
            }
            _ => None,
        });
        let facts: Vec<Fact<'_>> = ended.collect();
        self.tell(tx, &facts).await
    }

    /// That an escalation was set aside.
    pub(super) async fn tell_dead(
        &self,
        tx: &mut Tx,
        key: &EscalationKey,
        claim: u64,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let EscalationKey { user, alert } = key;
        self.tell(tx, &[Fact::new(user, alert, OutcomeKind::Dead, claim.to_string(), now)]).await
    }

    /// What became of each alert that a summary told of, or could not tell of; `held` is what they waited for.
    pub(super) async fn tell_summary(
        &self,
        tx: &mut Tx,
        (key, channel, held): (&EscalationKey, Channel, &str),
        round: u32,
        told: &SummaryOutcome,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if self.outcomes.get().is_empty() {
            return Ok(());
        }
        let sql = "SELECT alert_id FROM escalations WHERE tenant = $1 AND user_id || '' = $2 AND held = $3
             AND bundled_round = $4 AND stopped IS NULL";
        let rows = of_user(sqlx::query(sql), &key.user)
            .bind(held.to_owned())
            .bind(i64::from(round))
            .fetch_all(&mut **tx)
            .await?;
        let mut alerts = Vec::with_capacity(rows.len());
        for row in &rows {
            alerts.push(stored_name!(row, "alert_id", AlertId));
        }
        let kind = if told.reached { OutcomeKind::accepted_by(channel) } else { OutcomeKind::Bounced };
        let fact = |alert| {
            let apart = format!("{}/{round}", key.alert);
            Fact { channel: Some(channel), ..Fact::new(&key.user, alert, kind, apart, now) }
        };
        let facts: Vec<Fact<'_>> = alerts.iter().map(fact).collect();
        self.tell(tx, &facts).await
    }

    /// What providers answered for good, before it is written: a final answer is told once. Summaries have no inbox row,
    /// so their own attempts are not told of.
    pub(super) async fn tell_answers(&self, tx: &mut Tx, asks: &[&Ask<'_>]) -> Result<(), Failure> {
        // Its parameter has the channels with a word of their own, each between commas.
        static INSERT: Statement<FinalAnswerValues<'_>> = Statement::new(
            "INSERT INTO outbox (route, ready_at_ms, outcome_id, tenant, user_id, alert_id, version, outcome, channel,
                 reason, attempt_id, at_ms, tries)
             SELECT batch.route, batch.at_ms, batch.outcome_id, a.tenant, a.user_id, a.alert_id, i.version, batch.outcome,
                 a.channel, batch.reason, a.attempt_id, batch.at_ms, 0
             FROM {batch} CROSS JOIN attempts a CROSS JOIN inbox i
             WHERE a.attempt_id = batch.attempt_id AND a.kind = 'alert' AND a.state NOT IN ('accepted', 'failed')
                 AND (batch.by_channel = '*' OR batch.by_channel = a.channel
                     OR batch.by_channel = '' AND $1 NOT LIKE ('%,' || a.channel || ',%'))
                 AND i.tenant = batch.tenant AND i.user_id = batch.user_id AND i.alert_id = batch.alert_id
             ON CONFLICT (route, ready_at_ms, outcome_id) DO NOTHING",
        );
        if self.outcomes.get().is_empty() {
            return Ok(());
        }
        let routes = self.outcomes.get();
        let rows = asks.iter().flat_map(|ask| answer_rows(ask, &routes));
        let batch = Batch::of(self.engine, rows)?;
        if batch.is_empty() {
            return Ok(());
        }
        let words: String = CHANNEL_WORDS.iter().map(|(channel, _)| format!(",{channel},")).collect();
        INSERT.over(&batch).bind(words).execute(&mut **tx).await?;
        Ok(())
    }

    /// Writes them for each route that wants them, about inbox rows that are there.
    async fn tell(&self, tx: &mut Tx, facts: &[Fact<'_>]) -> Result<(), Failure> {
        static INSERT: Statement<FactValues<'_>> = Statement::new(
            "INSERT INTO outbox (route, ready_at_ms, outcome_id, tenant, user_id, alert_id, version, outcome, channel,
                 by_whom, until_ms, action, action_title, answer, at_ms, tries)
             SELECT batch.route, batch.at_ms, batch.outcome_id, i.tenant, i.user_id, i.alert_id, i.version, batch.outcome,
                 batch.channel, batch.by_whom, batch.until_ms, batch.action, batch.action_title, batch.answer, batch.at_ms, 0
             FROM {batch} CROSS JOIN inbox i
             WHERE i.tenant = batch.tenant AND i.user_id = batch.user_id AND i.alert_id = batch.alert_id
                 AND (batch.outcome <> 'delivered' OR i.delivered_at_ms IS NULL)
             ON CONFLICT (route, ready_at_ms, outcome_id) DO NOTHING",
        );
        let routes = self.outcomes.get();
        let batch = Batch::of(self.engine, facts.iter().flat_map(|fact| fact.rows(&routes)))?;
        if batch.is_empty() {
            return Ok(());
        }
        INSERT.over(&batch).execute(&mut **tx).await?;
        Ok(())
    }
}

/// The final answers among those of a step. What a provider accepted has the word of its channel, which the attempt's row
/// knows; so there is a row for each word, and only one of them meets its attempt.
fn answer_rows<'a>(ask: &'a Ask<'_>, routes: &OutcomeRoutes) -> Vec<FinalAnswerValues<'a>> {
    let (user, alert) = (&ask.key.user, &ask.key.alert);
    let mut rows = Vec::new();
    for answer in ask.answers {
        let words: Vec<(&'static str, OutcomeKind)> = match answer.state {
            AttemptState::Accepted => {
                let own = CHANNEL_WORDS.iter().map(|(channel, kind)| (channel.as_str(), *kind));
                own.chain([("", OutcomeKind::Sent)]).collect()
            }
            AttemptState::Failed => vec![("*", OutcomeKind::Bounced)],
            AttemptState::Pending | AttemptState::Retrying => Vec::new(),
        };
        let attempt = answer.id.to_string();
        for (by_channel, kind) in words {
            let id = outcome_id(kind, &[user.tenant.as_str(), &attempt]).to_string();
            let reason = answer
                .reason
                .as_deref()
                .filter(|_| kind == OutcomeKind::Bounced)
                .map(|reason| storable(&shareable(reason)));
            rows.extend(routes.of(&user.tenant, kind).map(|route| FinalAnswerValues {
                route: route.to_string(),
                outcome_id: id.clone(),
                tenant: user.tenant.as_str(),
                user_id: user.user.as_str(),
                alert_id: alert.as_str(),
                outcome: kind.as_str(),
                by_channel,
                reason: reason.clone(),
                attempt_id: attempt.clone(),
                at_ms: ask.now,
            }));
        }
    }
    rows
}
