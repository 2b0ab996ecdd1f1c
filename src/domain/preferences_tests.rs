//! Quiet hours by tables, in the zones and on the days where clocks do odd things.

#![allow(clippy::unwrap_used)]

use jiff::civil::{Date, time};

use super::*;

const EVERY_DAY: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn nights(zone_name: &str, from: Time, to: Time) -> QuietHours {
    let windows = vec![QuietWindow { days: EVERY_DAY.to_vec(), from, to }];
    QuietHours { until: None, zone: Some(zone(zone_name)), windows }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn mails_are_gathered_on_the_persons_clock_and_past_their_silences() {
    use crate::domain::digest::{Digest, DigestEvery};
    let warsaw = |until: Option<&str>| QuietHours {
        until: until.map(at),
        zone: Some(zone("Europe/Warsaw")),
        windows: Vec::new(),
    };
    for (why, quiet, expected) in [
        ("eight, over there", warsaw(None), "2026-06-01T06:00:00Z"),
        ("in UTC for whoever has no zone", QuietHours::default(), "2026-06-01T08:00:00Z"),
        ("not into a silence, but at its end", warsaw(Some("2026-06-01T09:00:00Z")), "2026-06-01T09:00:00Z"),
        ("one that is over by then", warsaw(Some("2026-06-01T05:30:00Z")), "2026-06-01T06:00:00Z"),
    ] {
        let digest = Digest { every: Some(DigestEvery::Day), at: None };
        let preferences = Preferences { quiet, digest, ..Preferences::default() };
        let until = preferences.gathers_mails_until(at("2026-06-01T05:00:00Z"), 0.5);
        assert_eq!(until, Some(released_at(at(expected), 0.5)), "{why}");
    }
    assert_eq!(Preferences::default().gathers_mails_until(at("2026-06-01T05:00:00Z"), 0.5), None);
}

#[test]
fn a_silence_ends_by_this_table() {
    let warsaw = nights("Europe/Warsaw", time(23, 0, 0, 0), time(7, 0, 0, 0));
    let small_hours = nights("Europe/Warsaw", time(1, 0, 0, 0), time(2, 30, 0, 0));
    let new_york = nights("America/New_York", time(23, 0, 0, 0), time(7, 0, 0, 0));
    let kathmandu = nights("Asia/Kathmandu", time(22, 0, 0, 0), time(6, 0, 0, 0));
    let noon = nights("Etc/UTC", time(12, 0, 0, 0), time(13, 0, 0, 0));
    let weekend = QuietHours {
        windows: vec![QuietWindow {
            days: vec![Weekday::Saturday, Weekday::Sunday],
            from: time(0, 0, 0, 0),
            to: time(0, 0, 0, 0),
        }],
        ..noon.clone()
    };
    let dnd = QuietHours { until: Some(at("2026-06-01T10:00:00Z")), ..QuietHours::default() };
    let dnd_into_noon = QuietHours { until: Some(at("2026-06-01T12:30:00Z")), ..noon.clone() };
    for (why, quiet, now, ends) in [
        ("nothing was asked", &QuietHours::default(), "2026-06-01T03:00:00Z", None),
        ("in the window", &noon, "2026-06-01T12:30:00Z", Some("2026-06-01T13:00:00Z")),
        ("it begins at its beginning", &noon, "2026-06-01T12:00:00Z", Some("2026-06-01T13:00:00Z")),
        ("a moment before", &noon, "2026-06-01T11:59:59Z", None),
        ("it is over at its end", &noon, "2026-06-01T13:00:00Z", None),
        ("before midnight", &warsaw, "2026-06-01T21:30:00Z", Some("2026-06-02T05:00:00Z")),
        ("after midnight", &warsaw, "2026-06-02T00:30:00Z", Some("2026-06-02T05:00:00Z")),
        ("by day", &warsaw, "2026-06-02T12:00:00Z", None),
        ("the same hour in winter", &warsaw, "2026-01-02T05:30:00Z", Some("2026-01-02T06:00:00Z")),
        ("a short night: DST begins", &warsaw, "2026-03-28T22:00:00Z", Some("2026-03-29T05:00:00Z")),
        ("a long night: DST ends", &warsaw, "2026-10-24T21:00:00Z", Some("2026-10-25T06:00:00Z")),
        (
            "02:30 is skipped: it ends after the skip",
            &small_hours,
            "2026-03-29T00:30:00Z",
            Some("2026-03-29T01:30:00Z"),
        ),
        (
            "02:30 comes twice: it ends at the first",
            &small_hours,
            "2026-10-24T23:30:00Z",
            Some("2026-10-25T00:30:00Z"),
        ),
        ("and does not begin again", &small_hours, "2026-10-25T01:00:00Z", None),
        ("west of Greenwich", &new_york, "2026-03-08T05:00:00Z", Some("2026-03-08T11:00:00Z")),
        ("a quarter off", &kathmandu, "2026-06-01T16:30:00Z", Some("2026-06-02T00:15:00Z")),
        ("two whole days are one silence", &weekend, "2026-06-06T09:00:00Z", Some("2026-06-08T00:00:00Z")),
        ("a working day", &weekend, "2026-06-05T23:59:59Z", None),
        ("until a moment", &dnd, "2026-06-01T09:00:00Z", Some("2026-06-01T10:00:00Z")),
        ("the moment has come", &dnd, "2026-06-01T10:00:00Z", None),
        ("it runs into a window", &dnd_into_noon, "2026-06-01T11:00:00Z", Some("2026-06-01T13:00:00Z")),
    ] {
        assert_eq!(quiet.ends_at(at(now)), ends.map(at), "{why}");
    }
}

#[test]
fn all_day_every_day_is_looked_at_again_and_ends_never() {
    let always = nights("Europe/Warsaw", time(0, 0, 0, 0), time(0, 0, 0, 0));
    let now = at("2026-06-01T09:00:00Z");
    let looked_at = always.ends_at(now).unwrap();
    assert!(looked_at > now + Duration::from_secs(7 * 24 * 3600), "{looked_at}");
    assert!(always.ends_at(looked_at).is_some());
}

/// Every quarter hour of a year in zones with odd clocks: the answer is after now, and the silence is over then.
#[test]
fn a_silence_always_ends_later_and_is_over_then() {
    for name in
        ["Europe/Warsaw", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"]
    {
        for (from, to) in [((23, 0), (7, 0)), ((1, 30), (2, 30)), ((2, 0), (2, 0)), ((0, 0), (0, 30))] {
            let quiet = nights(name, time(from.0, from.1, 0, 0), time(to.0, to.1, 0, 0));
            let night_only = QuietHours {
                windows: vec![QuietWindow { days: vec![Weekday::Wednesday], ..quiet.windows[0].clone() }],
                ..quiet
            };
            let mut now = Date::new(2026, 1, 1).unwrap().to_zoned(zone(name)).unwrap().timestamp();
            for _ in 0..365 * 96 {
                if let Some(end) = night_only.ends_at(now) {
                    assert!(end > now, "{name} {now}");
                    assert_eq!(night_only.ends_at(end), None, "{name}: {now} ends at {end}");
                }
                now += Duration::from_secs(900);
            }
        }
    }
}

#[test]
fn releases_come_soon_and_clear_of_the_quarter_hours() {
    let midnight = at("2026-06-01T00:00:00Z");
    for minute in 0..120 {
        let end = midnight + Duration::from_secs(60 * minute);
        for chance in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let released = released_at(end, chance);
            let wait = released.duration_since(end).as_secs();
            assert!(wait >= 0 && released > end && wait <= 22 * 60, "{end} {chance}: {wait} s");
            let past_quarter = released.as_second().rem_euclid(900);
            assert!((120..=780).contains(&past_quarter), "{end} {chance}: {past_quarter} s past a quarter");
        }
        assert_ne!(released_at(end, 0.0), released_at(end, 1.0), "not all at once");
    }
}

#[test]
fn who_wants_what() {
    let mut preferences = Preferences::default();
    preferences.channels_off.insert(Channel::Email);
    preferences.categories_off.insert("news".into(), BTreeSet::from([Channel::Push]));
    for (channel, category, off) in [
        (Channel::Push, None, false),
        (Channel::Email, None, true),
        (Channel::Email, Some("news"), true),
        (Channel::Push, Some("news"), true),
        (Channel::Push, Some("outage"), false),
    ] {
        assert_eq!(preferences.opted_out(channel, category), off, "{channel} {category:?}");
    }
}

#[test]
fn a_person_comes_before_their_backend_field_by_field() {
    let warsaw = Some("Europe/Warsaw");
    for (why, own, defaults, zone, expected) in [
        ("nobody said anything", None, None, None, None),
        ("only they did, and it stays as it is", Some(r#"{ "a": 1 }"#), None, None, Some(r#"{ "a": 1 }"#)),
        (
            "only their backend did",
            None,
            Some(r#"{"channels":{"email":false}}"#),
            None,
            Some(r#"{"channels":{"email":false}}"#),
        ),
        (
            "each field by itself",
            Some(r#"{"channels":{"email":true}}"#),
            Some(r#"{"channels":{"email":false,"push":false}}"#),
            None,
            Some(r#"{"channels":{"email":true,"push":false}}"#),
        ),
        (
            "a list is one field, also an empty one",
            Some(r#"{"quiet":{"windows":[]}}"#),
            Some(r#"{"quiet":{"windows":[{"from":"22:00","to":"07:00"}]}}"#),
            None,
            Some(r#"{"quiet":{"windows":[]}}"#),
        ),
        (
            "null says nothing",
            Some(r#"{"channels":null}"#),
            Some(r#"{"channels":{"email":false}}"#),
            None,
            Some(r#"{"channels":{"email":false}}"#),
        ),
        (
            "their days are where their backend says",
            Some(r#"{"quiet":{"windows":[1]}}"#),
            None,
            warsaw,
            Some(r#"{"quiet":{"windows":[1],"zone":"Europe/Warsaw"}}"#),
        ),
        (
            "unless they say it",
            Some(r#"{"quiet":{"zone":"Asia/Tokyo"}}"#),
            None,
            warsaw,
            Some(r#"{"quiet":{"zone":"Asia/Tokyo"}}"#),
        ),
        (
            "what cannot be read is left alone",
            Some("of the future"),
            Some("{}"),
            warsaw,
            Some("of the future"),
        ),
    ] {
        assert_eq!(holding(own, defaults, zone).as_deref(), expected, "{why}");
    }
}

#[test]
fn a_silence_for_ever_is_released_at_the_end_of_time() {
    for end in [LAST_MOMENT, "9999-12-30T21:59:00Z".parse().unwrap()] {
        for chance in [0.0, 0.5, 1.0] {
            assert!(released_at(end, chance) >= end, "{end}, {chance}");
        }
    }
}
