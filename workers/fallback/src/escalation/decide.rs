//! Decides what the next step of an escalation does: it passes over steps that reach nobody, then attempts, holds back,
//! waits or ends. [`next_step`] makes the decision; this file gathers what it asks for and writes down the reasons.
//!
//! Pure, but for the ids of new attempts and the rate of the tenant, which are parameters.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use watchbell::{
    domain::{
        Attempt, AttemptKind, Channel, Person, Policy, PolicyStep, Progress, Severity, Step, Timestamp,
        UserKey, explanation,
        next_step::{Because, Target, next_step},
        restraint::Held,
    },
    store::{Act, Decision, Escalation, EscalationKey, Hold, NewAttempt, SummaryOutcome},
    wire::{alert::ShownAlert, preferences::stored_preferences},
};

use super::{rules::EscalationRules, timeline};
use crate::{channel::Channels, randomness::AttemptIds};

/// The decision about one step, as often as the store asks for it.
pub(crate) type StepDecision = Arc<dyn Fn(&Escalation) -> Decision + Send + Sync>;

/// Decides about steps.
pub(crate) struct Decider {
    rules: EscalationRules,
    /// Whom messages would go to.
    channels: Arc<Channels>,
    /// Names attempts that have no id yet.
    attempt_ids: AttemptIds,
}

impl Decider {
    pub(crate) fn new(rules: EscalationRules, channels: Arc<Channels>, attempt_ids: AttemptIds) -> Self {
        Self { rules, channels, attempt_ids }
    }

    /// The decision about the next step of one escalation. The store may ask several times; the tenant's rate is charged
    /// once.
    pub(crate) fn for_step(self: &Arc<Self>, key: &EscalationKey, now: Timestamp) -> StepDecision {
        let (decider, key, wait) = (Arc::clone(self), key.clone(), OnceLock::new());
        Arc::new(move |escalation| {
            let tenant_wait = || *wait.get_or_init(|| decider.rules.tenant_rates.wait(&key.user.tenant, now));
            decider.decide(&key, escalation, now, &tenant_wait)
        })
    }

    /// Decides on an escalation as it stands in the store. `tenant_wait` says how long the tenant's next message has to
    /// wait, if it does.
    fn decide(
        &self,
        key: &EscalationKey,
        escalation: &Escalation,
        now: Timestamp,
        tenant_wait: &dyn Fn() -> Option<Duration>,
    ) -> Decision {
        let policy = match key.alert.summary() {
            None => self.policy_of(key, escalation),
            Some(channel) => Cow::Owned(policy_of_summary(channel, escalation)),
        };
        let shown: Option<ShownAlert> = serde_json::from_str(&escalation.content).ok();
        let preferences = stored_preferences(escalation.preferences.as_deref());
        let person = Person {
            reach: self.channels.reach(&key.user, escalation),
            preferences: &preferences,
            lately: escalation.lately,
            restraint: &self.rules.restraint,
            category: shown.as_ref().and_then(|shown| shown.category.as_deref()),
            severity: shown
                .as_ref()
                .and_then(|shown| shown.severity.parse().ok())
                .unwrap_or(Severity::Warning),
            is_summary: key.alert.summary().is_some(),
            chance: share_of(&key.user),
        };
        self.first_that_acts(key, escalation, &policy, &person, now, tenant_wait)
    }

