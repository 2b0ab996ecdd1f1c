//! Moments as people and programs write them: RFC 3339.

use jiff::{Timestamp, civil::date, fmt::temporal::Pieces};

use crate::domain::LAST_MOMENT;

/// The text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 time such as 2026-11-21T12:00:00Z")]
pub struct NotATime;

/// Reads a moment. Many write the last second of the year 9999 for `never`, which is a day more than a [`Timestamp`] goes: it
/// is the last second there is. <https://docs.rs/jiff/0.2/jiff/struct.Timestamp.html#associatedconstant.MAX>
///
/// # Errors
/// It has no offset, no time of day, or is no time at all.
pub fn time_of(text: &str) -> Result<Timestamp, NotATime> {
    let at: Option<Timestamp> = text.parse().ok();
    at.map(|at| at.min(LAST_MOMENT)).or_else(|| end_of_time(text)).ok_or(NotATime)
}

fn end_of_time(text: &str) -> Option<Timestamp> {
    let pieces = Pieces::parse(text).ok()?;
    let is_whole = pieces.time().is_some() && pieces.offset().is_some();
    let is_late = pieces.date() >= date(9999, 12, 30);
    (is_whole && is_late).then_some(LAST_MOMENT)
}

#[test]
fn a_moment_is_read_up_to_the_end_of_the_year_9999() {
    let last = Some("9999-12-30T22:00:00Z");
    for (text, expected) in [
        ("2026-11-30T12:00:00Z", Some("2026-11-30T12:00:00Z")),
        ("2026-11-30T12:00:00+02:00", Some("2026-11-30T10:00:00Z")),
        ("9999-12-30T22:00:00.999999999Z", last),
        ("9999-12-31T23:59:59Z", last),
        ("9999-12-31T23:59:59.999-08:00", last),
        ("9999-12-31", None),
        ("9999-12-31T23:59:59", None),
        ("10000-01-01T00:00:00Z", None),
        ("2026-11-30T12:00:00", None),
        ("yesterday", None),
        ("", None),
    ] {
        let read = time_of(text).ok().map(|at| at.to_string());
        assert_eq!(read.as_deref(), expected, "{text}");
        let kept = time_of(text).map_or(0, Timestamp::as_millisecond);
        assert!(Timestamp::from_millisecond(kept).is_ok(), "{text}: as stores keep it");
    }
}
