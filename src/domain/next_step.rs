//! What to do next for one alert of one user. Decides; carries nothing out.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Attempt, AttemptKind, AttemptState, Channel, DeviceId, LAST_MOMENT, PerChannel, Policy, PolicyStep,
    Severity, Timestamp,
    alert::words,
    channel::Removal,
    channel_bounds::ChannelBounds,
    digest::DigestEvery,
    policy::Unless,
    preferences::{Preferences, released_at},
    restraint::{Gate, Held, Lately, Restraint},
};

/// How far the escalation of one alert for one user has come, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Why it ended, once it has.
    pub stopped: Option<StopReason>,
    /// When this escalation began.
    pub opened_at: Timestamp,
    /// Nobody is told after this.
    pub expires_at: Timestamp,
    /// The version of the alert that opened this escalation.
    pub round: u32,
    /// How many escalations that version opened before, for the same person: one more with each snooze that ended.
    pub opening: u32,
    /// The step that is next or under way.
    pub step: usize,
    /// When that step is due.
    pub step_due_at: Timestamp,
    /// Every attempt of this alert for this user, of every round.
    pub attempts: Vec<Attempt>,
    /// The channels by which a summary told of it.
    pub told_by: Vec<Channel>,
    /// The worst severity that a summary told of it in this round.
    pub summarized: Option<Severity>,
    /// The worst severity that earlier rounds sent, since it last began to fire or the person last looked.
    pub sent_before: Option<Severity>,
}

impl Progress {
    /// The worst severity that was sent, since it last began to fire or the person last looked. What is on its way counts.
    pub fn sent(&self) -> Option<Severity> {
        let own = attempts_of(self, AttemptKind::Alert).filter_map(Attempt::told).max();
        own.max(self.summarized).max(self.sent_before)
    }
}

impl Progress {
    /// Whether an attempt was made in this escalation, not in an earlier one of the same alert.
    pub fn is_of_this_escalation(&self, attempt: &Attempt) -> bool {
        (attempt.round, attempt.opening) == (self.round, self.opening)
    }
}

/// Whom a message by each channel would go to at this moment. None: the person cannot be reached by it.
pub type Reach = PerChannel<Vec<Target>>;

/// What is known of the person at this moment, and of what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Person<'a> {
    /// By what they can be reached.
    pub reach: Reach,
    /// What they want.
    pub preferences: &'a Preferences,
    /// What they got lately.
    pub lately: PerChannel<Lately>,
    /// How much they may get.
    pub restraint: &'a Restraint,
    /// The alert's category.
    pub category: Option<&'a str>,
    /// How bad it is.
    pub severity: Severity,
    /// Whether this is the escalation of their summary, which held back long enough.
    pub is_summary: bool,
    /// In 0..1, the same for everything that waits for one silence of theirs, so that it comes as one.
    pub chance: f64,
}

/// Why nobody needs to be chased any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The person saw it.
    Seen,
    /// The person opened it.
    Read,
    /// The person put it away.
    Dismissed,
    /// The person put it off: another escalation begins when that time has come.
    Snoozed,
    /// Somebody took it on.
    Acknowledged,
    /// The producer says it is not worth telling.
    Suppressed,
    /// The producer says it is over.
    Resolved,
    /// Its time has passed.
    Expired,
    /// Every channel was used.
    Exhausted,
}

words!(StopReason {
    Seen = "seen",
    Read = "read",
    Dismissed = "dismissed",
    Snoozed = "snoozed",
    Acknowledged = "acknowledged",
    Suppressed = "suppressed",
    Resolved = "resolved",
    Expired = "expired",
    Exhausted = "exhausted",
});

impl StopReason {
    /// Whether what is shown is taken away. An acknowledged alert still goes on, so it stays.
    pub fn withdraws(self) -> bool {
        self != Self::Acknowledged
    }
}

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing before then.
    WaitUntil(Timestamp),
    /// Call the providers: for every target, an attempt that stands already or a new one.
    Attempt {
        /// To show, or to take away.
        kind: AttemptKind,
        /// By which channel.
        channel: Channel,
        /// The policy's step that they belong to: an earlier one than the escalation's when that still stands.
        step: usize,
        /// To whom.
        targets: Vec<Target>,
        /// What the person got lately once this went out; none for a retry and a withdrawal.
        lately: Option<Lately>,
    },
    /// The step is due, but it is not the moment.
    Hold {
        /// Why.
        held: Held,
        /// Until when.
        until: Timestamp,
        /// What to remember of what the person got lately.
        lately: Option<Lately>,
        /// For what the person gets one mail, when that is why.
        gathered: Option<DigestEvery>,
    },
    /// This step is done with; the next is due then.
    Advance {
        /// When the next step is due.
        due_at: Timestamp,
        /// Why this one is done with.
        because: Because,
    },
    /// Nothing will ever be done again, unless a later version or a receipt says so.
    Finish(StopReason),
}

