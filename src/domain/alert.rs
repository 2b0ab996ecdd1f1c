//! The alert: what a producer wants people to learn.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;

use super::{Action, AlertId, GroupId, Tenant, UserId};

/// Bounds of an alert (I9). `wire` refuses what exceeds them, so code after it may rely on them.
pub mod bounds {
    /// One alert as JSON, in bytes.
    pub const ALERT_BYTES_MAX: usize = 64 * 1024;
    /// Users and groups named in one alert, before `everyone`.
    pub const RECIPIENTS_MAX: usize = 100_000;
    /// Labels of one alert.
    pub const LABELS_MAX: usize = 64;
    /// A label's name or value, in bytes.
    pub const LABEL_BYTES_MAX: usize = 1_024;
    /// The title, in characters: it has to fit a lock screen and a subject line.
    pub const TITLE_CHARS_MAX: usize = 256;
    /// The body, in characters.
    pub const BODY_CHARS_MAX: usize = 16_384;
    /// The address behind the alert, of its picture and of an action, in bytes.
    pub const URL_BYTES_MAX: usize = super::super::web_address::LINK_BYTES_MAX;
    /// The key of the group that the alert is shown in, in bytes.
    pub const GROUP_KEY_BYTES_MAX: usize = 256;
}

/// What a producer wants people to learn. Durable; the highest `version` of an `id` is the one shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// The idempotency key within the tenant.
    pub id: AlertId,
    /// Grows with every change of the same alert; the first is 1.
    pub version: u32,
    /// Whose alert it is: from the API key over HTTP, stated over AMQP.
    pub tenant: Tenant,
    /// Whom it is for.
    pub to: Audience,
    /// The system that noticed.
    pub source: Option<String>,
    /// The kind of alert, for preferences and templates.
    pub category: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub status: Status,
    /// One line that makes sense alone.
    pub title: String,
    /// More, for those who look.
    pub body: Option<String>,
    /// How the body is written.
    pub body_format: BodyFormat,
    /// Where to read on.
    pub url: Option<String>,
    /// A picture beside it, at an `https` address.
    pub image: Option<String>,
    /// Its buttons.
    pub actions: Vec<Action>,
    /// What filters look at.
    pub labels: BTreeMap<String, String>,
    /// Anything the team's own client understands; never looked into.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// The escalation policy by name; when absent, the rules of [`super::policy::Policies::name_for`] decide.
    pub policy: Option<String>,
    /// Pushes with the same key replace each other on a phone; the id when absent.
    pub collapse_key: Option<String>,
    /// Alerts of one key are shown as one group in a list.
    pub group_key: Option<String>,
    /// When the thing happened; when it reached us, for one that is not dated.
    pub occurred_at: Timestamp,
    /// Whether the producer said when it happened.
    pub is_dated: bool,
    /// After this nobody is told any more.
    pub expires_at: Option<Timestamp>,
    /// When a suppressed alert fires again by itself. Says nothing of one in another status.
    pub dismissed_until: Option<Timestamp>,
}

impl Alert {
    /// When it fires again by itself, if it ever does: only a suppressed one does, and not after it has expired. A time that
    /// has passed already is one that has come.
    pub fn returns_at(&self) -> Option<Timestamp> {
        let until = self.dismissed_until.filter(|_| self.status == Status::Suppressed)?;
        self.expires_at.is_none_or(|expires_at| until < expires_at).then_some(until)
    }
}

/// Whom an alert is for. The union of its parts, each person once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience {
    /// People by name.
    pub users: Vec<UserId>,
    /// Every member of these, as of when dispatch records the alert.
    pub groups: Vec<GroupId>,
    /// Everybody of the tenant who was registered or has ever signed in.
    pub everyone: bool,
}

impl Audience {
    /// Nobody at all: refused, because it is always a mistake.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && !self.everyone
    }
}

/// How the body of an alert is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum BodyFormat {
    /// As it is to be read.
    #[default]
    Text,
    /// With the marks of [`super::markdown`].
    Markdown,
}

/// How bad it is. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it soon.
    Warning,
    /// Look at it now.
    Critical,
}

/// Where an alert stands with its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It goes on: people are told until they look.
    Firing,
    /// Somebody took it on: nobody else is chased, what is shown stays.
    Acknowledged,
    /// Not worth telling for now: nobody is chased, pushes are withdrawn.
    Suppressed,
    /// Over: nobody is chased, pushes are withdrawn.
    Resolved,
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every word of this kind, as they are written everywhere.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word for it on the wire, in the store, in logs and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::domain::alert::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::domain::alert::UnknownWord { known: Self::WORDS }),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use words;

/// A word that is not one of the known ones. It is not repeated: it may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWord {
    /// What may stand there.
    pub known: &'static [&'static str],
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be one of {}", self.known.join(", "))
    }
}

impl std::error::Error for UnknownWord {}

words!(BodyFormat { Text = "text", Markdown = "markdown" });
words!(Severity { Info = "info", Warning = "warning", Critical = "critical" });
words!(Status {
    Firing = "firing",
    Acknowledged = "acknowledged",
    Suppressed = "suppressed",
    Resolved = "resolved",
});

#[test]
fn a_word_reads_back_as_what_wrote_it() {
    for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
        assert_eq!(severity.as_str().parse(), Ok(severity));
    }
    assert_eq!(
        "urgent".parse::<Severity>().map_err(|e| e.to_string()),
        Err("must be one of info, warning, critical".to_owned())
    );
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_suppressed_alert_returns_by_this_table() {
    let at = |secs: i64| Timestamp::from_second(secs).unwrap();
    let alert = super::inbox::tests::alert(1, Severity::Warning, Status::Suppressed);
    for (why, status, until, expires_at, expected) in [
        ("its time", Status::Suppressed, Some(60), None, Some(60)),
        ("for good", Status::Suppressed, None, None, None),
        ("before it expires", Status::Suppressed, Some(60), Some(61), Some(60)),
        ("it has expired by then", Status::Suppressed, Some(60), Some(60), None),
        ("it fires anyway", Status::Firing, Some(60), None, None),
        ("somebody took it on", Status::Acknowledged, Some(60), None, None),
        ("it is over", Status::Resolved, Some(60), None, None),
    ] {
        let alert =
            Alert { status, dismissed_until: until.map(at), expires_at: expires_at.map(at), ..alert.clone() };
        assert_eq!(alert.returns_at(), expected.map(at), "{why}");
    }
}
