//! What a sender does about one walk: skips steps that reach nobody, then attempts, rests or finishes. Pure.

use uuid::Uuid;
use watchbell::{
    domain::{
        Attempt, AttemptKind, Channel, Step, Timestamp,
        next_step::{Because, Outcome, Target, next_step},
        policy::Policies,
    },
    store::{Decision, NewAttempt, Walk},
};

/// Decides on a walk as it stands in the store. `attempt_id` makes ids for attempts that have none yet.
pub(crate) fn decide(
    walk: &Walk,
    policies: &Policies,
    now: Timestamp,
    attempt_id: &dyn Fn() -> Uuid,
) -> Decision {
    let policy = policies.get_or_default(&walk.policy);
    let reach = walk.reach();
    let mut progress = walk.progress.clone();
    let mut notes = Vec::new();
    loop {
        let (step, step_due_at) = (progress.step, progress.step_due_at);
        match next_step(&progress, policy, &reach, now) {
            Step::WaitUntil(at) => return Decision::Rest { step, step_due_at, due_at: Some(at), notes },
            Step::Finish(outcome) => {
                notes.push(finished(outcome));
                return Decision::Rest { step, step_due_at, due_at: None, notes };
            }
            Step::Advance { due_at, because } => {
                notes.extend(policy.steps.get(step).map(|step| advanced(step.channel, because)));
                progress.step += 1;
                progress.step_due_at = due_at;
            }
            Step::Attempt { kind, channel, targets } => {
                let attempts = targets
                    .into_iter()
                    .map(|target| {
                        let open = open_attempt(&progress.attempts, kind, progress.round, step, &target);
                        NewAttempt {
                            id: open.map_or_else(attempt_id, |attempt| attempt.id),
                            kind,
                            channel,
                            device: target.device,
                            tries: open.map_or(0, |attempt| attempt.tries) + 1,
                        }
                    })
                    .collect();
                return Decision::Attempt { attempts, step, step_due_at, notes };
            }
        }
    }
}

/// The attempt that stands for this target and is not over: its id is used again (I6).
fn open_attempt<'a>(
    attempts: &'a [Attempt],
    kind: AttemptKind,
    round: u32,
    step: usize,
    target: &Target,
) -> Option<&'a Attempt> {
    attempts.iter().find(|attempt| {
        attempt.kind == kind
            && attempt.round == round
            && (kind == AttemptKind::Withdrawal || attempt.step == step)
            && attempt.device == target.device
            && !attempt.state.is_final()
    })
}

fn advanced(channel: Channel, because: Because) -> String {
    match (because, channel) {
        (Because::Accepted, _) => format!("{channel} step done; the next channel waits its turn"),
        (Because::NobodyToReach, Channel::Push) => "push step skipped: the user has no device".to_owned(),
        (Because::NobodyToReach, _) => {
            "email step skipped: the user has no address that takes mail".to_owned()
        }
        (Because::Failed, _) => format!("{channel} step failed for good: on to the next at once"),
        (Because::NextIsDue, _) => format!("{channel} step still being retried, but the next channel is due"),
    }
}

fn finished(outcome: Outcome) -> String {
    match outcome {
        Outcome::Stopped(reason) => format!("escalation ended: {reason}"),
        Outcome::Exhausted => "escalation ended: every channel was used".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use watchbell::domain::{
        AttemptState, Device, DeviceId, Policy, PolicyStep, Progress, PushEnvironment, PushService, Secret,
        StopReason,
    };

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn policies() -> Policies {
        let step = |channel, after| PolicyStep { channel, after: Duration::from_secs(after) };
        let walk = Policy { steps: vec![step(Channel::Push, 5), step(Channel::Email, 20)] };
        Policies::with_defaults(BTreeMap::from([("default".to_owned(), walk)]))
    }

    fn walk(devices: &[&str], email: bool) -> Walk {
        let progress = Progress {
            stopped: None,
            expires_at: at(1000),
            round: 1,
            step: 0,
            step_due_at: at(5),
            attempts: Vec::new(),
        };
        let device = |id: &&str| Device {
            id: DeviceId::parse(id).unwrap(),
            service: PushService::Apns,
            token: Secret::from("t"),
            environment: PushEnvironment::Production,
            registered_at: at(0),
        };
        Walk {
            progress,
            policy: "default".into(),
            content: "{}".into(),
            devices: devices.iter().map(device).collect(),
            email: email.then(|| Secret::from("ana@example.com")),
            locale: None,
            unread: 1,
        }
    }

    fn fresh_id() -> Uuid {
        Uuid::from_u128(7)
    }

    #[test]
    fn nobody_on_the_phone_means_mail_at_once_and_the_timeline_says_why() {
        let Decision::Attempt { attempts, step, notes, .. } =
            decide(&walk(&[], true), &policies(), at(5), &fresh_id)
        else {
            panic!("an attempt")
        };
        assert_eq!((attempts[0].channel, step, notes.len()), (Channel::Email, 1, 1));
        assert_eq!(notes[0], "push step skipped: the user has no device");
    }

    #[test]
    fn nobody_anywhere_is_an_end_with_its_reasons() {
        let Decision::Rest { due_at, notes, .. } = decide(&walk(&[], false), &policies(), at(5), &fresh_id)
        else {
            panic!("rest")
        };
        assert_eq!((due_at, notes.len()), (None, 3));
        assert_eq!(notes[2], "escalation ended: every channel was used");
    }

    #[test]
    fn an_attempt_cut_off_by_a_crash_keeps_its_id_and_counts_its_tries() {
        let mut cut_off = walk(&["phone"], true);
        let first = Uuid::from_u128(1);
        cut_off.progress.attempts.push(Attempt {
            id: first,
            kind: AttemptKind::Alert,
            round: 1,
            step: 0,
            channel: Channel::Push,
            device: Some(DeviceId::parse("phone").unwrap()),
            state: AttemptState::Pending,
            tries: 1,
            next_try_at: None,
            maybe_shown: true,
            reason: None,
            created_at: at(5),
            answered_at: None,
        });
        let Decision::Attempt { attempts, .. } = decide(&cut_off, &policies(), at(6), &fresh_id) else {
            panic!("again")
        };
        assert_eq!((attempts[0].id, attempts[0].tries), (first, 2));

        cut_off.progress.stopped = Some(StopReason::Seen);
        let Decision::Attempt { attempts, .. } = decide(&cut_off, &policies(), at(6), &fresh_id) else {
            panic!("away")
        };
        assert_eq!(
            (attempts[0].kind, attempts[0].id),
            (AttemptKind::Withdrawal, fresh_id()),
            "a withdrawal is another attempt"
        );
    }
}
