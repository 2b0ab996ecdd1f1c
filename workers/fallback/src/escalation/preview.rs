//! What a policy would do about one alert that nobody looks at: for whoever writes a policy, before anybody has it.
//!
//! Every decision is made by [`next_step`], as for a real alert. What is made up is the person: they have a device and every
//! address, want everything, never look, and got nothing lately; and providers accept everything at once.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;
use watchbell::domain::{
    Attempt, AttemptKind, AttemptState, Channel, DeviceId, PerChannel, Policy, Progress, Severity,
    StopReason,
    channel::Addressing,
    next_step::{Person, Reach, Step, Target, next_step},
    policy::STEPS_MAX,
    preferences::Preferences,
    restraint::Restraint,
};

use super::timeline::step_passed;

/// Decisions of one escalation: some for each step, and for what is withdrawn in the end.
const DECISIONS_MAX: usize = 8 * STEPS_MAX;

/// Something that happens to the alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewLine {
    /// How long after the alert.
    pub after: Duration,
    /// By which channel; none for the end of it.
    pub channel: Option<Channel>,
    /// Whether somebody is told.
    pub tells: bool,
    /// In words.
    pub what: String,
}

/// What happens, in order, to an alert of this severity that expires after this time.
pub fn preview(
    policy: &Policy,
    severity: Severity,
    restraint: &Restraint,
    expires_after: Duration,
) -> Vec<PreviewLine> {
    let begun = Timestamp::UNIX_EPOCH;
    let preferences = Preferences::default();
    let mut person = Person {
        reach: everywhere(),
        preferences: &preferences,
        lately: PerChannel::default(),
        restraint,
        category: None,
        severity,
        is_summary: false,
        chance: 0.0,
    };
    let mut progress = Progress {
        stopped: None,
        opened_at: begun,
        expires_at: begun + expires_after,
        round: 1,
        opening: 0,
        step: 0,
        step_due_at: policy.steps.first().map_or(begun, |step| begun + step.after),
        attempts: Vec::new(),
        told_by: Vec::new(),
        summarized: None,
        sent_before: None,
    };
    let (mut now, mut lines) = (begun, Vec::new());
    for _ in 0..DECISIONS_MAX {
        let channel = policy.steps.get(progress.step).map(|step| step.channel);
        let mut say = |channel: Option<Channel>, tells: bool, what: String| {
            let after = Duration::try_from(now.duration_since(begun)).unwrap_or_default();
            lines.push(PreviewLine { after, channel, tells, what });
        };
        match next_step(&progress, policy, &person, now) {
            // Whoever carries it out looks again when it expires.
            Step::WaitUntil(at) if at > now && now < progress.expires_at => now = at.min(progress.expires_at),
            Step::WaitUntil(at) if at > now => now = at,
            // Nothing more follows.
            Step::WaitUntil(_) => break,
            Step::Attempt { kind, channel, step, targets, lately } => {
                let is_alert = kind == AttemptKind::Alert;
                let word = if is_alert { "is sent" } else { "is withdrawn: the alert is over" };
                say(Some(channel), is_alert, format!("{channel} {word}"));
                person.lately[channel] = lately.unwrap_or(person.lately[channel]);
                progress.attempts.extend(
                    targets.into_iter().map(|target| accepted(kind, channel, step, target, severity, now)),
                );
            }
            Step::Hold { held, until, lately, .. } => {
                if let (Some(channel), Some(lately)) = (held.summary(), lately) {
                    person.lately[channel] = lately;
                }
                let Some(by) = held.summary() else { break };
                say(Some(by), false, format!("{by} waits for others to be told with"));
                // The summary is an escalation of its own. Once it went out, this one goes on with its next step.
                now = until;
                let after = Duration::try_from(now.duration_since(begun)).unwrap_or_default();
                let what = format!("{by} is sent, with what else came meanwhile");
                lines.push(PreviewLine { after, channel: Some(by), tells: true, what });
                progress.told_by.push(by);
                progress.summarized = Some(severity);
                progress.step += 1;
                progress.step_due_at = policy.steps.get(progress.step).map_or(now, |step| now + step.after);
            }
            Step::Advance { due_at, because } => {
                if let Some(channel) = channel {
                    let is_last = progress.step + 1 == policy.steps.len();
                    say(Some(channel), false, step_passed(channel, because, is_last));
                }
                progress.step += 1;
                progress.step_due_at = due_at;
            }
            Step::Finish(StopReason::Expired) => {
                say(None, false, "the alert expires".to_owned());
                break;
            }
            Step::Finish(StopReason::Exhausted) => {
                say(None, false, "every channel was used".to_owned());
                break;
            }
            Step::Finish(reason) => {
                say(None, false, format!("over: {reason}"));
                break;
            }
        }
    }
    lines
}

