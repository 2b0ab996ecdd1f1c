//! What to do next for one alert of one user. Decides; carries nothing out.

use std::time::Duration;

use super::{Attempt, AttemptKind, AttemptState, Channel, DeviceId, Policy, Timestamp, alert::words};

/// How far the walk of one alert for one user has come, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Why it ended, once it has.
    pub stopped: Option<StopReason>,
    /// Nobody is told after this.
    pub expires_at: Timestamp,
    /// The version of the alert that opened this walk.
    pub round: u32,
    /// The step that is next or under way.
    pub step: usize,
    /// When that step is due.
    pub step_due_at: Timestamp,
    /// Every attempt of this alert for this user, of every round.
    pub attempts: Vec<Attempt>,
}

/// By what the user can be reached at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Their devices.
    pub devices: Vec<DeviceId>,
    /// Whether there is an address that takes mail.
    pub email: bool,
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
    /// Somebody took it on.
    Acknowledged,
    /// The producer says it is not worth telling.
    Suppressed,
    /// The producer says it is over.
    Resolved,
    /// Its time has passed.
    Expired,
}

words!(StopReason {
    Seen = "seen",
    Read = "read",
    Dismissed = "dismissed",
    Acknowledged = "acknowledged",
    Suppressed = "suppressed",
    Resolved = "resolved",
    Expired = "expired",
});

impl StopReason {
    /// Whether what is shown on phones is taken away. An acknowledged alert still goes on, so it stays.
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
        /// To whom.
        targets: Vec<Target>,
    },
    /// This step is done with; the next is due then.
    Advance {
        /// When the next step is due.
        due_at: Timestamp,
        /// Why this one is done with.
        because: Because,
    },
    /// Nothing will ever be done again, unless a later version or a receipt says so.
    Finish(Outcome),
}

/// Whom one attempt is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The device; none for email.
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
    /// Attempts are still being retried, but the next channel's time has come (I4).
    NextIsDue,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was stopped.
    Stopped(StopReason),
    /// Every channel was used.
    Exhausted,
}

words!(Because {
    Accepted = "accepted",
    NobodyToReach = "nobody_to_reach",
    Failed = "failed",
    NextIsDue = "next_is_due",
});

/// Tries of one attempt that a crash cut off before the next channel no longer waits for it: a call that kills its
/// caller each time must not hold the email back (I4).
const CUT_OFF_TRIES_MAX: u32 = 3;

/// The next thing to do for an alert. Does nothing itself: no clock, no I/O.
/// Times are wall-clock, because they are stored and outlive the process.
pub fn next_step(progress: &Progress, policy: &Policy, reach: &Reach, now: Timestamp) -> Step {
    let expired = (progress.expires_at <= now).then_some(StopReason::Expired);
    if let Some(reason) = progress.stopped.or(expired) {
        return withdraw(progress, reason, now);
    }
    let Some(step) = policy.steps.get(progress.step) else {
        return exhausted(progress);
    };
    if now < progress.step_due_at {
        return Step::WaitUntil(progress.step_due_at);
    }
    let following = policy.steps.get(progress.step + 1).map(|next| next.after);
    let begun: Vec<&Attempt> =
        attempts_of(progress, AttemptKind::Alert).filter(|attempt| attempt.step == progress.step).collect();
    if begun.is_empty() {
        let targets = match step.channel {
            Channel::Push => reach.devices.iter().map(|d| Target { device: Some(d.clone()) }).collect(),
            Channel::Email if reach.email => vec![Target { device: None }],
            Channel::Email | Channel::Live => Vec::new(),
        };
        return match targets.is_empty() {
            true => Step::Advance { due_at: now, because: Because::NobodyToReach },
            false => Step::Attempt { kind: AttemptKind::Alert, channel: step.channel, targets },
        };
    }
    carry_on(progress, step.channel, &begun, following, now)
}

