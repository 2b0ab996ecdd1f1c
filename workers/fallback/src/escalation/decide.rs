//! What a sender does about one walk: skips steps that reach nobody, then attempts, holds, rests or finishes. Pure but
//! for the ids and the tenant's rate, which are given.

use std::{borrow::Cow, time::Duration};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use watchbell::{
    domain::{
        Attempt, AttemptKind, Channel, Person, Policy, PolicyStep, Progress, Severity, Step, StopReason,
        Timestamp, UserKey,
        next_step::{Because, Target, next_step},
        policy::Policies,
        restraint::{Held, Restraint},
    },
    store::{Act, Decision, EscalationKey, Hold, NewAttempt, Told, Walk},
    wire::{alert::ShownAlert, preferences::stored_preferences},
};

use crate::{channel::Channels, escalation::timeline};

/// What decisions are made by.
pub(crate) struct Decider<'a> {
    pub(crate) policies: &'a Policies,
    pub(crate) restraint: &'a Restraint,
    /// Whom messages would go to.
    pub(crate) channels: &'a Channels,
    /// Makes ids for attempts that have none yet.
    pub(crate) attempt_id: &'a (dyn Fn() -> Uuid + Send + Sync),
    /// How long the tenant's next alert has to wait, if it does; the same answer for the whole step.
    pub(crate) over_rate: &'a (dyn Fn() -> Option<Duration> + Send + Sync),
}

impl Decider<'_> {
    /// Decides on a walk as it stands in the store.
    pub(crate) fn decide(&self, key: &EscalationKey, walk: &Walk, now: Timestamp) -> Decision {
        let own;
        let policy = match key.alert.summary() {
            None => {
                own = self.policy_of(key, walk);
                &*own
            }
            Some(channel) => &policy_of_summary(channel, walk),
        };
        let shown: Option<ShownAlert> = serde_json::from_str(&walk.content).ok();
        let preferences = stored_preferences(walk.preferences.as_deref());
        let person = Person {
            reach: self.channels.reach(&key.user, walk),
            preferences: &preferences,
            lately: walk.lately,
            restraint: self.restraint,
            category: shown.as_ref().and_then(|shown| shown.category.as_deref()),
            severity: shown
                .as_ref()
                .and_then(|shown| shown.severity.parse().ok())
                .unwrap_or(Severity::Warning),
            is_summary: key.alert.summary().is_some(),
            chance: chance_of(&key.user),
        };
        self.walk_on(key, walk, policy, &person, now)
    }

    /// The steps it goes through, and whether they may break a silence by what it says now: what is less bad by now
    /// wakes nobody, whatever it was.
    fn policy_of(&self, key: &EscalationKey, walk: &Walk) -> Cow<'_, Policy> {
        let tenant = &key.user.tenant;
        let policy = self.policies.get_or_default(tenant, &walk.policy);
        let shown = walk.policy_shown.as_ref().map(|name| self.policies.get_or_default(tenant, name));
        match shown.filter(|shown| shown.mandatory != policy.mandatory) {
            Some(shown) => Cow::Owned(Policy { mandatory: shown.mandatory, ..policy.clone() }),
            None => Cow::Borrowed(policy),
        }
    }

    fn walk_on(
        &self,
        key: &EscalationKey,
        walk: &Walk,
        policy: &Policy,
        person: &Person<'_>,
        now: Timestamp,
    ) -> Decision {
        let mut progress = walk.progress.clone();
        let mut notes = Vec::new();
        let mut told = None;
        loop {
            let (step, step_due_at) = (progress.step, progress.step_due_at);
            let decision = |act| Decision::new(step, step_due_at, act);
            return match next_step(&progress, policy, person, now) {
                Step::Advance { due_at, because } => {
                    if let Some(channel) = key.alert.summary() {
                        let note = timeline::summary_done(channel, because, walk);
                        told = Some(Told { reached: because == Because::Accepted, note });
                    }
                    notes
                        .extend(policy.steps.get(step).map(|step| timeline::advanced(step.channel, because)));
                    progress.step += 1;
                    progress.step_due_at = due_at;
                    continue;
                }
                Step::WaitUntil(at) => Decision { notes, told, ..decision(Act::Rest(at)) },
                Step::Finish(reason) => {
                    let taken_by = walk.taken_by.as_ref().filter(|_| reason == StopReason::Acknowledged);
                    notes.push(timeline::finished(reason, taken_by));
                    Decision { notes, told, ..decision(Act::End(reason)) }
                }
                Step::Hold { held, until, lately } => {
                    let following = policy.steps.get(step + 1).map(|next| next.after);
                    // What is told in a summary at its last step may still have a push that was put off.
                    let following = following.or(policy.mandatory.then_some(Duration::ZERO));
                    // Said once, however often it is looked at meanwhile.
                    notes.extend((walk.held != Some(held)).then(|| timeline::held(held, until)));
                    let hold = Hold { held, until, following, mandatory: policy.mandatory };
                    let lately = lately.and_then(|lately| Some((held.summary()?, lately)));
                    Decision { notes, told, lately, ..decision(Act::Hold(hold)) }
                }
                Step::Attempt { kind, channel, step: of_step, targets, lately } => {
                    // A withdrawal is never too much, and whoever waited has had their turn.
                    let is_counted = kind == AttemptKind::Alert && walk.held != Some(Held::Rate);
                    let wait = is_counted.then(|| (self.over_rate)()).flatten();
                    if let Some(wait) = wait {
                        let (held, until) = (Held::Rate, now + wait);
                        notes.push(timeline::held(held, until));
                        let hold = Hold { held, until, following: None, mandatory: policy.mandatory };
                        return Decision { notes, told, ..decision(Act::Hold(hold)) };
                    }
                    let attempts = targets.into_iter().map(|target| {
                        let open = open_attempt(&progress, kind, channel, of_step, &target);
                        NewAttempt {
                            id: open.map_or_else(self.attempt_id, |attempt| attempt.id),
                            kind,
                            channel,
                            device: target.device,
                            tries: open.map_or(0, |attempt| attempt.tries) + 1,
                        }
                    });
                    let lately = lately.map(|lately| (channel, lately));
                    Decision { notes, told, lately, ..decision(Act::Attempt(attempts.collect())) }
                }
            };
        }
    }
}

/// A summary has waited already: it goes out at once, and into a silence only with something that may.
fn policy_of_summary(channel: Channel, walk: &Walk) -> Policy {
    let mandatory = walk.bundle.as_ref().is_some_and(|bundle| bundle.mandatory);
    Policy { steps: vec![PolicyStep::new(channel, Duration::ZERO)], mandatory, ..Policy::default() }
}

/// A number in 0..1 that is always the same for one person, so that what waited for one silence of theirs is released
/// as one, and two people's are not.
fn chance_of(user: &UserKey) -> f64 {
    let hash = Sha256::digest(format!("{}/{}", user.tenant, user.user));
    f64::from(u16::from_be_bytes([hash[0], hash[1]])) / 65_536.0
}

/// The attempt that stands for this target and is not over: its id is used again (I6).
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
            && progress.is_of_this_walk(attempt)
            && (kind == AttemptKind::Withdrawal || attempt.step == step)
            && attempt.device == target.device
            && !attempt.state.is_final()
    })
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
