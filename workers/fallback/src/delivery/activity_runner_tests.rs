#![allow(clippy::unwrap_used)]

use watchbell::{
    domain::{
        AlertId, DeviceId, PushEnvironment, Secret, Severity, Tenant, UserId, UserKey,
        live_activity::{Activity, AlertNow, Hears},
    },
    store::{EscalationKey, ListenedChannel},
};

use super::*;
use crate::channel::{Blame, SendError};

const START: Move = Move::Start { listens: false };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn taken() -> TakenActivity {
    let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
    TakenActivity {
        key: EscalationKey { user, alert: AlertId::parse("disk-7").unwrap() },
        device: DeviceId::parse("phone").unwrap(),
        environment: PushEnvironment::Production,
        bound_to: None,
        start_token: Some(Secret::from("start")),
        token: Some(Secret::from("own")),
        token_at: Some(at(2)),
        registered_at: Some(at(1)),
        listens: None,
        activity: Activity {
            begun_at: at(1),
            is_started: true,
            has_token: true,
            has_device: true,
            can_start: true,
            told: None,
            hears: Hears::ByToken,
        },
        alert: Some(AlertNow { version: 3, severity: Severity::Warning, over: None, expires_at: at(9_000) }),
        content: String::new(),
        unread: 0,
        locale: None,
        tries: 1,
    }
}

/// The reactions of other pushes, each with its line.
#[test]
fn what_apple_answers_has_its_consequence() {
    let reason = || "Word".to_owned();
    let refused = |error| Err(NotSent::Refused(error));
    let (update, end) = (Move::Update { is_urgent: true }, Move::End(Ending::Over(StopReason::Seen)));
    let goes = |told, due_at, is_to_repeat| KeptActivity::Goes { told, due_at: at(due_at), is_to_repeat };
    let told = Some((3, Severity::Warning));
    let since = Some(at(5));
    for (why, next, result, kept, note) in [
        (
            "started",
            START,
            Ok(Accepted::default()),
            goes(told, 100, false),
            "started with version 3, accepted",
        ),
        ("told", update, Ok(Accepted::default()), goes(told, 100, false), "shows version 3, accepted"),
        ("ended", end, Ok(Accepted::default()), KeptActivity::Ended, "ended: seen, accepted"),
        (
            "gone",
            update,
            refused(SendError::Unregistered { since, reason: reason() }),
            KeptActivity::TokenGone { unless_registered_after: since },
            "update failed: unregistered: Word; the provider says its token is gone",
        ),
        (
            "never was one",
            START,
            refused(SendError::BadToken { reason: reason() }),
            KeptActivity::TokenGone { unless_registered_after: None },
            "start failed: bad_token: Word; the provider says its token is gone",
        ),
        (
            "too fast",
            update,
            refused(SendError::Throttled {
                retry_after: Some(Duration::from_secs(30)),
                scope: crate::channel::ThrottleScope::Device,
                reason: reason(),
            }),
            goes(None, 130, true),
            "update did not get through: throttled: Word",
        ),
        (
            "an end is tried until it arrives",
            end,
            refused(SendError::Unreachable { reason: reason() }),
            goes(None, 110, true),
            "end did not get through: unreachable: Word",
        ),
        (
            "our own fault",
            START,
            refused(SendError::ConfigFault { blame: Blame::Device, reason: reason() }),
            goes(None, 160, true),
            "start did not get through: config_fault: Word",
        ),
        (
            "a version that is not taken",
            update,
            refused(SendError::Rejected { reason: reason() }),
            goes(told, 100, false),
            "update failed: rejected",
        ),
        (
            "a start that is not taken",
            START,
            refused(SendError::Rejected { reason: reason() }),
            KeptActivity::Ended,
            "start failed: rejected",
        ),
        (
            "no provider",
            START,
            Err(NotSent::Nowhere("apns is not configured".to_owned())),
            KeptActivity::Ended,
            "start failed: apns is not",
        ),
    ] {
        let outcome = outcome_of(&taken(), next, &result, at(100), 1.0);
        assert_eq!(outcome.kept, kept, "{why}");
        assert!(
            outcome.note.starts_with(&format!("live activity on phone: {note}")),
            "{why}: {}",
            outcome.note
        );
    }
}

#[test]
fn a_call_has_an_id_of_its_own_which_its_repetition_keeps() {
    let first = taken();
    let id = |next, taken: &TakenActivity| attempt_id(taken, next);
    let update = Move::Update { is_urgent: true };
    let again = TakenActivity { tries: 2, ..first.clone() };
    assert_eq!(id(update, &first), id(Move::Update { is_urgent: false }, &again));
    let alert = first.alert.map(|alert| AlertNow { version: 4, ..alert });
    let later = TakenActivity { alert, ..first.clone() };
    let end = Move::End(Ending::AlertGone);
    let all = [id(START, &first), id(update, &first), id(update, &later), id(end, &first)];
    let different: std::collections::HashSet<_> = all.into_iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn one_that_listens_is_started_with_its_channel_and_rests() {
    let listens = ListenedChannel { app: "com.example".into(), channel: Some("dGVzdA==".into()) };
    let listener = TakenActivity { listens: Some(listens), token: None, ..taken() };
    let next = Move::Start { listens: true };
    let message = message_of(&listener, next, at(100)).unwrap();
    assert_eq!(message.channel.as_deref(), Some("dGVzdA=="));
    let alone = message_of(&listener, START, at(100)).unwrap();
    assert_eq!(alone.channel, None, "it gave up waiting");
    let outcome = outcome_of(&listener, next, &Ok(Accepted::default()), at(100), 1.0);
    let told = (3, Severity::Warning);
    let due_at = at(1 + 12 * 60 * 60);
    assert_eq!(outcome.kept, KeptActivity::Listens { channel: "dGVzdA==".into(), told, due_at });
    assert!(outcome.note.contains("listens to the channel of its alert"), "{}", outcome.note);
    assert_eq!(attempt_id(&listener, next), attempt_id(&listener, START), "it starts once");
}
