//! How a person wants their mails: each by itself, or gathered until the next hour or a time of their day. Where they said nothing,
//! the installation's window holds ([`super::restraint`]).
//!
//! What holds here: the moment is computed from when the mail's step came due and never from now. So what missed its moment is not
//! put off to the next one again and again (I4).

use jiff::{Timestamp, ToSpan, Zoned, civil::Time};

use super::alert::words;

/// When gathered mails go out to whoever chose a day and no time of it.
pub const DAILY_AT: Time = Time::constant(8, 0, 0, 0);

/// What a person gets one mail for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestEvery {
    /// Each alert: mails are not gathered.
    Alert,
    /// What an hour brought.
    Hour,
    /// What a day brought.
    Day,
}

words!(DigestEvery { Alert = "alert", Hour = "hour", Day = "day" });

/// What a person chose. The default is the installation's window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    /// What they get one mail for.
    pub every: Option<DigestEvery>,
    /// At which time of their day, for [`DigestEvery::Day`].
    pub at: Option<Time>,
}

impl Digest {
    /// Until when a mail that came due at `due_at` is gathered; `None` when it is not: the next full hour on the clock of that zone, or the
    /// next time of their day that they chose.
    pub fn moment(&self, due_at: &Zoned) -> Option<Timestamp> {
        match self.every? {
            DigestEvery::Alert => None,
            DigestEvery::Hour => next_hour(due_at),
            DigestEvery::Day => next_time_of_day(due_at, self.at.unwrap_or(DAILY_AT)),
        }
    }
}

/// The next full hour on the clock of that zone, some of which are half an hour beside UTC's.
fn next_hour(after: &Zoned) -> Option<Timestamp> {
    let hour = after.with().minute(0).second(0).subsec_nanosecond(0).build().ok()?;
    Some(hour.checked_add(1.hour()).ok()?.timestamp())
}

/// When the clock of that zone next shows `time`. One that the clock skips (DST begins) counts as the moment after the skip, one that
/// it shows twice (DST ends) as the first of the two.
fn next_time_of_day(after: &Zoned, time: Time) -> Option<Timestamp> {
    let today = after.date();
    let days = [Some(today), today.tomorrow().ok()].into_iter().flatten();
    let moments = days.filter_map(|day| day.to_datetime(time).to_zoned(after.time_zone().clone()).ok());
    moments.map(|zoned| zoned.timestamp()).find(|moment| *moment > after.timestamp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn mails_are_gathered_until_the_moment_of_this_table() {
        let every = |every| Digest { every: Some(every), at: None };
        let daily =
            |hour, minute| Digest { at: Some(Time::constant(hour, minute, 0, 0)), ..every(DigestEvery::Day) };
        let (hour, day) = (every(DigestEvery::Hour), every(DigestEvery::Day));
        let no_day = Digest { every: None, ..daily(9, 0) };
        let warsaw = "Europe/Warsaw";
        for (why, digest, zone, due_at, expected) in [
            ("nothing was chosen", Digest::default(), warsaw, "2026-06-01T10:20:00Z", None),
            ("each by itself", every(DigestEvery::Alert), warsaw, "2026-06-01T10:20:00Z", None),
            ("a time without a day says nothing", no_day, warsaw, "2026-06-01T10:20:00Z", None),
            ("the next hour", hour, warsaw, "2026-06-01T10:20:00Z", Some("2026-06-01T11:00:00Z")),
            (
                "at the full hour, the one after",
                hour,
                warsaw,
                "2026-06-01T11:00:00Z",
                Some("2026-06-01T12:00:00Z"),
            ),
            ("half an hour off", hour, "Asia/Kolkata", "2026-06-01T10:20:00Z", Some("2026-06-01T10:30:00Z")),
            (
                "an hour that is shown twice is two",
                hour,
                warsaw,
                "2026-10-25T00:20:00Z",
                Some("2026-10-25T01:00:00Z"),
            ),
            ("eight, over there", day, warsaw, "2026-06-01T05:59:00Z", Some("2026-06-01T06:00:00Z")),
            (
                "after eight it is tomorrow's",
                day,
                warsaw,
                "2026-06-01T06:00:00Z",
                Some("2026-06-02T06:00:00Z"),
            ),
            (
                "at their own time",
                daily(18, 30),
                warsaw,
                "2026-06-01T06:00:00Z",
                Some("2026-06-01T16:30:00Z"),
            ),
            (
                "a skipped time is the moment after",
                daily(2, 30),
                warsaw,
                "2026-03-29T00:00:00Z",
                Some("2026-03-29T01:30:00Z"),
            ),
            (
                "one that is shown twice is the first",
                daily(2, 30),
                warsaw,
                "2026-10-24T23:00:00Z",
                Some("2026-10-25T00:30:00Z"),
            ),
        ] {
            let due_at = at(due_at).in_tz(zone).unwrap();
            assert_eq!(digest.moment(&due_at), expected.map(at), "{why}");
        }
    }
}
