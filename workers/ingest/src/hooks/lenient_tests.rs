//! What the lenient readers take, in tables.

#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

#[test]
fn a_text_is_a_text_a_number_or_a_boolean() {
    for (given, expected) in [
        (json!("disk"), Some("disk")),
        (json!(7), Some("7")),
        (json!(0.5), Some("0.5")),
        (json!(true), Some("true")),
        (json!(null), None),
        (json!(" \n"), None),
        (json!(""), None),
        (json!("\u{200b}\u{3164}\u{fe0f}\u{202e}"), None),
        (json!(["disk"]), None),
        (json!({"a": 1}), None),
    ] {
        assert_eq!(text_of(&given).as_deref(), expected, "{given}");
    }
}

#[test]
fn what_is_not_there_or_null_on_the_way_is_absent() {
    let value = json!({"a": {"b": null, "c": 7}, "d": [1], "e": "x"});
    for (path, expected) in
        [("a.c", Some("7")), ("a.b", None), ("a.b.c", None), ("x.y", None), ("d.0", None), ("e", Some("x"))]
    {
        assert_eq!(text(&value, path).as_deref(), expected, "{path}");
    }
    assert_eq!(first_text(&value, &["a.b", "a.c"]).as_deref(), Some("7"));
    assert_eq!((list(&value, "d").len(), list(&value, "e").len(), list(&value, "a.b").len()), (1, 1, 0));
}

#[test]
fn labels_are_texts_and_the_rest_is_counted() {
    let (found, left_out) =
        texts(Some(&json!({"port": 443, "up": false, "none": null, "empty": "", "deep": {}})));
    assert_eq!(json!(found), json!({"port": "443", "up": "false", "empty": ""}));
    assert_eq!(left_out, 1);
    assert_eq!(texts(Some(&json!("x"))).0.len(), 0);
    assert_eq!(texts(None).0.len(), 0);
}

#[test]
fn a_time_is_read_however_it_is_written() {
    let noon = "2026-11-21T12:00:00Z";
    for (given, expected) in [
        (json!("2026-11-21T12:00:00Z"), Some(noon)),
        (json!("2026-11-21T13:00:00+01:00"), Some(noon)),
        (json!("2026-11-21T12:00:00+0000"), Some(noon)),
        (json!("2026-11-21T12:00:00.5+0000"), Some("2026-11-21T12:00:00.5Z")),
        (json!("2026-11-21T14:00:00+0200"), Some(noon)),
        (json!("2026-11-21 12:00:00"), Some(noon)),
        (json!("2026-11-21T12:00:00"), Some(noon)),
        (json!("2026-11-21 12:00:00 UTC"), Some(noon)),
        (json!("2026-11-21 12:00:00 +0000"), Some(noon)),
        (json!("2026-11-21 12:00:00 +0000 UTC"), Some(noon)),
        (json!("2026-11-21 12:00:00.25 +0000 UTC m=+0.0001"), Some("2026-11-21T12:00:00.25Z")),
        (json!("2026-11-21T12:00:00 UTC"), Some(noon)),
        (json!("2026-11-21T12:00:00Z "), Some(noon)),
        (json!("Sat, 21 Nov 2026 12:00:00 GMT"), Some(noon)),
        (json!("Sat, 21 Nov 2026 12:00:00 UTC"), Some(noon)),
        (json!("Sat, 21 Nov 2026 13:00:00 +0100"), Some(noon)),
        (json!("21 Nov 2026 12:00:00 +0000"), Some(noon)),
        (json!("Sat Nov 21 12:00:00 2026"), Some(noon)),
        (json!("2026-11-21"), Some("2026-11-21T00:00:00Z")),
        (json!(1_795_262_400), Some(noon)),
        (json!(1_795_262_400_000_i64), Some(noon)),
        (json!(1_795_262_400.5), Some("2026-11-21T12:00:00.5Z")),
        (json!("1795262400"), Some(noon)),
        (json!("1795262400000"), Some(noon)),
        (json!(1_795_262_400_000_000_i64), Some(noon)),
        (json!(1_795_262_400_000_000_000_i64), Some(noon)),
        (json!("29/Nov/2026:08:00:00 +0000"), Some("2026-11-29T08:00:00Z")),
        (json!("29/Nov/2026:08:00:00 +0100"), Some("2026-11-29T07:00:00Z")),
        (json!("Sunday, 29-Nov-26 08:00:00 GMT"), Some("2026-11-29T08:00:00Z")),
        (json!("0001-01-01T00:00:00Z"), None),
        (json!(0), None),
        (json!(2026), None),
        (json!("7"), None),
        (json!(-5), None),
        (json!("yesterday"), None),
        (json!(""), None),
        (json!("e"), None),
        (json!(true), None),
        (json!(null), None),
    ] {
        let expected: Option<Timestamp> = expected.map(|text| text.parse().unwrap());
        assert_eq!(time_of(&given), expected, "{given}");
    }
}

#[test]
fn a_severity_is_the_nearest_of_ours() {
    for (words, expected) in [
        (
            &[
                "critical",
                "Critical",
                "CRIT",
                "page",
                "fatal",
                "error",
                "Disaster",
                "P1",
                "p1",
                "SEV-1",
                "sev 1",
                "[High]",
                "P1 - Critical",
                "emergency",
                "catastrophic",
                "Immediate",
                "DOWN",
                "0",
                " 1 ",
            ][..],
            Severity::Critical,
        ),
        (&["warning", "warn", "Average", "P2", "SEV3", "minor", "", "banana", "7"], Severity::Warning),
        (&["info", "INFO", "informational", "none", "ok", "debug", "notice", "low", "P5"], Severity::Info),
    ] {
        for word in words {
            assert_eq!(severity(word), expected, "{word}");
        }
    }
}

#[test]
fn a_status_is_firing_unless_it_is_known_to_be_something_else() {
    for (words, expected) in [
        (&["firing", "open", "alerting", "problem", "down", "", "gone"][..], Status::Firing),
        (&["resolved", "OK", "Recovered", "closed", "up"], Status::Resolved),
        (&["acknowledged", "ACK", "in progress", "in_progress"], Status::Acknowledged),
        (&["suppressed", "muted"], Status::Suppressed),
    ] {
        for word in words {
            assert_eq!(status(word), expected, "{word}");
        }
    }
}

#[test]
fn a_number_is_read_however_it_is_written() {
    for (given, expected) in [
        (json!(1), Some(1)),
        (json!(1.0), Some(1)),
        (json!(true), Some(1)),
        (json!(false), Some(0)),
        (json!("1"), Some(1)),
        (json!(" 1.00 "), Some(1)),
        (json!("-3"), Some(-3)),
        (json!(1.5), None),
        (json!("one"), None),
        (json!(""), None),
        (json!(null), None),
        (json!([1]), None),
    ] {
        assert_eq!(number(&json!({"n": given}), "n"), expected, "{given}");
    }
}