/// Whom one attempt is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The device; none for the person's address.
    pub device: Option<DeviceId>,
}

/// Why a step is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Because {
    /// A provider took it.
    Accepted,
    /// There is no device, or no address.
    NobodyToReach,
    /// Every attempt failed for good.
    Failed,
    /// Attempts are neither accepted nor failed yet, but the next channel's time has come (I4). Only a mandatory policy
    /// goes on with them.
    NextIsDue,
    /// The policy leaves it out.
    Unless(Unless),
    /// The person wants nothing of the kind by this channel.
    OptedOut,
    /// An earlier round told as much or worse, and what is less rings nobody again.
    ToldBefore,
    /// It comes due so late that it is no news any more.
    TooOld,
    /// Its provider is in trouble and the alert is mandatory: the next channel is used at once, and this step stands.
    PutOff,
}

/// Tries of one attempt that a crash cut off before the next channel no longer waits for it: a call that kills its
/// caller each time must not hold the email back (I4).
const CUT_OFF_TRIES_MAX: u32 = 3;

/// The next thing to do for an alert. Does nothing itself: no clock, no I/O.
/// Times are wall-clock, because they are stored and outlive the process.
///
/// A mandatory alert does not wait for a provider in trouble: its next channel is used at once, and what was put off
/// stands and is sent when it can be, as long as nobody saw the alert. So a person gets what the policy would have sent
/// them, in another order, and nobody is missed when the next channel is in trouble too.
pub fn next_step(progress: &Progress, policy: &Policy, person: &Person<'_>, now: Timestamp) -> Step {
    let expired = (progress.expires_at <= now).then_some(StopReason::Expired);
    if let Some(reason) = progress.stopped.or(expired) {
        return withdraw(progress, reason, now);
    }
    with_standing(progress, policy, own_step(progress, policy, person, now), now)
}

/// What to do about the step that is next or under way.
fn own_step(progress: &Progress, policy: &Policy, person: &Person<'_>, now: Timestamp) -> Step {
    let Some(step) = policy.steps.get(progress.step) else {
        return exhausted(progress);
    };
    if now < progress.step_due_at {
        // What expires before ends then, and says so.
        return Step::WaitUntil(progress.step_due_at.min(progress.expires_at));
    }
    let begun: Vec<&Attempt> =
        attempts_of(progress, AttemptKind::Alert).filter(|attempt| attempt.step == progress.step).collect();
    match begun.is_empty() {
        true => begin(progress, policy, step, person, now),
        false => {
            let goes_on = policy.mandatory && is_next_free(progress, policy, person, now);
            carry_on(progress, policy, step.channel, &begun, goes_on, now)
        }
    }
}

/// Whether there is a next step that would not be held back for a summary if it began now.
fn is_next_free(progress: &Progress, policy: &Policy, person: &Person<'_>, now: Timestamp) -> bool {
    let next = Progress { step: progress.step + 1, step_due_at: now, ..progress.clone() };
    let step = policy.steps.get(next.step);
    step.is_some_and(|step| !matches!(begin(&next, policy, step, person, now), Step::Hold { .. }))
}

/// The same, with what earlier steps of a mandatory alert still have to send: it goes out while there is nothing else
/// to do.
fn with_standing(progress: &Progress, policy: &Policy, own: Step, now: Timestamp) -> Step {
    let until = match own {
        Step::WaitUntil(at) | Step::Hold { until: at, .. } => at,
        Step::Finish(StopReason::Exhausted) => progress.expires_at,
        Step::Attempt { .. } | Step::Advance { .. } | Step::Finish(_) => return own,
    };
    let standing = standing(progress, policy);
    let steps: BTreeSet<usize> = standing.iter().map(|attempt| attempt.step).collect();
    let mut next = until;
    for step in steps {
        let of_step = standing.iter().copied().filter(|attempt| attempt.step == step);
        match due_again(of_step, now) {
            Due::Now(targets) => {
                let channel = policy.steps[step].channel;
                return Step::Attempt { kind: AttemptKind::Alert, channel, step, targets, lately: None };
            }
            Due::At(at) => next = next.min(at),
        }
    }
    match own {
        // A hold keeps its own time, which a summary goes by.
        Step::Hold { .. } => own,
        own if standing.is_empty() => own,
        _ => Step::WaitUntil(next),
    }
}

