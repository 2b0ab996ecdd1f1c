//! What a mandatory alert does while a provider is in trouble: each row says why it is there.

use super::*;
use crate::domain::attempt::PUT_OFF;

/// A mandatory alert does not wait for a provider in trouble, and nobody is missed or told twice for it.
#[test]
fn a_mandatory_alert_goes_around_a_provider_in_trouble_by_this_table() {
    use AttemptState::{Accepted, Failed, Pending, Retrying};
    let of = |step, state| attempt(AttemptKind::Alert, step, state);
    let put_off = |step| Attempt { reason: Some(format!("{PUT_OFF}in trouble")), ..of(step, Retrying) };
    let tablet = |attempt| Attempt { device: Some(DeviceId::parse("tablet").unwrap()), ..attempt };
    let at_step = |step, due_at, attempts| Progress { step, step_due_at: at(due_at), attempts, ..fresh() };
    let (usual, mandatory) = (policy(), Policy { mandatory: true, ..policy() });
    let mut either = mandatory.clone();
    either.steps[1].unless = vec![Unless::Told(Channel::Push)];
    let mut again = mandatory.clone();
    again.steps.push(PolicyStep::new(Channel::Push, Duration::from_secs(60)));
    let on = |secs| Step::Advance { due_at: at(secs), because: Because::PutOff };
    let with_mail = |mail| at_step(1, 6, vec![put_off(0), mail]);
    let mailed = |sent| Lately { window_began: Some(at(0)), sent, ..Lately::default() };
    let (preferences, restraint) = (Preferences::default(), Restraint::default());
    let mut enough = person(everything(), &preferences, &restraint);
    enough.lately[Channel::Email] = mailed(1);
    let waits = next_step(&at_step(0, 5, vec![put_off(0)]), &mandatory, &enough, at(6));
    assert_eq!(waits, Step::WaitUntil(at(15)), "a mail that would be held back is no way around");
    for (why, progress, policy, now, expected) in [
        ("put off: the mail at once", at_step(0, 5, vec![put_off(0)]), &mandatory, 6, on(6)),
        ("not when it is not mandatory", at_step(0, 5, vec![put_off(0)]), &usual, 6, Step::WaitUntil(at(15))),
        (
            "nor for a retry of its own",
            at_step(0, 5, vec![of(0, Retrying)]),
            &mandatory,
            6,
            Step::WaitUntil(at(15)),
        ),
        (
            "nor when another phone took it",
            at_step(0, 5, vec![put_off(0), tablet(of(0, Accepted))]),
            &mandatory,
            6,
            Step::WaitUntil(at(15)),
        ),
        (
            "one phone failed for good, the other is put off",
            at_step(0, 5, vec![put_off(0), tablet(of(0, Failed))]),
            &mandatory,
            6,
            on(6),
        ),
        ("then the mail goes out", at_step(1, 6, vec![put_off(0)]), &mandatory, 6, mail()),
        (
            "the last step waits for its provider, and the push is not forgotten",
            with_mail(Attempt { next_try_at: Some(at(40)), ..put_off(1) }),
            &mandatory,
            10,
            Step::WaitUntil(at(15)),
        ),
        (
            "which is sent when it can be",
            with_mail(Attempt { next_try_at: Some(at(40)), ..put_off(1) }),
            &mandatory,
            15,
            push_to_phone(),
        ),
        (
            "also when a mail was taken: the policy wants both",
            at_step(2, 6, vec![put_off(0), of(1, Accepted)]),
            &mandatory,
            15,
            push_to_phone(),
        ),
        (
            "not before it can be",
            at_step(2, 6, vec![put_off(0), of(1, Accepted)]),
            &mandatory,
            10,
            Step::WaitUntil(at(15)),
        ),
        (
            "but not when the policy wants one of both",
            at_step(2, 6, vec![Attempt { maybe_shown: false, ..put_off(0) }, of(1, Accepted)]),
            &either,
            15,
            Step::Finish(StopReason::Exhausted),
        ),
        (
            "unless the mail did not get through either",
            at_step(2, 6, vec![put_off(0), of(1, Failed)]),
            &either,
            15,
            push_to_phone(),
        ),
        (
            "nor once a later step pushes anyway",
            at_step(2, 6, vec![put_off(0), of(1, Accepted), Attempt { step: 2, ..of(0, Accepted) }]),
            &again,
            15,
            Step::Advance { due_at: at(15), because: Because::Accepted },
        ),
        (
            "what was cut off by a crash is sent again",
            at_step(2, 6, vec![of(0, Pending), of(1, Accepted)]),
            &mandatory,
            15,
            push_to_phone(),
        ),
        (
            "but not for ever",
            at_step(2, 6, vec![Attempt { tries: 3, ..of(0, Pending) }, of(1, Accepted)]),
            &mandatory,
            15,
            Step::WaitUntil(at(1000)),
        ),
        (
            "nothing goes out once it was seen",
            Progress {
                stopped: Some(StopReason::Seen),
                ..at_step(2, 6, vec![Attempt { maybe_shown: false, ..put_off(0) }, of(1, Accepted)])
            },
            &mandatory,
            15,
            Step::Finish(StopReason::Seen),
        ),
    ] {
        let (preferences, restraint) = (Preferences::default(), unrestrained());
        let step = next_step(&progress, policy, &person(everything(), &preferences, &restraint), at(now));
        let step = match step {
            Step::Attempt { kind, channel, step, targets, .. } => {
                Step::Attempt { kind, channel, step, targets, lately: None }
            }
            step => step,
        };
        assert_eq!(step, expected, "{why}");
    }
}
