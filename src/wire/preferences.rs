//! Preferences as people's clients write and read them, and as the store keeps them.
//!
//! ```json
//! {"channels": {"email": false},
//!  "categories": {"news": {"push": false}},
//!  "quiet": {"until": "2026-06-01T10:00:00Z", "zone": "Europe/Warsaw",
//!            "windows": [{"days": ["mon", "tue"], "from": "23:00", "to": "07:00"}]},
//!  "digest": {"every": "day", "at": "08:00"}}
//! ```

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use jiff::{
    civil::{Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{AdditionalProperties, ObjectBuilder, Schema, Type},
    },
};

use super::{
    alert::{InvalidAlert, null_is_absent},
    schema,
    time::time_of,
};
use crate::domain::{
    Channel, PerChannel,
    alert::UnknownWord,
    digest::{Digest, DigestEvery},
    preferences::{CATEGORIES_MAX, Preferences, QuietHours, QuietWindow, WINDOWS_MAX},
    text::is_line,
};

/// A category's name, in bytes.
const CATEGORY_BYTES_MAX: usize = 256;
/// The days as they are written, from Monday.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What a person wants. What is left out is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(
    as = Preferences,
    description = "Channels, channels by category, quiet hours, and how mails are gathered. What is left out is wanted; unknown fields are refused."
)]
pub struct PreferencesV1 {
    /// Whether they want anything by a channel.
    #[serde(skip_serializing_if = "ChannelsV1::is_empty", deserialize_with = "null_is_absent")]
    #[schema(value_type = Option<ChannelsV1>)]
    pub channels: ChannelsV1,
    /// Whether they want a category by a channel.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_absent")]
    #[schema(value_type = Categories)]
    pub categories: BTreeMap<String, ChannelsV1>,
    /// When they want to be left alone.
    #[serde(skip_serializing_if = "QuietV1::is_empty", deserialize_with = "null_is_absent")]
    #[schema(value_type = Option<QuietV1>)]
    pub quiet: QuietV1,
    /// How mails come.
    #[serde(skip_serializing_if = "DigestV1::is_empty", deserialize_with = "null_is_absent")]
    #[schema(value_type = Option<DigestV1>)]
    pub digest: DigestV1,
}

/// Yes or no for each channel, as an object of their words. The inbox cannot be turned off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelsV1(PerChannel<Option<bool>>);

impl ChannelsV1 {
    /// Says whether something is wanted by a channel.
    pub fn set(&mut self, channel: Channel, wanted: bool) {
        self.0[channel] = Some(wanted);
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn off(self) -> BTreeSet<Channel> {
        self.0.iter().filter(|(_, wanted)| **wanted == Some(false)).map(|(channel, _)| channel).collect()
    }

    fn without(off: &BTreeSet<Channel>) -> Self {
        Self(PerChannel::of(|channel| off.contains(&channel).then_some(false)))
    }
}

impl Serialize for ChannelsV1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let said = self.0.iter().filter_map(|(channel, wanted)| Some((channel.as_str(), (*wanted)?)));
        serializer.collect_map(said)
    }
}

impl<'de> Deserialize<'de> for ChannelsV1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut channels = PerChannel::default();
        for (word, wanted) in BTreeMap::<String, Option<bool>>::deserialize(deserializer)? {
            let channel: Result<Channel, _> = word.parse();
            let channel = channel.map_err(|_| D::Error::unknown_field(&word, Channel::WORDS))?;
            channels[channel] = wanted;
        }
        Ok(Self(channels))
    }
}

/// When somebody wants to be left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = QuietHours)]
pub struct QuietV1 {
    /// Do not disturb until then, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// Where their days are, by its IANA name such as `Europe/Warsaw`; UTC when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "watchbell-zone")]
    pub zone: Option<String>,
    /// Every week. One that ends at or before its beginning ends on the day after.
    /// An empty list takes away those that a backend gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Windows)]
    pub windows: Option<Vec<WindowV1>>,
}

impl QuietV1 {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How mails come: what one mail is for. What is mandatory or critical is not gathered, nor what the policy would go on with by another
/// channel, nor what expires before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Digest)]
pub struct DigestV1 {
    /// `alert`: each comes by itself. `hour`: what came is told at the next full hour. `day`: at a time of their day. When left out, the
    /// installation's window holds, by default two minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = DigestWord)]
    pub every: Option<String>,
    /// At which time of the day, for `day`, on the clock of `quiet.zone`; `08:00` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub at: Option<String>,
}

impl DigestV1 {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn read(&self) -> Result<Digest, InvalidAlert> {
        let every = self.every.as_deref().map(str::parse).transpose();
        Ok(Digest {
            every: every
                .map_err(|unknown: UnknownWord| InvalidAlert::new("digest.every", unknown.to_string()))?,
            at: self.at.as_deref().map(|text| time_of_day("digest.at", text)).transpose()?,
        })
    }

