#![allow(clippy::unwrap_used)]

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The table is the specification. Each row says why it is there.
#[test]
fn an_activity_starts_follows_its_alert_and_ends_with_it() {
    let wanted = Activity {
        begun_at: at(0),
        is_started: false,
        has_token: false,
        has_device: true,
        can_start: true,
        told: None,
        hears: Hears::ByToken,
    };
    let coming = Activity { hears: Hears::ByComingChannel, ..wanted };
    let listener = Activity { hears: Hears::ByChannel, ..wanted };
    let (alone, listening) = (Move::Start { listens: false }, Move::Start { listens: true });
    let started = Activity { is_started: true, told: Some((1, Severity::Warning)), ..wanted };
    let shown = Activity { has_token: true, ..started };
    let of_the_app = Activity { told: None, ..shown };
    let no_device = |activity: Activity| Activity { has_device: false, can_start: false, ..activity };
    let firing = AlertNow { version: 1, severity: Severity::Warning, over: None, expires_at: at(3_600) };
    let later = AlertNow { version: 2, ..firing };
    let milder = AlertNow { severity: Severity::Info, ..later };
    let worse = AlertNow { severity: Severity::Critical, ..later };
    let long = AlertNow { expires_at: at(1_000_000), ..firing };
    let over = |reason| AlertNow { over: Some(reason), ..later };
    let lifetime = at(12 * 3_600);
    let (calm, urgent) = (Move::Update { is_urgent: false }, Move::Update { is_urgent: true });
    let end = |reason| Move::End(Ending::Over(reason));
    for (why, activity, alert, now, expected) in [
        ("it is wanted", wanted, Some(firing), at(1), alone),
        ("it says what is new by now", wanted, Some(worse), at(1), alone),
        ("its channel is not there yet", coming, Some(firing), at(1), Move::Wait(at(3))),
        ("its channel does not come", coming, Some(firing), at(30), alone),
        ("its channel is there", listener, Some(firing), at(1), listening),
        ("over while it waited for its channel", coming, Some(over(StopReason::Seen)), at(1), Move::Forget),
        ("over before it began to listen", listener, Some(over(StopReason::Seen)), at(1), Move::Forget),
        (
            "no token to start with",
            Activity { can_start: false, ..wanted },
            Some(firing),
            at(1),
            Move::Forget,
        ),
        ("over before it was started", wanted, Some(over(StopReason::Seen)), at(1), Move::Forget),
        ("deleted before it was started", wanted, None, at(1), Move::Forget),
        ("device gone before it was started", no_device(wanted), Some(firing), at(1), Move::Forget),
        ("nothing is new", shown, Some(firing), at(1), Move::Wait(at(3_600))),
        ("longer than a system shows it", shown, Some(long), at(1), Move::Wait(lifetime)),
        ("a later version", shown, Some(later), at(1), calm),
        ("milder", shown, Some(milder), at(1), calm),
        ("worse", shown, Some(worse), at(1), urgent),
        ("started by the app, which shows we know not what", of_the_app, Some(firing), at(1), urgent),
        ("its token is not known yet", started, Some(worse), at(1), Move::Wait(at(3_600))),
        ("seen", shown, Some(over(StopReason::Seen)), at(1), end(StopReason::Seen)),
        ("resolved", shown, Some(over(StopReason::Resolved)), at(1), end(StopReason::Resolved)),
        ("expired", shown, Some(over(StopReason::Expired)), at(1), end(StopReason::Expired)),
        ("of the app, and over", of_the_app, Some(over(StopReason::Read)), at(1), end(StopReason::Read)),
        (
            "over, and its token may come late",
            started,
            Some(over(StopReason::Seen)),
            at(1),
            Move::Wait(lifetime),
        ),
        ("deleted", shown, None, at(1), Move::End(Ending::AlertGone)),
        ("signed out", no_device(shown), Some(firing), at(1), Move::End(Ending::DeviceGone)),
        ("signed out, and no token comes any more", no_device(started), Some(firing), at(1), Move::Forget),
        ("the system has ended it", shown, Some(worse), lifetime, Move::Forget),
    ] {
        assert_eq!(next_move(&activity, alert.as_ref(), now), expected, "{why}");
    }
}

#[test]
fn an_alert_is_over_for_whoever_looked_and_when_its_producer_says_so() {
    let (new, seen) = (InboxState::New, InboxState::Seen);
    let (firing, later) = (Status::Firing, at(100));
    for (why, stopped, state, status, now, expected) in [
        ("nobody looked", None, new, firing, at(1), None),
        ("every channel was used", Some(StopReason::Exhausted), new, firing, at(1), None),
        ("put off", Some(StopReason::Snoozed), new, firing, at(1), Some(StopReason::Snoozed)),
        ("looked at", Some(StopReason::Read), seen, firing, at(1), Some(StopReason::Read)),
        ("looked at, and nobody was chased", None, seen, firing, at(1), Some(StopReason::Seen)),
        (
            "another took it on",
            Some(StopReason::Acknowledged),
            new,
            firing,
            at(1),
            Some(StopReason::Acknowledged),
        ),
        (
            "resolved after it was seen",
            Some(StopReason::Seen),
            seen,
            Status::Resolved,
            at(1),
            Some(StopReason::Resolved),
        ),
        ("suppressed", None, new, Status::Suppressed, at(1), Some(StopReason::Suppressed)),
        ("taken on by its producer", None, new, Status::Acknowledged, at(1), Some(StopReason::Acknowledged)),
        ("its time has come", None, new, firing, later, Some(StopReason::Expired)),
    ] {
        assert_eq!(over(stopped, state, status, later, now), expected, "{why}");
    }
}
