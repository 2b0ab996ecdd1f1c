#![allow(clippy::unwrap_used)]

use watchbell::domain::{
    AlertId, PushEnvironment, Severity, Tenant, broadcast_channel::BroadcastChannel, live_activity::AlertNow,
};

use super::*;
use crate::channel::{Blame, SendError, ThrottleScope};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn taken() -> TakenChannel {
    let told = Some((2, Severity::Warning));
    TakenChannel {
        tenant: Tenant::parse("acme").unwrap(),
        alert: AlertId::parse("outage").unwrap(),
        environment: PushEnvironment::Production,
        app: "com.example".into(),
        begun_at: at(1),
        channel: Some("dGVzdA==".into()),
        state: BroadcastChannel { is_made: true, told, has_missed: false, ended_at: None },
        now: Some(AlertNow { version: 3, severity: Severity::Critical, over: None, expires_at: at(9_000) }),
        content: String::new(),
        tries: 1,
    }
}

const UPDATE: ChannelMove = ChannelMove::Update { is_urgent: true };
const END: ChannelMove = ChannelMove::End(Ending::Over(StopReason::Resolved));

/// The reactions of other pushes, each with what becomes of the channel.
#[test]
fn what_apple_answers_has_its_consequence() {
    let reason = || "Word".to_owned();
    let refused = |error| Err(NotSent::Refused(error));
    let named = || Ok(Accepted { provider_id: Some("dGVzdA==".into()) });
    let told = Some((3, Severity::Critical));
    let goes = |told, due_at, is_to_repeat| KeptChannel::Goes { told, due_at: at(due_at), is_to_repeat };
    let made = KeptChannel::Made { channel: "dGVzdA==".into(), told };
    let not_made = |due_at| KeptChannel::NotMade { due_at: at(due_at) };
    let unreachable = || refused(SendError::Unreachable { reason: reason() });
    let gone = || refused(SendError::BadToken { reason: reason() });
    let fault = || refused(SendError::ConfigFault { blame: Blame::Device, reason: reason() });
    let unwanted = || refused(SendError::Rejected { reason: reason() });
    let nowhere = || Err(NotSent::Nowhere("apns is not configured".to_owned()));
    let slow = || {
        let retry_after = Some(Duration::from_secs(30));
        refused(SendError::Throttled { retry_after, scope: ThrottleScope::Device, reason: reason() })
    };
    for (why, next, tries, result, kept, note, is_fault) in [
        ("made", ChannelMove::Make, 1, named(), made, "made, accepted", false),
        (
            "told",
            UPDATE,
            1,
            Ok(Accepted::default()),
            goes(told, 100, false),
            "told version 3, accepted",
            false,
        ),
        ("ended", END, 1, Ok(Accepted::default()), KeptChannel::Ended, "ended: resolved, accepted", false),
        (
            "deleted",
            ChannelMove::Delete,
            1,
            Ok(Accepted::default()),
            KeptChannel::Gone,
            "deleted, accepted",
            false,
        ),
        (
            "made, and nobody knows how",
            ChannelMove::Make,
            1,
            Ok(Accepted::default()),
            not_made(160),
            "made",
            false,
        ),
        (
            "activities wait for a second try",
            ChannelMove::Make,
            1,
            unreachable(),
            goes(None, 110, true),
            "make did not get through: unreachable: Word; tried again",
            false,
        ),
        (
            "and no longer",
            ChannelMove::Make,
            2,
            unreachable(),
            not_made(120),
            "make did not get through: unreachable: Word; Live Activities do without",
            false,
        ),
        (
            "not enabled",
            ChannelMove::Make,
            1,
            fault(),
            not_made(160),
            "make did not get through: config_fault",
            true,
        ),
        (
            "no more channels",
            ChannelMove::Make,
            1,
            unwanted(),
            not_made(160),
            "make did not get through: rejected",
            true,
        ),
        (
            "too fast",
            UPDATE,
            1,
            slow(),
            goes(None, 130, true),
            "update did not get through: throttled",
            false,
        ),
        (
            "our own fault",
            UPDATE,
            1,
            fault(),
            goes(None, 160, true),
            "update did not get through: config_fault",
            true,
        ),
        ("not taken", UPDATE, 1, unwanted(), goes(told, 100, false), "update failed: rejected", true),
        (
            "the channel is gone",
            UPDATE,
            1,
            gone(),
            KeptChannel::Gone,
            "update failed: bad_token: Word; Apple has none",
            true,
        ),
        (
            "an end is tried until it arrives",
            END,
            3,
            unreachable(),
            goes(None, 140, true),
            "end did not",
            false,
        ),
        ("and not for ever", END, 150, unreachable(), KeptChannel::Gone, "end did not get through", true),
        ("an end that is not taken", END, 1, unwanted(), KeptChannel::Ended, "end failed: rejected", true),
        (
            "deleted by somebody else",
            ChannelMove::Delete,
            1,
            gone(),
            KeptChannel::Gone,
            "deleted: Apple has none",
            false,
        ),
        (
            "a deletion that is not taken",
            ChannelMove::Delete,
            1,
            unwanted(),
            KeptChannel::Gone,
            "delete failed",
            true,
        ),
        (
            "turned off meanwhile",
            END,
            1,
            nowhere(),
            KeptChannel::Gone,
            "end failed: apns is not configured",
            true,
        ),
    ] {
        let outcome = outcome_of(&TakenChannel { tries, ..taken() }, next, &result, at(100), 1.0);
        assert_eq!(outcome.kept, kept, "{why}");
        assert_eq!(outcome.is_fault, is_fault, "{why}");
        let begins = format!("broadcast channel of outage: {note}");
        assert!(outcome.note.starts_with(&begins), "{why}: {}", outcome.note);
    }
}

#[test]
fn a_call_has_an_id_of_its_own_which_its_repetition_keeps() {
    let first = taken();
    let calm = ChannelMove::Update { is_urgent: false };
    assert_eq!(call_id(&first, UPDATE), call_id(&TakenChannel { tries: 2, ..taken() }, calm));
    let later = TakenChannel { now: first.now.map(|now| AlertNow { version: 4, ..now }), ..taken() };
    let anew = TakenChannel { begun_at: at(2), ..taken() };
    let all = [
        call_id(&first, ChannelMove::Make),
        call_id(&first, UPDATE),
        call_id(&later, UPDATE),
        call_id(&first, END),
        call_id(&first, ChannelMove::Delete),
        call_id(&anew, ChannelMove::Make),
    ];
    let different: std::collections::HashSet<_> = all.into_iter().collect();
    assert_eq!(different.len(), all.len());
}
