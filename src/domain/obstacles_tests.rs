//! What is in the way of alerts, as a table.
#![allow(clippy::unwrap_used)]

use jiff::civil::{Time, Weekday};

use super::*;
use crate::domain::preferences::{QuietHours, QuietWindow};

fn at(time: &str) -> Timestamp {
    format!("2026-11-29T{time}Z").parse().unwrap()
}

/// Nothing is in their way.
fn ana() -> Reachability {
    Reachability {
        is_stored: true,
        is_known: true,
        has_session: true,
        devices: 1,
        addresses: PerChannel::of(|_| AddressState::Usable),
        ..Reachability::default()
    }
}

fn wants(preferences: Preferences) -> Reachability {
    Reachability { preferences, ..ana() }
}

#[test]
fn each_thing_in_the_way_is_said_in_words() {
    let now = at("23:00:00");
    let every_night = QuietWindow {
        days: Weekday::Monday.cycle_forward().take(7).collect(),
        from: Time::constant(22, 0, 0, 0),
        to: Time::constant(7, 0, 0, 0),
    };
    let quiet = |quiet| wants(Preferences { quiet, ..Preferences::default() });
    let mut half_written = ana();
    half_written.addresses[Channel::Email] = AddressState::Refused;
    half_written.refused_because[Channel::Email] = Some("550 5.1.1".to_owned());
    half_written.addresses[Channel::Sms] = AddressState::Absent;
    half_written.addresses[Channel::Slack] = AddressState::Absent;
    let off = wants(Preferences {
        channels_off: [Channel::Push].into(),
        categories_off: [("news".to_owned(), [Channel::Email].into()), ("all".to_owned(), [].into())].into(),
        ..Preferences::default()
    });
    for (why, person, expected) in [
        ("nothing is in the way", ana(), vec![]),
        (
            "nobody",
            Reachability::default(),
            vec![(
                "unknown",
                "nobody of this name is known: no alert ever named them, and they never registered or signed in",
            )],
        ),
        (
            "a name that a producer typed",
            Reachability { is_known: false, has_session: false, ..ana() },
            vec![
                (
                    "only_named",
                    "only named in alerts: never registered, and never signed in; `everyone` does not reach them",
                ),
                ("no_session", "no session is open: nothing is on a screen until they come back"),
            ],
        ),
        (
            "no phone",
            Reachability { devices: 0, ..ana() },
            vec![("no_device", "push: the user has no device")],
        ),
        (
            "phones that went with their sessions",
            Reachability {
                devices: 0,
                devices_ended: Some((at("20:00:00"), 2)),
                sessions_revoked_at: Some(at("20:00:00")),
                ..ana()
            },
            vec![
                (
                    "sessions_revoked",
                    "their sessions were ended: tokens issued up to 2026-11-29T20:00:00Z let nobody in any more",
                ),
                (
                    "no_device",
                    "push: the user has no device; 2 were taken out at 2026-11-29T20:00:00Z, with their sessions",
                ),
            ],
        ),
        (
            "one mailbox that bounced, and two addresses that were never given",
            half_written,
            vec![
                (
                    "address_refused",
                    "email: the address refused messages for good (550 5.1.1), and gets none until another one is registered or the refusal is lifted",
                ),
                ("no_address", "slack, sms: no address is registered"),
            ],
        ),
        (
            "what they turned off; a category with nothing off is none",
            off,
            vec![
                ("opted_out", "push: they have turned it off; a mandatory policy ignores this"),
                (
                    "category_off",
                    "email: they have turned the category news off; a mandatory policy ignores this",
                ),
            ],
        ),
        (
            "not now",
            quiet(QuietHours { until: Some(at("23:30:00")), ..QuietHours::default() }),
            vec![(
                "do_not_disturb",
                "do not disturb until 2026-11-29T23:30:00Z; a mandatory policy ignores this",
            )],
        ),
        ("it was over a moment ago", quiet(QuietHours { until: Some(now), ..QuietHours::default() }), vec![]),
        (
            "the night goes on behind it",
            quiet(QuietHours { until: Some(at("23:30:00")), zone: None, windows: vec![every_night] }),
            vec![
                (
                    "do_not_disturb",
                    "do not disturb until 2026-11-29T23:30:00Z; a mandatory policy ignores this",
                ),
                (
                    "quiet_hours",
                    "these are their quiet hours, until 2026-11-30T07:00:00Z; a mandatory policy ignores this",
                ),
            ],
        ),
    ] {
        let found = obstacles(&person, now);
        let told: Vec<(&str, String)> =
            found.iter().map(|obstacle| (obstacle.word(), obstacle.to_string())).collect();
        let told: Vec<(&str, &str)> = told.iter().map(|(word, says)| (*word, says.as_str())).collect();
        assert_eq!(told, expected, "{why}");
        assert!(found.iter().all(|obstacle| Obstacle::WORDS.contains(&obstacle.word())));
    }
}