/// The step under way: send what is due again, wait, or move on.
fn carry_on(
    progress: &Progress,
    channel: Channel,
    begun: &[&Attempt],
    following: Option<Duration>,
    now: Timestamp,
) -> Step {
    if begun.iter().all(|attempt| attempt.state.is_final()) {
        let accepted = begun.iter().any(|attempt| attempt.state == AttemptState::Accepted);
        return match accepted {
            // A last step has nothing after it, so when it is due does not matter.
            true => Step::Advance { due_at: now + following.unwrap_or_default(), because: Because::Accepted },
            false => Step::Advance { due_at: now, because: Because::Failed },
        };
    }
    let deadline = following.map(|after| progress.step_due_at + after);
    // A call that a crash cut off is made again first (I6): fallback may have been away for longer than the wait.
    let is_cut_off = begun
        .iter()
        .any(|attempt| attempt.state == AttemptState::Pending && attempt.tries < CUT_OFF_TRIES_MAX);
    if deadline.is_some_and(|deadline| deadline <= now) && !is_cut_off {
        return Step::Advance { due_at: now, because: Because::NextIsDue };
    }
    match due_again(begun.iter().copied(), now) {
        Due::Now(targets) => Step::Attempt { kind: AttemptKind::Alert, channel, targets },
        Due::At(at) => Step::WaitUntil(deadline.map_or(at, |deadline| deadline.min(at))),
    }
}

/// Every channel was used. What is on a phone stays until the alert expires.
fn exhausted(progress: &Progress) -> Step {
    match shown_on(progress).is_empty() {
        true => Step::Finish(Outcome::Exhausted),
        false => Step::WaitUntil(progress.expires_at),
    }
}

/// The walk has ended: take away what may be on a phone, once a device, and be done.
fn withdraw(progress: &Progress, reason: StopReason, now: Timestamp) -> Step {
    let finish = Step::Finish(Outcome::Stopped(reason));
    if !reason.withdraws() {
        return finish;
    }
    let begun: Vec<&Attempt> = attempts_of(progress, AttemptKind::Withdrawal).collect();
    let fresh: Vec<Target> = shown_on(progress)
        .into_iter()
        .filter(|device| !begun.iter().any(|attempt| attempt.device.as_ref() == Some(device)))
        .map(|device| Target { device: Some(device) })
        .collect();
    let open: Vec<&Attempt> = begun.into_iter().filter(|attempt| !attempt.state.is_final()).collect();
    match due_again(open.iter().copied(), now) {
        Due::At(at) if fresh.is_empty() && !open.is_empty() => Step::WaitUntil(at),
        Due::Now(mut targets) => {
            targets.extend(fresh);
            Step::Attempt { kind: AttemptKind::Withdrawal, channel: Channel::Push, targets }
        }
        Due::At(_) if fresh.is_empty() => finish,
        Due::At(_) => Step::Attempt { kind: AttemptKind::Withdrawal, channel: Channel::Push, targets: fresh },
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
        true => Due::At(open.map(at).min().unwrap_or(Timestamp::MAX)),
    }
}

/// Devices that may be showing this alert: of any round, because an earlier round's push stays on the phone until
/// it is replaced or taken away.
fn shown_on(progress: &Progress) -> Vec<DeviceId> {
    let push = |attempt: &&Attempt| attempt.channel == Channel::Push;
    let taken_away = |shown: &Attempt| {
        progress.attempts.iter().any(|attempt| {
            attempt.kind == AttemptKind::Withdrawal
                && attempt.state.is_final()
                && attempt.round >= shown.round
                && attempt.device == shown.device
        })
    };
    let shown =
        progress.attempts.iter().filter(push).filter(|attempt| {
            attempt.kind == AttemptKind::Alert && attempt.maybe_shown && !taken_away(attempt)
        });
    let mut devices: Vec<DeviceId> = shown.filter_map(|attempt| attempt.device.clone()).collect();
    devices.sort();
    devices.dedup();
    devices
}

fn attempts_of(progress: &Progress, kind: AttemptKind) -> impl Iterator<Item = &Attempt> {
    progress.attempts.iter().filter(move |attempt| attempt.kind == kind && attempt.round == progress.round)
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

/// Whether an attempt that began at `created_at` is given up instead of tried again: a push after an hour,
/// an email after a day.
pub fn is_too_old(channel: Channel, created_at: Timestamp, now: Timestamp) -> bool {
    let age_max = match channel {
        Channel::Live | Channel::Push => Duration::from_secs(60 * 60),
        Channel::Email => Duration::from_secs(24 * 60 * 60),
    };
    created_at + age_max <= now
}

#[cfg(test)]
#[path = "next_step_tests.rs"]
mod tests;
