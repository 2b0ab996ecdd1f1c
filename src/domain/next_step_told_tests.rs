//! What was told already, and what it leaves out.

use super::*;

/// A round that opened for something worse, which is no longer so.
#[test]
fn a_push_of_an_earlier_round_is_not_rung_again_for_less() {
    use Severity::{Critical, Info, Warning};
    let left_out = Step::Advance { due_at: at(25), because: Because::ToldBefore };
    for (why, sent_before, says, expected) in [
        ("nothing was sent before", None, Warning, push_to_phone()),
        ("less was sent before", Some(Info), Warning, push_to_phone()),
        ("as much was sent before", Some(Warning), Warning, left_out.clone()),
        ("worse was sent before", Some(Critical), Warning, left_out),
    ] {
        let progress = Progress { round: 2, sent_before, ..fresh() };
        let (preferences, restraint) = (Preferences::default(), unrestrained());
        let person = Person { severity: says, ..person(everything(), &preferences, &restraint) };
        let step = match next_step(&progress, &policy(), &person, at(5)) {
            Step::Attempt { kind, channel, step, targets, .. } => {
                Step::Attempt { kind, channel, step, targets, lately: None }
            }
            step => step,
        };
        assert_eq!(step, expected, "{why}");
        let by_mail = Progress { step: 1, ..progress };
        let step = next_step(&by_mail, &policy(), &person, at(30));
        assert!(
            matches!(step, Step::Attempt { channel: Channel::Email, .. }),
            "{why}: a mail rings nobody, and whoever looked at nothing still gets theirs: {step:?}"
        );
    }
}

#[test]
fn what_was_sent_is_the_worst_that_may_have_arrived_of_this_round_and_those_before() {
    use AttemptState::{Accepted, Failed, Pending, Retrying};
    use Severity::{Critical, Info, Warning};
    let critical = |state| Attempt { severity: Some(Critical), ..attempt(AttemptKind::Alert, 0, state) };
    let not_sent = |attempt| Attempt { maybe_shown: false, ..attempt };
    for (why, attempts, summarized, sent_before, expected) in [
        ("nothing", vec![], None, None, None),
        ("taken by a provider", vec![critical(Accepted)], None, None, Some(Critical)),
        ("on its way", vec![critical(Pending)], None, None, Some(Critical)),
        ("refused", vec![not_sent(critical(Failed))], None, Some(Warning), Some(Warning)),
        ("not taken yet", vec![not_sent(critical(Retrying))], None, None, None),
        ("nobody knows", vec![critical(Retrying)], None, None, Some(Critical)),
        ("of an earlier round", vec![Attempt { round: 0, ..critical(Accepted) }], None, None, None),
        (
            "taken away",
            vec![Attempt { kind: AttemptKind::Withdrawal, ..critical(Accepted) }],
            None,
            None,
            None,
        ),
        ("told in a summary", vec![], Some(Warning), Some(Info), Some(Warning)),
        (
            "before that was noted",
            vec![Attempt { severity: None, ..critical(Accepted) }],
            None,
            None,
            Some(Info),
        ),
    ] {
        let progress = Progress { attempts, summarized, sent_before, ..fresh() };
        assert_eq!(progress.sent(), expected, "{why}");
    }
}