/// What earlier steps of a mandatory alert still have to send: until a later step used the same channel, or was taken
/// that the policy leaves out when this one was. One that a crash cut off time and again is let go.
fn standing<'a>(progress: &'a Progress, policy: &Policy) -> Vec<&'a Attempt> {
    if !policy.mandatory {
        return Vec::new();
    }
    let begun: Vec<&Attempt> = attempts_of(progress, AttemptKind::Alert).collect();
    let is_replaced = |earlier: &Attempt| {
        begun.iter().filter(|later| later.step > earlier.step).any(|later| {
            let unless = policy.steps.get(later.step).map_or(&[][..], |step| &step.unless);
            let instead = unless.iter().any(|unless| unless.channel() == Some(earlier.channel));
            later.channel == earlier.channel || (instead && later.state == AttemptState::Accepted)
        })
    };
    let open = begun.iter().copied().filter(|attempt| {
        attempt.step < progress.step.min(policy.steps.len())
            && !attempt.state.is_final()
            && (attempt.state == AttemptState::Retrying || attempt.tries < CUT_OFF_TRIES_MAX)
    });
    open.filter(|attempt| !is_replaced(attempt)).collect()
}

/// A step that has come due: left out, held, or sent.
fn begin(
    progress: &Progress,
    policy: &Policy,
    step: &PolicyStep,
    person: &Person<'_>,
    now: Timestamp,
) -> Step {
    let skip = |because| Step::Advance { due_at: now, because };
    // Left out on purpose, so the next one waits its turn all the same.
    let leave_out = |because| {
        let following = policy.steps.get(progress.step + 1).map_or(Duration::ZERO, |next| next.after);
        Step::Advance { due_at: now + following, because }
    };
    let silence_ends = match policy.mandatory {
        true => None,
        false => person.preferences.quiet.ends_at(now),
    };
    let holds = |unless: &&Unless| is_met(**unless, progress, person, silence_ends.is_some());
    if let Some(unless) = step.unless.iter().find(holds) {
        return leave_out(Because::Unless(*unless));
    }
    if step.channel.facts().rings && progress.sent_before >= Some(person.severity) {
        return leave_out(Because::ToldBefore);
    }
    if !policy.mandatory && person.preferences.opted_out(step.channel, person.category) {
        return skip(Because::OptedOut);
    }
    let targets = person.reach[step.channel].clone();
    if targets.is_empty() {
        return skip(Because::NobodyToReach);
    }
    let bounds = &person.restraint[step.channel];
    if !person.is_summary && progress.opened_at + bounds.age_max <= now {
        return skip(Because::TooOld);
    }
    // Deferred, not dropped. When it expires meanwhile, that is recorded when it does.
    let by_expiry = |until: Timestamp| until.min(progress.expires_at);
    if let Some(ends) = silence_ends {
        let until = by_expiry(released_at(ends, person.chance));
        return Step::Hold { held: Held::Quiet, until, lately: None, gathered: None };
    }
    let send = |lately| Step::Attempt {
        kind: AttemptKind::Alert,
        channel: step.channel,
        step: progress.step,
        targets,
        lately: Some(lately),
    };
    let lately = person.lately[step.channel];
    if person.is_summary {
        return send(lately.after_summary(bounds, now));
    }
    let held = Held::Summary(step.channel);
    let chosen = chosen_digest(progress, policy, step, person);
    if let Some(until) = gathered_until(progress, chosen, person).filter(|until| now < *until) {
        return Step::Hold { held, until, lately: None, gathered: chosen };
    }
    let window = if chosen == Some(DigestEvery::Alert) { Duration::ZERO } else { bounds.window };
    match lately.gate(&ChannelBounds { window, ..*bounds }, policy.mandatory, now) {
        Gate::Alone(lately) => send(lately),
        Gate::Hold(until, lately) => {
            Step::Hold { held, until: by_expiry(until), lately: Some(lately), gathered: None }
        }
    }
}