    fn write(digest: &Digest) -> Self {
        Self {
            every: digest.every.map(|every| every.to_string()),
            at: digest.at.map(|at| at.strftime("%H:%M").to_string()),
        }
    }
}

/// A window of the day; one that ends at or before its beginning ends on the day after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuietWindow)]
pub struct WindowV1 {
    /// On which days it begins: `mon` to `sun`; every day when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_absent")]
    #[schema(value_type = Days)]
    pub days: Vec<String>,
    /// `23:00`
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub from: String,
    /// `07:00`
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub to: String,
}

crate::schemas! {
    /// Channels by category, or `null`.
    Categories = schema::or_null(Type::Object)
        .max_properties(Some(CATEGORIES_MAX))
        .property_names(Some(
            schema::text()
                .min_length(Some(1))
                .max_length(Some(CATEGORY_BYTES_MAX))
                .pattern(Some(schema::line_with_more_than("")))
                .format(Some(schema::format("watchbell-id"))),
        ))
        .additional_properties(Some(schema::of::<ChannelsV1>())), with ChannelsV1;
    /// Windows of the week, or `null`.
    Windows = schema::list_or_null(schema::of::<WindowV1>())
        .max_items(Some(WINDOWS_MAX))
        .description(Some("Together they leave some minute of the week.")), with WindowV1;
    /// Days of the week, or `null`.
    Days = schema::list_or_null(schema::one_of(&DAYS));
    /// What one mail is for, or `null`.
    DigestWord = schema::one_of_or_null(DigestEvery::WORDS);
}

impl PartialSchema for ChannelsV1 {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("Whether it is wanted by this channel; what is left out is."))
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
        let wanted = || schema::or_null(Type::Boolean);
        Channel::WORDS.iter().fold(object, |object, word| object.property(*word, wanted())).into()
    }
}

impl ToSchema for ChannelsV1 {
    fn name() -> Cow<'static, str> {
        "Channels".into()
    }
}

impl PreferencesV1 {
    /// What it says, checked.
    ///
    /// # Errors
    /// Names the first field at fault.
    pub fn read(&self) -> Result<Preferences, InvalidAlert> {
        if self.categories.len() > CATEGORIES_MAX {
            return Err(InvalidAlert::new("categories", format!("at most {CATEGORIES_MAX} are accepted")));
        }
        if let Some(name) =
            self.categories.keys().find(|name| name.is_empty() || name.len() > CATEGORY_BYTES_MAX)
        {
            let problem = format!("must have 1 to {CATEGORY_BYTES_MAX} bytes, has {}", name.len());
            return Err(InvalidAlert::new("categories", problem));
        }
        if self.categories.keys().any(|name| name.contains('\0')) {
            return Err(InvalidAlert::new("categories", "must not contain NUL"));
        }
        Ok(Preferences {
            channels_off: self.channels.off(),
            categories_off: self
                .categories
                .iter()
                .map(|(name, wanted)| (name.clone(), wanted.off()))
                .collect(),
            quiet: self.quiet.read()?,
            digest: self.digest.read()?,
        })
    }

    /// The same for what somebody says now. What was stored before these rules is read by [`Self::read`].
    ///
    /// # Errors
    /// Names the first field at fault: as for [`Self::read`], and windows that leave no minute of the week, or a category whose
    /// name nobody can see.
    pub fn accept(&self) -> Result<Preferences, InvalidAlert> {
        let preferences = self.read()?;
        if !self.categories.keys().all(|name| is_line(name)) {
            let problem =
                "names must not contain control characters, and must have something that can be seen";
            return Err(InvalidAlert::new("categories", problem));
        }
        if preferences.quiet.is_always() {
            let problem = "leave no minute of the week, so nothing would ever come: leave some time free, or say under \
                           `channels` what is not wanted";
            return Err(InvalidAlert::new("quiet.windows", problem));
        }
        Ok(preferences)
    }

    /// What somebody wants, as it is written.
    pub fn write(preferences: &Preferences) -> Self {
        let categories = preferences.categories_off.iter();
        Self {
            channels: ChannelsV1::without(&preferences.channels_off),
            categories: categories.map(|(name, off)| (name.clone(), ChannelsV1::without(off))).collect(),
            quiet: QuietV1::write(&preferences.quiet),
            digest: DigestV1::write(&preferences.digest),
        }
    }

    /// What somebody wrote, in its one form: `checked` is what it says. What is wanted explicitly, and that there are no windows, is
    /// kept, because it counts against what a backend says.
    #[must_use]
    pub fn in_one_form(self, checked: &Preferences) -> Self {
        let mut form = Self::write(checked);
        if self.quiet.windows.as_ref().is_some_and(Vec::is_empty) {
            form.quiet.windows = Some(Vec::new());
        }
        Self { channels: self.channels, categories: self.categories, quiet: form.quiet, digest: form.digest }
    }

