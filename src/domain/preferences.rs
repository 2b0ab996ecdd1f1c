//! What a person wants to be told, by which channel, and when not.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{Timestamp, civil::Time, civil::Weekday, tz::TimeZone};
use serde_json::{Value, json};

use super::{Channel, LAST_MOMENT, digest::Digest};

/// Categories one person may have an opinion on.
pub const CATEGORIES_MAX: usize = 200;
/// Quiet windows one person may have.
pub const WINDOWS_MAX: usize = 28;

/// What one person wants. The default wants everything, always.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preferences {
    /// Channels they want nothing by.
    pub channels_off: BTreeSet<Channel>,
    /// Channels they want nothing of that category by.
    pub categories_off: BTreeMap<String, BTreeSet<Channel>>,
    /// When they want to be left alone.
    pub quiet: QuietHours,
    /// How their mails come.
    pub digest: Digest,
}

impl Preferences {
    /// Whether they want nothing of that category by that channel.
    pub fn opted_out(&self, channel: Channel, category: Option<&str>) -> bool {
        let category = category.and_then(|category| self.categories_off.get(category));
        self.channels_off.contains(&channel) || category.is_some_and(|off| off.contains(&channel))
    }

    /// Until when a mail that came due at `due_at` is gathered; `None` when it is not. When a silence holds at the moment they chose, it is
    /// the silence's end. Messages of different people are spread over the minutes that follow ([`released_at`]).
    pub fn gathers_mails_until(&self, due_at: Timestamp, chance: f64) -> Option<Timestamp> {
        let moment =
            self.digest.moment(&due_at.to_zoned(self.quiet.zone.clone().unwrap_or(TimeZone::UTC)))?;
        Some(released_at(self.quiet.ends_at(moment).unwrap_or(moment), chance))
    }
}

/// What holds for a person, as JSON: what they said, and where they said nothing, what their backend says. It goes field by field,
/// and a list counts as one field. The zone is that of their days, unless either says another.
pub fn holding(own: Option<&str>, defaults: Option<&str>, time_zone: Option<&str>) -> Option<String> {
    if defaults.is_none() && time_zone.is_none() {
        return own.map(str::to_owned);
    }
    let read = |text: Option<&str>| match text.map(serde_json::from_str::<Value>) {
        None => Some(Value::Null),
        Some(read) => read.ok(),
    };
    // What a newer version wrote is not ours to change.
    let Some(own_read) = read(own) else { return own.map(str::to_owned) };
    let mut all = match time_zone {
        Some(zone) => json!({"quiet": {"zone": zone}}),
        None => json!({}),
    };
    lay_over(&mut all, read(defaults).unwrap_or_default());
    lay_over(&mut all, own_read);
    Some(all.to_string())
}

/// Puts what is said over what was there. Nothing is said by `null`.
fn lay_over(all: &mut Value, said: Value) {
    match (all, said) {
        (_, Value::Null) => {}
        (Value::Object(all), Value::Object(said)) => {
            for (name, value) in said {
                lay_over(all.entry(name).or_insert(Value::Null), value);
            }
        }
        (all, said) => *all = said,
    }
}

/// When somebody wants to be left alone: until a moment, and in windows of their day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuietHours {
    /// Do not disturb until then.
    pub until: Option<Timestamp>,
    /// Where their days are; UTC when they did not say.
    pub zone: Option<TimeZone>,
    /// Every week.
    pub windows: Vec<QuietWindow>,
}

/// A window of the day. One that ends at or before its beginning ends on the day after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietWindow {
    /// The days on which it begins.
    pub days: Vec<Weekday>,
    /// When it begins, on the clock of their zone.
    pub from: Time,
    /// When it ends.
    pub to: Time,
}

const DAY_MINUTES: usize = 24 * 60;
const WEEK_MINUTES: usize = 7 * DAY_MINUTES;

/// Windows that follow each other without a gap are one silence; more than a week of them is looked at again then.
const LINKED_MAX: usize = 16;

impl QuietHours {
    /// When the silence that holds at `now` ends; `None` when there is none. Windows that touch are one silence.
    ///
    /// A time that the clock skips (DST begins) counts as the moment after the skip; one that it shows twice (DST ends)
    /// as the first of the two. So a window never vanishes and never comes twice.
    pub fn ends_at(&self, now: Timestamp) -> Option<Timestamp> {
        let mut end = now;
        for _ in 0..LINKED_MAX {
            match self.until.into_iter().chain(self.windows_at(end)).filter(|to| *to > end).max() {
                Some(later) => end = later,
                None => break,
            }
        }
        (end > now).then_some(end)
    }

    /// Whether the windows leave no minute of an ordinary week.
    pub fn is_always(&self) -> bool {
        let mut silent = vec![false; WEEK_MINUTES];
        for window in &self.windows {
            let minute = |time: Time| time.hour() as usize * 60 + time.minute() as usize;
            let (from, to) = (minute(window.from), minute(window.to));
            let length = if to > from { to - from } else { to + DAY_MINUTES - from };
            for day in &window.days {
                let begin = day.to_monday_zero_offset() as usize * DAY_MINUTES + from;
                (begin..begin + length).for_each(|minute| silent[minute % WEEK_MINUTES] = true);
            }
        }
        silent.into_iter().all(|minute| minute)
    }

    /// The ends of the windows that hold at `now`.
    fn windows_at(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let today = now.to_zoned(zone.clone()).date();
        // One that began yesterday may go on over midnight.
        let days = [today.yesterday().ok(), Some(today)].into_iter().flatten();
        days.flat_map(move |day| {
            let zone = zone.clone();
            self.windows.iter().filter_map(move |window| {
                if !window.days.contains(&day.weekday()) {
                    return None;
                }
                let last_day = if window.to <= window.from { day.tomorrow().ok()? } else { day };
                let from = day.to_datetime(window.from).to_zoned(zone.clone()).ok()?.timestamp();
                let to = last_day.to_datetime(window.to).to_zoned(zone.clone()).ok()?.timestamp();
                (from <= now && now < to).then_some(to)
            })
        })
    }
}

/// How far to stay away from the quarter hours: everybody else's schedules fire there, and Google asks for it:
/// <https://firebase.google.com/docs/cloud-messaging/scale-fcm>.
const QUARTER: i64 = 15 * 60;
const CLEAR_OF_QUARTER: i64 = 2 * 60;
/// The least time over which releases are spread.
const SPREAD_MIN: i64 = 5 * 60;

/// When something that waited for the end of a silence goes out: soon after, clear of the quarter hours, spread by
/// `chance` in 0..1. Every zone is a whole number of quarters from UTC, so UTC's quarters are everybody's.
pub fn released_at(silence_ends: Timestamp, chance: f64) -> Timestamp {
    let end = silence_ends.as_millisecond().div_euclid(1000) + 1;
    let quarter = end - end.rem_euclid(QUARTER);
    let window = |quarter: i64| (quarter + CLEAR_OF_QUARTER, quarter + QUARTER - CLEAR_OF_QUARTER);
    let (from, to) = window(quarter);
    let from = from.max(end);
    let (from, to) = if to - from >= SPREAD_MIN { (from, to) } else { window(quarter + QUARTER) };
    let spread_ms = ((to - from) * 1000) as f64 * chance.clamp(0.0, 0.999);
    let at = Timestamp::from_second(from).unwrap_or(silence_ends);
    // Some silences end with the last moment there is.
    at.checked_add(Duration::from_millis(spread_ms as u64)).map_or(LAST_MOMENT, |at| at.min(LAST_MOMENT))
}

#[cfg(test)]
#[path = "preferences_tests.rs"]
mod tests;