/// How the person wants this mail, if they have a say in it. They have none in what is mandatory or critical. Nor is a mail gathered
/// while the policy would go on with another channel that reaches them: that one's deadline stands (I4).
fn chosen_digest(
    progress: &Progress,
    policy: &Policy,
    step: &PolicyStep,
    person: &Person<'_>,
) -> Option<DigestEvery> {
    let every = person.preferences.digest.every?;
    if step.channel != Channel::Email || policy.mandatory || person.severity >= Severity::Critical {
        return None;
    }
    let goes_on = policy.steps.iter().skip(progress.step + 1).any(|later| {
        !person.reach[later.channel].is_empty()
            && !person.preferences.opted_out(later.channel, person.category)
    });
    (every == DigestEvery::Alert || !goes_on).then_some(every)
}

/// Until when the mail waits for the person's digest. One that expires before that does not wait for it: it would never be told.
fn gathered_until(
    progress: &Progress,
    chosen: Option<DigestEvery>,
    person: &Person<'_>,
) -> Option<Timestamp> {
    chosen?;
    let until = person.preferences.gathers_mails_until(progress.step_due_at, person.chance)?;
    (until < progress.expires_at).then_some(until)
}

fn is_met(unless: Unless, progress: &Progress, person: &Person<'_>, is_quiet: bool) -> bool {
    let accepted = |channel| {
        attempts_of(progress, AttemptKind::Alert)
            .any(|attempt| attempt.channel == channel && attempt.state == AttemptState::Accepted)
    };
    match unless {
        Unless::Told(channel) => progress.told_by.contains(&channel) || accepted(channel),
        Unless::Quiet => is_quiet,
        Unless::Info => person.severity <= Severity::Info,
        Unless::Warning => person.severity <= Severity::Warning,
    }
}

/// The step under way: send what is due again, wait, or move on; when it `goes_on`, also before its time.
fn carry_on(
    progress: &Progress,
    policy: &Policy,
    channel: Channel,
    begun: &[&Attempt],
    goes_on: bool,
    now: Timestamp,
) -> Step {
    let following = policy.steps.get(progress.step + 1).map(|next| next.after);
    if begun.iter().all(|attempt| attempt.state.is_final()) {
        let accepted = begun.iter().any(|attempt| attempt.state == AttemptState::Accepted);
        return match accepted {
            // A last step has nothing after it, so when it is due does not matter.
            true => Step::Advance { due_at: now + following.unwrap_or_default(), because: Because::Accepted },
            false => Step::Advance { due_at: now, because: Because::Failed },
        };
    }
    let open = || begun.iter().filter(|attempt| !attempt.state.is_final());
    let is_accepted = begun.iter().any(|attempt| attempt.state == AttemptState::Accepted);
    if goes_on && !is_accepted && open().all(|attempt| attempt.is_put_off()) {
        return Step::Advance { due_at: now, because: Because::PutOff };
    }
    // From when it went out: a step that was deferred began later than it was due.
    let began_at = begun.iter().map(|attempt| attempt.created_at).min().unwrap_or(now);
    let deadline = following.map(|after| progress.step_due_at.max(began_at) + after);
    // A call that a crash cut off is made again first (I6): fallback may have been away for longer than the wait.
    let is_cut_off = begun
        .iter()
        .any(|attempt| attempt.state == AttemptState::Pending && attempt.tries < CUT_OFF_TRIES_MAX);
    if deadline.is_some_and(|deadline| deadline <= now) && !is_cut_off {
        return Step::Advance { due_at: now, because: Because::NextIsDue };
    }
    match due_again(begun.iter().copied(), now) {
        Due::Now(targets) => {
            let (kind, step) = (AttemptKind::Alert, progress.step);
            Step::Attempt { kind, channel, step, targets, lately: None }
        }
        Due::At(at) => Step::WaitUntil(deadline.map_or(at, |deadline| deadline.min(at))),
    }
}

/// Every channel was used. What is shown stays until the alert expires.
fn exhausted(progress: &Progress) -> Step {
    match Channel::ALL.iter().all(|channel| progress.shown_by(*channel).is_empty()) {
        true => Step::Finish(StopReason::Exhausted),
        false => Step::WaitUntil(progress.expires_at),
    }
}

/// The escalation has ended: take away what may be shown, once a target, and be done. One channel after the other.
fn withdraw(progress: &Progress, reason: StopReason, now: Timestamp) -> Step {
    let mut again_at = None;
    for channel in Channel::ALL.into_iter().filter(|_| reason.withdraws()) {
        match withdrawals(progress, channel, now) {
            Some(Due::Now(targets)) => {
                let (kind, step) = (AttemptKind::Withdrawal, progress.step);
                return Step::Attempt { kind, channel, step, targets, lately: None };
            }
            Some(Due::At(at)) => again_at = Some(again_at.map_or(at, |earlier: Timestamp| earlier.min(at))),
            None => {}
        }
    }
    again_at.map_or(Step::Finish(reason), Step::WaitUntil)
}