    /// What the store keeps.
    pub fn encode(&self) -> String {
        // Text, numbers and maps with text keys always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the store kept. `None` for what a newer version wrote: the person is then told everything.
    pub fn decode(stored: &str) -> Option<Self> {
        serde_json::from_str(stored).ok()
    }
}

/// What the store keeps of somebody's preferences, read; the default for nobody's and for what cannot be read.
pub fn stored_preferences(stored: Option<&str>) -> Preferences {
    stored.and_then(PreferencesV1::decode).and_then(|written| written.read().ok()).unwrap_or_default()
}

impl QuietV1 {
    fn read(&self) -> Result<QuietHours, InvalidAlert> {
        let until = self.until.as_deref().map(time_of).transpose();
        let zone = self.zone.as_deref().map(TimeZone::get).transpose();
        let windows = self.windows.as_deref().unwrap_or_default();
        if windows.len() > WINDOWS_MAX {
            return Err(InvalidAlert::new("quiet.windows", format!("at most {WINDOWS_MAX} are accepted")));
        }
        let windows: Result<_, _> = windows
            .iter()
            .enumerate()
            .map(|(at, window)| window.read(&format!("quiet.windows[{at}]")))
            .collect();
        Ok(QuietHours {
            until: until.map_err(|error| InvalidAlert::new("quiet.until", error.to_string()))?,
            zone: zone.map_err(|_| {
                InvalidAlert::new("quiet.zone", "must be the name of a time zone, such as Europe/Warsaw")
            })?,
            windows: windows?,
        })
    }

    fn write(quiet: &QuietHours) -> Self {
        Self {
            until: quiet.until.map(|until| until.to_string()),
            zone: quiet.zone.as_ref().and_then(TimeZone::iana_name).map(str::to_owned),
            windows: match quiet.windows.is_empty() {
                true => None,
                false => Some(quiet.windows.iter().map(WindowV1::write).collect()),
            },
        }
    }
}

fn time_of_day(field: &str, text: &str) -> Result<Time, InvalidAlert> {
    let time = Time::strptime("%H:%M", text);
    time.map_err(|_| InvalidAlert::new(field, "must be a time of day, such as 23:00"))
}

impl WindowV1 {
    fn read(&self, field: &str) -> Result<QuietWindow, InvalidAlert> {
        let time = |name: &str, text: &str| time_of_day(&format!("{field}.{name}"), text);
        let day = |day: &String| {
            let number = DAYS
                .iter()
                .position(|known| known == day)
                .map(|at| Weekday::from_monday_zero_offset(at as i8));
            number.and_then(Result::ok).ok_or_else(|| {
                InvalidAlert::new(format!("{field}.days"), format!("must be of {}", DAYS.join(", ")))
            })
        };
        let every_day = || Weekday::Monday.cycle_forward().take(DAYS.len()).collect();
        let days = match self.days.is_empty() {
            true => every_day(),
            false => self.days.iter().map(day).collect::<Result<_, _>>()?,
        };
        Ok(QuietWindow { days, from: time("from", &self.from)?, to: time("to", &self.to)? })
    }

