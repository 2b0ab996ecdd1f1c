//! The metrics of this worker.

use watchbell::{
    domain::{AttemptKind, Channel, PushService},
    runtime::{
        BATCH, SECONDS,
        metric::{Metric, bounded, label},
    },
};

/// The providers in gates, suspects and calls put off, as `Provider::label` names them.
const GUARDED: &[&str] = &["apns", "fcm", "webpush", "email", "slack", "telegram", "twilio", "webhook"];
/// The same in what is counted for each call.
const PROVIDERS: &[&str] = &["apns", "fcm", "webpush", "smtp", "slack", "telegram", "sms", "webhook"];
/// What a provider answers, as `SendError::code` names it.
const ANSWERS: &[&str] = &[
    "accepted",
    "unregistered",
    "bad_token",
    "unusable",
    "throttled",
    "unavailable",
    "unreachable",
    "config_fault",
    "rejected",
    "address_refused",
];
/// What mails say that come back.
const BOUNCES: &[&str] = &["hard", "soft", "policy", "complaint", "delayed", "no_report", "unknown"];
/// What became of replies to mails.
const REPLIES: &[&str] = &[
    "acknowledged",
    "no_effect",
    "automatic",
    "no_sender",
    "another_sender",
    "begun_anew",
    "expired",
    "unknown",
    "too_often",
];
/// How producers hear of outcomes.
const ROUTES: &[&str] = &["queue", "webhook"];
/// How late a timer may be: from at once to a night.
const LATE_SECONDS: &[f64] =
    &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 10_800.0];

const PROVIDER_CALLS: Metric = Metric::counter(
    "watchbell_fallback_provider_calls_total",
    "Calls of providers, by what the provider answered. A call that was put off was not made, and is not counted here.",
)
.by(&[label("provider", PROVIDERS), label("outcome", ANSWERS)]);
const PROVIDER_CALL_SECONDS: Metric = Metric::histogram(
    "watchbell_fallback_provider_call_seconds",
    SECONDS,
    "How long calls of a provider took, without the wait for a place.",
)
.by(&[label("provider", PROVIDERS)]);

/// What fallback counts.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "watchbell_fallback_attempts_total",
        "Attempts to tell somebody by a channel, or to take that back, by what became of them: the provider's answer, or \
         `nowhere`, or `put_off`.",
    )
    .by(&[
        label("channel", Channel::WORDS),
        label("kind", AttemptKind::WORDS),
        bounded("outcome", "answers of providers, `nowhere`, `put_off`"),
    ]),
    Metric::histogram("watchbell_fallback_call_seconds", SECONDS, "How long attempts took, with the wait for a place.")
        .by(&[label("channel", Channel::WORDS)]),
    PROVIDER_CALLS,
    Metric::counter(
        "watchbell_fallback_bounces_total",
        "Mails that came back after a relay had taken them, by what they say; `unknown` is about a mail that is not known \
         any more or was counted before, and `no_report` is some other mail to a return path, or one to `postmaster@` or `abuse@`.",
    )
    .by(&[label("kind", BOUNCES)]),
    Metric::counter(
        "watchbell_fallback_replies_total",
        "Replies to mails, by what became of them. Only `acknowledged` changed something: `no_effect` was acknowledged before or is about an \
         alert that is gone, `automatic` was written by a program, `another_sender` came from another address than the mail went to, \
         `begun_anew` answers a mail from before its alert fired again, became worse or came back from a snooze.",
    )
    .by(&[label("outcome", REPLIES)]),
    PROVIDER_CALL_SECONDS,
    Metric::histogram(
        "watchbell_fallback_timer_lateness_seconds",
        LATE_SECONDS,
        "How long after it was due an escalation was claimed.",
    ),
    Metric::gauge(
        "watchbell_fallback_oldest_due_seconds",
        "How long the escalation that has been due for the longest is due, and nobody holds it. 0: none is.",
    ),
    Metric::counter("watchbell_fallback_claims_total", "Escalations that were due and were claimed."),
    Metric::gauge("watchbell_fallback_backlog", "Escalations that are claimed and wait in `watchbell.undelivered`.")
        .absent_at_first(),
    Metric::counter("watchbell_fallback_lost_total", "Escalations that another process held when their step was to be written."),
    Metric::counter("watchbell_fallback_lost_timers_total", "Open escalations without a timer that the auditor found and woke."),
    Metric::gauge("watchbell_fallback_late_timers", "Timers that are more than a minute late, counted each minute; 10,000 at the most."),
    Metric::counter("watchbell_fallback_set_aside_total", "Escalations that were delivered too often and set aside as dead letters."),
    Metric::histogram("watchbell_fallback_steps_per_commit", BATCH, "Steps of escalations that were written together."),
    Metric::counter("watchbell_fallback_put_off_total", "Calls of providers that were not made: a gate is shut, the device rests, or all places are taken.")
        .by(&[label("provider", GUARDED), label("why", &["gate", "suspect", "busy"])]),
    Metric::gauge("watchbell_fallback_suspects", "Devices that are not called for a while, because the provider refused them.")
        .by(&[label("provider", GUARDED)]),
    Metric::gauge("watchbell_fallback_gates_shut", "Gates of providers that are shut, for everybody or for one tenant; the log says which.")
        .by(&[label("provider", GUARDED), label("of", &["everybody", "tenant"])]),
    Metric::counter("watchbell_fallback_config_faults_total", "Refusals of our configuration by a provider.")
        .by(&[label("channel", Channel::WORDS), label("blame", &["device", "everybody"])]),
    Metric::gauge(
        "watchbell_fallback_token_drops_suspended",
        "1 while so many tokens are refused at once that none is dropped: the key, the topic or the environment is probably wrong.",
    )
    .by(&[label("service", PushService::WORDS)]),
    Metric::counter("watchbell_fallback_token_drops_withheld_total", "Tokens that were refused and kept meanwhile.")
        .by(&[label("service", PushService::WORDS)]),
    Metric::counter("watchbell_outcomes_told_total", "Tries to tell a producer what became of an alert.")
        .by(&[label("route", ROUTES), label("outcome", &["told", "failed"])]),
    Metric::gauge("watchbell_outcomes_waiting", "Outcomes that wait in the store to be told, counted once a minute.")
        .by(&[label("route", ROUTES)])
        .absent_at_first(),
    Metric::counter("watchbell_outcomes_dropped_total", "Outcomes that nobody will hear of.")
        .by(&[label("route", ROUTES), label("why", &["it was too old", "too many waited"])]),
];

/// A provider as calls of it are counted: by what is spoken to, where `Provider::label` has the channel or the company.
pub(crate) fn provider_word(label: &'static str) -> &'static str {
    match label {
        "email" => "smtp",
        "twilio" => "sms",
        label => label,
    }
}

#[test]
fn each_provider_has_a_word() {
    let mut words: Vec<&str> = GUARDED.iter().map(|label| provider_word(label)).collect();
    let mut declared = PROVIDERS.to_vec();
    words.sort_unstable();
    declared.sort_unstable();
    assert_eq!(words, declared);
}
