//! How publications meet what is recorded, case by case.

#![allow(clippy::unwrap_used)]

use super::*;

const NOON: &str = "2026-11-21T12:00:00Z";
const LATER: &str = "2026-11-21T12:00:07Z";

fn content(title: &str, at: &str) -> String {
    format!(r#"{{"id":"otp","title":"{title}","severity":"warning","occurred_at":"{at}"}}"#)
}

fn print(title: &str, at: &str) -> Fingerprint {
    Fingerprint::of(&content(title, at), None)
}

fn by(key: &str, own_alerts: bool) -> Option<Maker> {
    Some(Maker { key: key.into(), own_alerts })
}

fn published(title: &str) -> Publication {
    Publication { fingerprint: print(title, NOON), is_dated: true, by: None, is_redelivered: false }
}

/// Version 3 is shown, 2 and 3 are known; made by `k1`.
fn known() -> Known {
    let mut said = VersionFingerprints::default();
    said.add(2, print("two", NOON));
    said.add(3, print("three", NOON));
    Known { version: 3, said, maker: Some("k1".into()) }
}

#[test]
fn a_publication_meets_what_is_recorded_by_this_table() {
    let dated = |title: &str, at: &str| Publication { fingerprint: print(title, at), ..published(title) };
    let undated = |title: &str, at: &str| Publication { is_dated: false, ..dated(title, at) };
    let of = |key: &str, own_alerts| Publication { by: by(key, own_alerts), ..published("three") };
    for (why, version, publication, expected) in [
        ("a later version", 4, published("four"), Meets::Earlier),
        ("as far ahead as may be", 3 + VERSION_STEP_MAX, published("four"), Meets::Earlier),
        ("the last word on an alert", 4 + VERSION_STEP_MAX, published("four"), Meets::TooFarAhead),
        ("the highest number there is", u32::MAX, published("four"), Meets::TooFarAhead),
        ("far ahead, of somebody else's", u32::MAX, of("k2", true), Meets::NotItsOwn),
        ("the same again", 3, published("three"), Meets::Same),
        ("another text", 3, published("ana's code"), Meets::Conflict),
        ("another time, which its producer gave", 3, dated("three", LATER), Meets::Conflict),
        ("another time, which it was given on arrival", 3, undated("three", LATER), Meets::Same),
        ("another text without a time", 3, undated("ana's code", NOON), Meets::Conflict),
        ("too late", 2, published("two"), Meets::Later),
        ("too late, and never said", 2, published("ana's code"), Meets::Conflict),
        ("too late, and nobody knows what it said", 1, published("one"), Meets::Stale),
        ("anybody's key", 4, of("k2", false), Meets::Earlier),
        ("the maker's own", 4, of("k1", true), Meets::Earlier),
        ("somebody else's", 4, of("k2", true), Meets::NotItsOwn),
        ("somebody else's, to more people", 3, of("k2", true), Meets::NotItsOwn),
    ] {
        assert_eq!(meets(Some(&known()), version, &publication), expected, "{why}");
    }
    let nobodys = Known { maker: None, ..known() };
    assert_eq!(meets(Some(&nobodys), 4, &of("k1", true)), Meets::NotItsOwn, "nobody's is not its own");
    assert_eq!(meets(None, 7, &of("k2", true)), Meets::Nothing, "what is not there can be made");
    assert_eq!(meets(None, VERSION_STEP_MAX, &published("x")), Meets::Nothing, "a high first one");
    assert_eq!(
        meets(None, VERSION_STEP_MAX + 1, &published("x")),
        Meets::TooFarAhead,
        "too high a first one"
    );
    let far = Known { version: u32::MAX - 1, ..known() };
    assert_eq!(
        meets(Some(&far), u32::MAX, &published("x")),
        Meets::Earlier,
        "recorded before there was a bound"
    );
    let unsaid = Known { said: VersionFingerprints::default(), ..known() };
    assert_eq!(meets(Some(&unsaid), 3, &published("x")), Meets::Stale, "nobody knows what it said");
    let twice = Publication { is_redelivered: true, ..published("one") };
    assert_eq!(meets(Some(&known()), 1, &twice), Meets::Stale, "delivered twice, it is not known either");
}

#[test]
fn a_fingerprint_is_of_everything_but_the_time() {
    let one = print("t", NOON);
    for (why, other, expected) in [
        ("itself", print("t", NOON), true),
        ("another title", print("u", NOON), false),
        ("a policy", Fingerprint::of(&content("t", NOON), Some("critical")), false),
        ("no JSON", Fingerprint::of("t", None), false),
    ] {
        assert_eq!(one.hash == other.hash, expected, "{why}");
    }
    assert_eq!(print("t", NOON).hash, print("t", LATER).hash);
    let reordered = format!(r#"{{"occurred_at":"{NOON}","severity":"warning","title":"t","id":"otp"}}"#);
    assert_eq!(Fingerprint::of(&reordered, None), one, "the order of fields says nothing");
}

#[test]
fn what_was_said_reads_back_and_is_bounded() {
    let mut said = VersionFingerprints::default();
    for version in 1..=20 {
        said.add(version, Fingerprint::of(&version.to_string(), None));
    }
    said.add(20, print("too late", NOON));
    assert_eq!(VersionFingerprints::read(&said.to_string()), said);
    assert_eq!(said.0.keys().copied().collect::<Vec<_>>(), (5..=20).collect::<Vec<_>>(), "the latest stay");
    assert_eq!(said.0[&20], Fingerprint::of("20", None), "what came first stays");
    let dated = VersionFingerprints(BTreeMap::from([(1, print("t", NOON))]));
    assert_eq!(VersionFingerprints::read(&dated.to_string()), dated);
    for (why, text) in [("nothing", ""), ("another form", "1:zz@ x:y 2"), ("no time", "1:00@no")] {
        assert_eq!(VersionFingerprints::read(text), VersionFingerprints::default(), "{why}");
    }
}