/// One device, and an address by every channel that goes to one.
fn everywhere() -> Reach {
    PerChannel::of(|channel| match channel.facts().addressing {
        Addressing::Devices => {
            DeviceId::parse("phone").into_iter().map(|device| Target { device: Some(device) }).collect()
        }
        Addressing::Address(_) => vec![Target { device: None }],
    })
}

fn accepted(
    kind: AttemptKind,
    channel: Channel,
    step: usize,
    target: Target,
    severity: Severity,
    now: Timestamp,
) -> Attempt {
    Attempt {
        id: Uuid::nil(),
        kind,
        round: 1,
        opening: 0,
        step,
        channel,
        device: target.device,
        state: AttemptState::Accepted,
        tries: 1,
        next_try_at: None,
        maybe_shown: kind == AttemptKind::Alert,
        reason: None,
        severity: Some(severity),
        message_id: None,
        created_at: now,
        answered_at: Some(now),
        reached_at: None,
        priority_lowered: false,
    }
}

#[cfg(test)]
mod tests {
    use watchbell::domain::{PolicyStep, policy::Unless};

    use super::*;

    fn told(policy: &Policy, severity: Severity) -> Vec<(u64, String)> {
        let hour = Duration::from_secs(60 * 60);
        let lines = preview(policy, severity, &Restraint::default(), hour);
        lines
            .into_iter()
            .filter(|line| line.tells || line.channel.is_none())
            .map(|line| (line.after.as_secs(), line.what))
            .collect()
    }

    #[test]
    fn a_policy_is_shown_as_it_would_be_carried_out() {
        let step = |channel, after| PolicyStep::new(channel, Duration::from_secs(after));
        let unless = |step: PolicyStep, unless| PolicyStep { unless: vec![unless], ..step };
        let of = |steps| Policy { steps, ..Policy::default() };
        let (push, sms) = (Channel::Push, Channel::Sms);
        let ends = (3_600, "the alert expires".to_owned());
        let sent = |after: u64, what: &str| (after, format!("{what} is sent"));
        for (why, policy, severity, expected) in [
            (
                "each after the one before",
                of(vec![step(push, 30), step(sms, 300)]),
                Severity::Critical,
                vec![sent(30, "push"), sent(330, "sms"), ends.clone()],
            ),
            (
                "a step that stands in place of another",
                of(vec![step(push, 30), unless(step(sms, 300), Unless::Told(push))]),
                Severity::Critical,
                vec![sent(30, "push"), ends.clone()],
            ),
            (
                "a step for what is bad enough",
                of(vec![unless(step(push, 30), Unless::Info), step(sms, 60)]),
                Severity::Info,
                vec![sent(90, "sms"), (90, "every channel was used".to_owned())],
            ),
            (
                "beyond the end of the alert",
                of(vec![step(push, 30), step(sms, 4_000)]),
                Severity::Warning,
                vec![sent(30, "push"), ends],
            ),
            ("nothing", of(vec![]), Severity::Warning, vec![(0, "every channel was used".to_owned())]),
        ] {
            assert_eq!(told(&policy, severity), expected, "{why}");
        }
    }

    #[test]
    fn a_mail_waits_for_others_unless_it_may_go_alone() {
        let step = |channel, after| PolicyStep::new(channel, Duration::from_secs(after));
        let policy =
            Policy { steps: vec![step(Channel::Email, 60), step(Channel::Sms, 120)], ..Policy::default() };
        let lines = preview(&policy, Severity::Warning, &Restraint::default(), Duration::from_secs(86_400));
        let window = Restraint::default()[Channel::Email].window;
        let at = |what: &str| -> Vec<Duration> {
            lines.iter().filter(|line| line.what.contains(what)).map(|line| line.after).collect()
        };
        assert_eq!(at("waits for others"), [Duration::from_secs(60)]);
        assert_eq!(at("email is sent, with"), [Duration::from_secs(60) + window], "once");
        assert_eq!(at("sms is sent"), [Duration::from_secs(180) + window], "and then the next step");
    }
}