/// What is still to be taken away by one channel: what was not begun yet, and what is due again. `None`: nothing.
fn withdrawals(progress: &Progress, channel: Channel, now: Timestamp) -> Option<Due> {
    let begun =
        || attempts_of(progress, AttemptKind::Withdrawal).filter(|attempt| attempt.channel == channel);
    let mut fresh: Vec<Target> = progress
        .shown_by(channel)
        .into_iter()
        .map(|shown| Target { device: shown.device.clone() })
        .filter(|target| !begun().any(|attempt| attempt.device == target.device))
        .collect();
    fresh.sort();
    fresh.dedup();
    let open: Vec<&Attempt> = begun().filter(|attempt| !attempt.state.is_final()).collect();
    match due_again(open.iter().copied(), now) {
        Due::Now(mut targets) => {
            targets.extend(fresh);
            Some(Due::Now(targets))
        }
        Due::At(_) if !fresh.is_empty() => Some(Due::Now(fresh)),
        Due::At(at) => (!open.is_empty()).then_some(Due::At(at)),
    }
}

enum Due {
    Now(Vec<Target>),
    At(Timestamp),
}

/// Which of the open attempts can be made now, or when the first can. A `Pending` one was cut off by a crash
/// and is repeated at once, with its id (I6).
fn due_again<'a>(open: impl Iterator<Item = &'a Attempt> + Clone, now: Timestamp) -> Due {
    let open = open.filter(|attempt| !attempt.state.is_final());
    let at = |attempt: &Attempt| match attempt.state {
        AttemptState::Retrying => attempt.next_try_at.unwrap_or(now),
        AttemptState::Pending | AttemptState::Accepted | AttemptState::Failed => now,
    };
    let targets: Vec<Target> = open
        .clone()
        .filter(|attempt| at(attempt) <= now)
        .map(|attempt| Target { device: attempt.device.clone() })
        .collect();
    match targets.is_empty() {
        false => Due::Now(targets),
        true => Due::At(open.map(at).min().unwrap_or(LAST_MOMENT)),
    }
}

impl Progress {
    /// Attempts by this channel whose message may be shown and can be taken away: of any round, because what an earlier
    /// round showed stays until it is replaced or taken away.
    pub fn shown_by(&self, channel: Channel) -> Vec<&Attempt> {
        let of_channel = || self.attempts.iter().filter(move |attempt| attempt.channel == channel);
        let is_taken_away = |shown: &Attempt| {
            of_channel().any(|attempt| {
                attempt.kind == AttemptKind::Withdrawal
                    && attempt.state.is_final()
                    && (attempt.round, attempt.opening) >= (shown.round, shown.opening)
                    && attempt.device == shown.device
            })
        };
        let is_shown = |attempt: &&Attempt| {
            attempt.kind == AttemptKind::Alert && attempt.maybe_shown && !is_taken_away(attempt)
        };
        let can_be_named = |attempt: &&Attempt| match channel.facts().removal {
            Removal::Never => false,
            Removal::ByDevice => true,
            Removal::ByMessage => attempt.message_id.is_some(),
        };
        of_channel().filter(is_shown).filter(can_be_named).collect()
    }
}

fn attempts_of(progress: &Progress, kind: AttemptKind) -> impl Iterator<Item = &Attempt> {
    progress
        .attempts
        .iter()
        .filter(move |attempt| attempt.kind == kind && progress.is_of_this_escalation(attempt))
}

/// How long to wait before try number `tries + 1`: 10 s doubling to 10 min, with full jitter
/// (`chance` in 0..1), but never less than what the provider asked for.
/// Google asks for at least 10 s before the first retry: <https://firebase.google.com/docs/cloud-messaging/scale-fcm>.
pub fn retry_wait(tries: u32, wait_min: Duration, chance: f64) -> Duration {
    const FIRST: Duration = Duration::from_secs(10);
    const LONGEST: Duration = Duration::from_secs(600);
    let ceiling = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST);
    let jittered = ceiling.mul_f64(chance.clamp(0.0, 1.0));
    jittered.max(FIRST.min(ceiling) / 2).max(wait_min)
}

/// Whether an attempt that began at `created_at` is given up instead of tried again.
pub fn is_too_old(channel: Channel, created_at: Timestamp, now: Timestamp) -> bool {
    created_at + channel.facts().retried_for <= now
}

#[cfg(test)]
#[path = "next_step_tests.rs"]
mod tests;
