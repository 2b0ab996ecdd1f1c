//! How a duration is written, and which variables are ours. What is refused is in the tests of whoever loads all sections.

#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_duration_says_its_unit() {
    for (text, expected) in [
        ("250ms", Some(250)),
        ("30s", Some(30_000)),
        ("5m", Some(300_000)),
        ("24h", Some(86_400_000)),
        ("7d", Some(604_800_000)),
        ("0s", Some(0)),
        ("1.5s", Some(1_500)),
        ("1h 30m", Some(5_400_000)),
        ("2 hours", Some(7_200_000)),
        ("PT30S", Some(30_000)),
        ("87600h", Some(315_360_000_000)),
        ("87601h", None),
        ("99999999999999999999h", None),
        ("1month", None),
        ("30", None),
        ("s", None),
        ("-1s", None),
        ("30s ago", None),
        (" 30s", None),
        ("", None),
    ] {
        assert_eq!(values::parse_duration(text).map(|d| d.as_millis() as u64), expected, "{text}");
    }
    for (text, expected) in [
        ("87601h", values::InvalidDuration::TooLong),
        ("100000d", values::InvalidDuration::TooLong),
        ("soon", values::InvalidDuration::NotOne),
        ("-1s", values::InvalidDuration::NotOne),
    ] {
        assert_eq!(values::read_duration(text), Err(expected), "{text}");
    }
    for text in ["0s", "250ms", "30s", "5m", "24h", "720h"] {
        assert_eq!(values::written_duration(values::parse_duration(text).unwrap()), text);
    }
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};
    let broken = || OsString::from_vec(vec![0xff]);
    let others = [("PATH".into(), broken()), (broken(), "x".into())];
    assert_eq!(environment(others).unwrap(), []);
    let alike = [("WATCHBELL_STORE_URL".into(), broken()), ("WATCHBELLS".into(), "x".into())];
    assert_eq!(environment(alike).unwrap(), [("WATCHBELL_STORE_URL".to_owned(), String::new())]);
    let ours = [("WATCHBELL__AUTH__AUDIENCE".into(), broken())];
    let refused = environment(ours).unwrap_err().to_string();
    assert_eq!(refused, "WATCHBELL__AUTH__AUDIENCE: must be a text in UTF-8");
}
