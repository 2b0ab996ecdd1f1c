//! Mails that a person has gathered: which of them wait for the moment they chose, and which do not.

use super::*;
use crate::domain::digest::Digest;

/// Twelve minutes into a day of 1970 that nothing else happens on.
const DUE: i64 = 86_400 + 12 * 60;

fn wanting(every: Option<DigestEvery>) -> Preferences {
    Preferences { digest: Digest { every, at: None }, ..Preferences::default() }
}

fn at_email() -> Progress {
    Progress {
        step: 1,
        opened_at: at(DUE - 60),
        step_due_at: at(DUE),
        expires_at: at(10 * 86_400),
        ..fresh()
    }
}

#[test]
fn a_mail_waits_for_the_persons_digest_by_this_table() {
    use DigestEvery::{Alert, Day, Hour};
    let (hour, day) = (86_400 + 3_600, 86_400 + 8 * 3_600);
    let held = Held::Summary(Channel::Email);
    let moment = |moment| released_at(at(moment), 0.5);
    let gathered =
        |every, until| Step::Hold { held, until: moment(until), lately: None, gathered: Some(every) };
    let in_window = |now: i64| Step::Hold {
        held,
        until: at(now + 120),
        lately: Some(Lately {
            window_began: Some(at(now)),
            sent: 0,
            hour_began: Some(at(now)),
            sent_in_hour: 0,
        }),
        gathered: None,
    };
    let alone = |now| match mail() {
        Step::Attempt { kind, channel, step, targets, .. } => {
            Step::Attempt { kind, channel, step, targets, lately: counted(now) }
        }
        step => step,
    };
    let mut then_text = policy();
    then_text.steps.push(PolicyStep::new(Channel::Sms, Duration::from_secs(60)));
    let mut with_phone = everything();
    with_phone[Channel::Sms] = vec![Target { device: None }];
    let mandatory = Policy { mandatory: true, ..policy() };
    let soon_over = Progress { expires_at: at(hour), ..at_email() };
    let no_texts = Preferences { channels_off: [Channel::Sms].into(), ..wanting(Some(Hour)) };
    let until_ten = QuietHours { until: Some(at(86_400 + 10 * 3_600)), ..QuietHours::default() };
    let silent_at_eight = Preferences { quiet: until_ten, ..wanting(Some(Day)) };
    let silence_over = at(86_400 + 10 * 3_600).as_second() + 60 * 15;
    let warning = Severity::Warning;
    let plain = policy();
    for (why, progress, policy, preferences, reach, severity, now, expected) in [
        (
            "nothing chosen: the window",
            &at_email(),
            &plain,
            wanting(None),
            everything(),
            warning,
            DUE,
            in_window(DUE),
        ),
        ("each by itself", &at_email(), &plain, wanting(Some(Alert)), everything(), warning, DUE, alone(DUE)),
        (
            "an hour's",
            &at_email(),
            &plain,
            wanting(Some(Hour)),
            everything(),
            warning,
            DUE,
            gathered(Hour, hour),
        ),
        ("a day's", &at_email(), &plain, wanting(Some(Day)), everything(), warning, DUE, gathered(Day, day)),
        (
            "looked at again meanwhile, the moment stays",
            &at_email(),
            &plain,
            wanting(Some(Hour)),
            everything(),
            warning,
            DUE + 600,
            gathered(Hour, hour),
        ),
        (
            "no summary came: not put off to the next hour",
            &at_email(),
            &plain,
            wanting(Some(Hour)),
            everything(),
            warning,
            hour + 900,
            in_window(hour + 900),
        ),
        ("mandatory", &at_email(), &mandatory, wanting(Some(Day)), everything(), warning, DUE, alone(DUE)),
        (
            "critical, under a policy that is not mandatory",
            &at_email(),
            &plain,
            wanting(Some(Day)),
            everything(),
            Severity::Critical,
            DUE,
            in_window(DUE),
        ),
        (
            "over before it would be told",
            &soon_over,
            &plain,
            wanting(Some(Hour)),
            everything(),
            warning,
            DUE,
            in_window(DUE),
        ),
        (
            "the policy would go on with a text message",
            &at_email(),
            &then_text,
            wanting(Some(Hour)),
            with_phone.clone(),
            warning,
            DUE,
            in_window(DUE),
        ),
        (
            "which does not keep mails from coming each by itself",
            &at_email(),
            &then_text,
            wanting(Some(Alert)),
            with_phone.clone(),
            warning,
            DUE,
            alone(DUE),
        ),
        (
            "a text message that they do not want",
            &at_email(),
            &then_text,
            no_texts,
            with_phone,
            warning,
            DUE,
            gathered(Hour, hour),
        ),
        (
            "a text message that goes nowhere",
            &at_email(),
            &then_text,
            wanting(Some(Hour)),
            everything(),
            warning,
            DUE,
            gathered(Hour, hour),
        ),
        (
            "a silence comes first",
            &at_email(),
            &plain,
            silent_at_eight.clone(),
            everything(),
            warning,
            DUE,
            Step::Hold {
                held: Held::Quiet,
                until: moment(86_400 + 10 * 3_600),
                lately: None,
                gathered: None,
            },
        ),
        (
            "a moment that was silent is not waited for again",
            &at_email(),
            &plain,
            silent_at_eight,
            everything(),
            warning,
            silence_over,
            in_window(silence_over),
        ),
    ] {
        let restraint = Restraint::default();
        let person = Person { severity, ..person(reach, &preferences, &restraint) };
        assert_eq!(next_step(progress, policy, &person, at(now)), expected, "{why}");
    }
}

#[test]
fn only_mails_are_gathered_and_a_summary_goes_at_once() {
    let (preferences, restraint) = (wanting(Some(DigestEvery::Day)), Restraint::default());
    let pushed = next_step(&fresh(), &policy(), &person(everything(), &preferences, &restraint), at(5));
    assert!(matches!(pushed, Step::Attempt { channel: Channel::Push, .. }), "{pushed:?}");
    let summary = Person { is_summary: true, ..person(everything(), &preferences, &restraint) };
    let told = next_step(&at_email(), &policy(), &summary, at(DUE));
    assert!(matches!(told, Step::Attempt { channel: Channel::Email, .. }), "{told:?}");
}