    fn write(window: &QuietWindow) -> Self {
        let days = window.days.iter().map(|day| DAYS[day.to_monday_zero_offset() as usize].to_owned());
        let time = |time: Time| time.strftime("%H:%M").to_string();
        Self { days: days.collect(), from: time(window.from), to: time(window.to) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Preferences, String> {
        let written: PreferencesV1 = serde_json::from_str(json).map_err(|error| error.to_string())?;
        written.read().map_err(|error| error.to_string())
    }

    #[test]
    fn null_counts_as_left_out() {
        for json in [
            r#"{"channels": null, "categories": null, "quiet": null, "digest": null}"#,
            r#"{"digest": {"every": null, "at": null}}"#,
            r#"{"quiet": {"until": null, "zone": null, "windows": null}}"#,
            r#"{"channels": {"push": null}}"#,
        ] {
            let read: PreferencesV1 = serde_json::from_str(json).unwrap();
            assert_eq!(read, PreferencesV1::default(), "{json}");
        }
        let window: WindowV1 =
            serde_json::from_str(r#"{"days": null, "from": "23:00", "to": "07:00"}"#).unwrap();
        assert!(window.days.is_empty());
    }

    #[test]
    fn what_is_written_reads_back() {
        let json = r#"{"channels":{"email":false},"categories":{"news":{"push":false}},"quiet":{"until":"2026-06-01T10:00:00Z","zone":"Europe/Warsaw","windows":[{"days":["sat","sun"],"from":"22:30","to":"09:00"}]},"digest":{"every":"day","at":"07:30"}}"#;
        let preferences = parse(json).unwrap();
        assert!(
            preferences.opted_out(Channel::Email, None) && preferences.opted_out(Channel::Push, Some("news"))
        );
        assert_eq!(preferences.quiet.windows[0].days, [Weekday::Saturday, Weekday::Sunday]);
        assert_eq!(PreferencesV1::write(&preferences).encode(), json);
        assert_eq!(stored_preferences(Some(json)), preferences);
        assert_eq!(parse("{}").unwrap(), Preferences::default());
        assert_eq!(PreferencesV1::write(&Preferences::default()).encode(), "{}");
    }

    #[test]
    fn every_day_is_what_is_meant_by_no_day() {
        let quiet = parse(r#"{"quiet":{"windows":[{"from":"00:00","to":"06:00"}]}}"#).unwrap().quiet;
        assert_eq!(quiet.windows[0].days.len(), 7);
    }

    #[test]
    fn a_refusal_names_the_field() {
        for (json, expected) in [
            (r#"{"quiet":{"zone":"Mars/Olympus"}}"#, "quiet.zone: must be the name of a time zone"),
            (r#"{"quiet":{"until":"tomorrow"}}"#, "quiet.until: must be an RFC 3339 time"),
            (
                r#"{"quiet":{"windows":[{"from":"25:00","to":"06:00"}]}}"#,
                "quiet.windows[0].from: must be a time of day",
            ),
            (
                r#"{"quiet":{"windows":[{"days":["someday"],"from":"22:00","to":"06:00"}]}}"#,
                "quiet.windows[0].days: must be of mon",
            ),
            (r#"{"categories":{"":{"push":false}}}"#, "categories: must have 1 to 256 bytes"),
            (r#"{"digest":{"every":"year"}}"#, "digest.every: must be one of alert, hour, day"),
            (r#"{"digest":{"every":"day","at":"noon"}}"#, "digest.at: must be a time of day"),
            (r#"{"digest":{"when":"noon"}}"#, "unknown field `when`"),
            (r#"{"channels":{"fax":false}}"#, "unknown field `fax`"),
        ] {
            let refusal = parse(json).unwrap_err();
            assert!(refusal.contains(expected), "{json}: {refusal}");
        }
    }

    #[test]
    fn what_is_said_now_leaves_some_time_and_can_be_seen() {
        const DAYS_BUT_ONE: &str = r#""days":["mon","tue","wed","thu","fri","sat"]"#;
        let windows = |windows: &str| format!(r#"{{"quiet":{{"windows":[{windows}]}}}}"#);
        let always = "quiet.windows: leave no minute of the week";
        for (why, json, expected) in [
            ("every night", windows(r#"{"from":"22:00","to":"07:00"}"#), None),
            ("all of Saturday", windows(r#"{"days":["sat"],"from":"00:00","to":"00:00"}"#), None),
            (
                "all days but one",
                windows(&format!(r#"{{{DAYS_BUT_ONE},"from":"00:00","to":"00:00"}}"#)),
                None,
            ),
            ("one and the same time", windows(r#"{"from":"08:00","to":"08:00"}"#), Some(always)),
            (
                "two that meet",
                windows(r#"{"from":"22:00","to":"07:00"},{"from":"07:00","to":"22:00"}"#),
                Some(always),
            ),
            (
                "two that overlap",
                windows(r#"{"from":"20:00","to":"09:00"},{"from":"06:00","to":"21:00"}"#),
                Some(always),
            ),
            ("a minute is left", windows(r#"{"from":"08:00","to":"07:59"}"#), None),
            (
                "days that follow each other",
                windows(&format!(
                    r#"{{{DAYS_BUT_ONE},"from":"12:00","to":"12:00"}},{{"days":["sun"],"from":"12:00","to":"12:00"}}"#
                )),
                Some(always),
            ),
            ("until for ever", r#"{"quiet":{"until":"9999-12-31T23:59:59Z"}}"#.to_owned(), None),
            ("a category", r#"{"categories":{"news":{"push":false}}}"#.to_owned(), None),
            (
                "a category that nobody sees",
                r#"{"categories":{"\u200b ":{"push":false}}}"#.to_owned(),
                Some(
                    "categories: names must not contain control characters, and must have something that can be seen",
                ),
            ),
        ] {
            let written: PreferencesV1 = serde_json::from_str(&json).unwrap();
            assert!(written.read().is_ok(), "{why}: one that is stored is read");
            match (written.accept().map_err(|error| error.to_string()), expected) {
                (Ok(_), None) => {}
                (Err(problem), Some(expected)) => assert!(problem.contains(expected), "{why}: {problem}"),
                (got, expected) => panic!("{why}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_everything_wanted() {
        assert_eq!(stored_preferences(Some(r#"{"of":"the future"}"#)), Preferences::default());
        assert_eq!(stored_preferences(None), Preferences::default());
    }
}