    /// The policy that gives the steps. Whether it may break a silence is decided by what the alert says now: what is less
    /// bad by now wakes nobody, whatever it was.
    fn policy_of(&self, key: &EscalationKey, escalation: &Escalation) -> Cow<'_, Policy> {
        let (policies, tenant) = (&self.rules.policies, &key.user.tenant);
        let policy = policies.get_or_default(tenant, &escalation.policy);
        let shown = escalation.policy_shown.as_ref().map(|name| policies.get_or_default(tenant, name));
        match shown.filter(|shown| shown.mandatory != policy.mandatory) {
            Some(shown) => Cow::Owned(Policy { mandatory: shown.mandatory, ..policy.clone() }),
            None => Cow::Borrowed(policy),
        }
    }

    /// Passes over the steps that have nothing to do, up to the first that has, and notes why.
    fn first_that_acts(
        &self,
        key: &EscalationKey,
        escalation: &Escalation,
        policy: &Policy,
        person: &Person<'_>,
        now: Timestamp,
        tenant_wait: &dyn Fn() -> Option<Duration>,
    ) -> Decision {
        let mut progress = escalation.progress.clone();
        let mut notes = Vec::new();
        let mut told = None;
        loop {
            let (step, step_due_at) = (progress.step, progress.step_due_at);
            let decision = |act| Decision::new(step, step_due_at, act);
            return match next_step(&progress, policy, person, now) {
                Step::Advance { due_at, because } => {
                    if let Some(channel) = key.alert.summary() {
                        let note = timeline::summary_done(channel, because, escalation);
                        told = Some(SummaryOutcome { reached: because == Because::Accepted, note });
                    }
                    let passed = policy.steps.get(step);
                    let is_last = step + 1 == policy.steps.len();
                    notes.extend(passed.map(|step| timeline::step_passed(step.channel, because, is_last)));
                    progress.step += 1;
                    progress.step_due_at = due_at;
                    continue;
                }
                Step::WaitUntil(at) => Decision { notes, told, ..decision(Act::Rest(at)) },
                Step::Finish(reason) => {
                    notes.push(explanation::ended(reason, escalation.taken.as_ref().map(|(_, rule)| *rule)));
                    Decision { notes, told, ..decision(Act::End(reason)) }
                }
                Step::Hold { held, until, lately, gathered } => {
                    // It is said once, however often the escalation is looked at meanwhile.
                    notes.extend(
                        (escalation.held != Some(held)).then(|| timeline::held_back(held, until, gathered)),
                    );
                    let following = wait_after(step, policy);
                    let hold = Hold { held, until, following, mandatory: policy.mandatory };
                    let lately = lately.and_then(|lately| Some((held.summary()?, lately)));
                    Decision { notes, told, lately, ..decision(Act::Hold(hold)) }
                }
                Step::Attempt { kind, channel, step: of_step, targets, lately } => {
                    // A withdrawal is never too much, and whoever waited for the rate has had their turn.
                    let is_counted = kind == AttemptKind::Alert && escalation.held != Some(Held::Rate);
                    if let Some(wait) = is_counted.then(tenant_wait).flatten() {
                        let (held, until) = (Held::Rate, now + wait);
                        notes.push(timeline::held_back(held, until, None));
                        let hold = Hold { held, until, following: None, mandatory: policy.mandatory };
                        return Decision { notes, told, ..decision(Act::Hold(hold)) };
                    }
                    let attempts = targets.into_iter();
                    let attempts =
                        attempts.map(|target| self.attempt(&progress, kind, channel, of_step, target));
                    let lately = lately.map(|lately| (channel, lately));
                    Decision { notes, told, lately, ..decision(Act::Attempt(attempts.collect())) }
                }
            };
        }
    }

    /// A new attempt, or the open one once more.
    fn attempt(
        &self,
        progress: &Progress,
        kind: AttemptKind,
        channel: Channel,
        step: usize,
        target: Target,
    ) -> NewAttempt {
        let open = open_attempt(progress, kind, channel, step, &target);
        NewAttempt {
            id: open.map_or_else(|| (self.attempt_ids)(), |attempt| attempt.id),
            kind,
            channel,
            device: target.device,
            tries: open.map_or(0, |attempt| attempt.tries) + 1,
        }
    }
}

/// How long after a step that is told in a summary the escalation goes on by itself.
fn wait_after(step: usize, policy: &Policy) -> Option<Duration> {
    let next = policy.steps.get(step + 1).map(|next| next.after);
    // At the last step a push may be left that was put off.
    next.or(policy.mandatory.then_some(Duration::ZERO))
}

/// A summary has waited already: it goes out at once, and into a silence only with an alert that may break one.
fn policy_of_summary(channel: Channel, escalation: &Escalation) -> Policy {
    let mandatory = escalation.bundle.as_ref().is_some_and(|bundle| bundle.mandatory);
    Policy { steps: vec![PolicyStep::new(channel, Duration::ZERO)], mandatory, ..Policy::default() }
}

/// A number in 0..1 that is always the same for one person. So what waited for the end of one person's quiet hours is
/// released together, and the messages of different people are spread.
fn share_of(user: &UserKey) -> f64 {
    let hash = Sha256::digest(format!("{}/{}", user.tenant, user.user.as_str()));
    f64::from(u16::from_be_bytes([hash[0], hash[1]])) / 65_536.0
}

/// The attempt for this target that is not over: its id is used again (I6).
fn open_attempt<'a>(
    progress: &'a Progress,
    kind: AttemptKind,
    channel: Channel,
    step: usize,
    target: &Target,
) -> Option<&'a Attempt> {
    progress.attempts.iter().find(|attempt| {
        attempt.kind == kind
            && attempt.channel == channel
            && progress.is_of_this_escalation(attempt)
            && (kind == AttemptKind::Withdrawal || attempt.step == step)
            && attempt.device == target.device
            && !attempt.state.is_final()
    })
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
