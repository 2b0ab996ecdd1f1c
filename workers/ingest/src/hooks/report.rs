//! What a product reports: the common language of all hooks, before it becomes an alert for somebody.

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use watchbell::{
    domain::{
        Action, Alert, AlertId, Audience, BodyFormat, GroupId, Severity, Status, Tenant, UserId,
        action::bounds::{ACTION_TITLE_CHARS_MAX, ACTIONS_MAX},
        names::is_path_step,
        text::is_invisible,
    },
    wire::Problem,
};

use super::fit;
use crate::NewId;

/// What ids are made under: a UUID of our own, so that no other maker of UUIDv5 makes the same.
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_6f9e_41d2_4c1e_9b0a_7c1f_3d2e_8a46);
/// Where an alert carries what people should know about how it was told.
pub const NOTES: &str = "watchbell_notes";
/// Where an alert carries that it was its source that suppressed it.
pub const SUPPRESSED_BY: &str = "watchbell_suppressed_by";
/// Notes of one alert.
const NOTES_MAX: usize = 8;
/// The longest address of a button, in bytes: three of them have to fit an alert beside the longest text, labels and data.
const LINK_BYTES_MAX: usize = 512;

/// One alert as its source tells it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which alert it is.
    pub key: Key,
    pub status: Status,
    pub severity: Severity,
    /// One line; what it was cut from is in the body when there is no other.
    pub title: String,
    pub body: Option<String>,
    pub url: Option<String>,
    /// A picture, at an https address.
    pub image: Option<String>,
    /// What its buttons open: a title and an address that [`fit::url`] took, in the order of importance. The others are left out.
    pub links: Vec<(String, String)>,
    pub source: Option<String>,
    pub category: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// In the order of importance: what does not fit is left out.
    pub data: Vec<(&'static str, Value)>,
    /// When it happened, if that could be read.
    pub occurred_at: Option<Timestamp>,
    /// Whom it is for by something other than its labels.
    pub named: Audience,
    /// What people should know about how it was read.
    pub notes: Vec<String>,
    /// It says what happened to the alert and not what the alert is: what is stored keeps its text.
    pub is_change: bool,
    /// It ends what was told before, and is nothing to tell by itself: a job that succeeds, as jobs do.
    pub needs_stored: bool,
}

impl Report {
    /// A report with these four and nothing else said.
    pub fn new(key: Key, status: Status, severity: Severity, title: impl Into<String>) -> Self {
        Self {
            key,
            status,
            severity,
            title: title.into(),
            body: None,
            url: None,
            image: None,
            links: Vec::new(),
            source: None,
            category: None,
            labels: BTreeMap::new(),
            data: Vec::new(),
            occurred_at: None,
            named: Audience::default(),
            notes: Vec::new(),
            is_change: false,
            needs_stored: false,
        }
    }

    /// The audience that it names itself: by its labels `watchbell_users` and `watchbell_groups`, or otherwise. Names
    /// that cannot be used are passed over, with a note that repeats none of them.
    pub fn own_audience(&self) -> (Audience, Vec<String>) {
        let mut notes = Vec::new();
        let label = |name: &str| names_in(self.labels.get(name).map(String::as_str).unwrap_or_default());
        let (users, groups) = (label("watchbell_users"), label("watchbell_groups"));
        let mut audience = self.named.clone();
        audience.users.extend(usable(
            &users,
            "label watchbell_users",
            |name| UserId::parse_new(name),
            &mut notes,
        ));
        audience.groups.extend(usable(
            &groups,
            "label watchbell_groups",
            |name| GroupId::parse_new(name),
            &mut notes,
        ));
        (audience, notes)
    }

    /// The alert for these people, as version 1, with `notes` beside its own.
    pub fn alert(
        &self,
        id: AlertId,
        tenant: &Tenant,
        to: Audience,
        notes: &[String],
        now: Timestamp,
    ) -> Alert {
        let (labels, labels_left_out) = fit::labels(&self.labels);
        let (mut data, mut left_out) = fit::data(self.data.iter().cloned());
        if labels_left_out > 0 {
            left_out.insert("labels".into(), json!(labels_left_out));
        }
        if !left_out.is_empty() {
            data.insert("left_out".into(), left_out.into());
        }
        let notes: Vec<&String> = self.notes.iter().chain(notes).take(NOTES_MAX).collect();
        if !notes.is_empty() {
            data.insert(NOTES.into(), json!(notes));
        }
        let title = fit::one_line(&self.title);
        let is_cut = title.ends_with('…') && !self.title.trim_end().ends_with('…');
        let body = self.body.clone().filter(|body| !is_invisible(body));
        Alert {
            id,
            version: 1,
            tenant: tenant.clone(),
            to,
            source: self.source.as_deref().map(fit::one_line).filter(|text| !text.is_empty()),
            category: self.category.as_deref().map(fit::one_line).filter(|text| !text.is_empty()),
            severity: self.severity,
            status: self.status,
            title: if is_invisible(&title) { "An alert without a text".into() } else { title },
            body: body.or_else(|| is_cut.then(|| self.title.clone())).map(|body| fit::body(&body)),
            url: self.url.clone(),
            labels,
            data,
            policy: None,
            collapse_key: None,
            group_key: None,
            body_format: BodyFormat::Text,
            image: self.image.clone(),
            actions: self.links.iter().take(ACTIONS_MAX).enumerate().filter_map(button).collect(),
            occurred_at: self.occurred_at.unwrap_or(now),
            is_dated: self.occurred_at.is_some(),
            expires_at: None,
            dismissed_until: None,
        }
    }
}

/// The button that opens a link, known by its place.
fn button((at, (title, url)): (usize, &(String, String))) -> Option<Action> {
    let title = fit::clip(&fit::one_line(title), ACTION_TITLE_CHARS_MAX, usize::MAX);
    let url = Some(url.clone()).filter(|url| url.len() <= LINK_BYTES_MAX);
    Action::new(format!("link-{}", at + 1), title, Some(url?), None).ok()
}

/// Names with commas between them. A comma that is part of a name is written `%2C`, and a `%` before `2C` or `25` is `%25`.
pub fn names_in(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(decoded).collect()
}

fn decoded(name: &str) -> String {
    let mut parts = name.split('%');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (c, rest) = match part.get(..2) {
            Some("2C" | "2c") => (',', &part[2..]),
            Some("25") => ('%', &part[2..]),
            _ => ('%', part),
        };
        whole.push(c);
        whole.push_str(rest);
    }
    whole
}

/// A name as [`names_in`] reads it.
pub fn name_for_list(name: &str) -> String {
    name.replace('%', "%25").replace(',', "%2C")
}

/// The names that are names, and a note about the others.
pub fn usable<T>(
    names: &[String],
    from: &str,
    parse: impl Fn(&str) -> Result<T, watchbell::domain::InvalidName>,
    notes: &mut Vec<String>,
) -> Vec<T> {
    let good: Vec<T> = names.iter().filter_map(|name| parse(name).ok()).collect();
    match names.len() - good.len() {
        0 => {}
        1 => notes.push(format!("the {from} has a name that cannot be used")),
        bad => notes.push(format!("the {from} has {bad} names that cannot be used")),
    }
    good
}

/// Which alert a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The source's own name for it, which is a name of ours, too.
    Named(AlertId),
    /// Made from what the source tells it apart by.
    Made(Uuid),
    /// One of its own each time: the source says nothing that it could be known by.
    Fresh,
}

impl Key {
    /// From what the source tells its alerts apart by. Each hook has a realm of its own.
    pub fn of<'a>(realm: &'a str, parts: impl IntoIterator<Item = &'a str>) -> Self {
        let parts: Vec<&str> = std::iter::once(realm).chain(parts).collect();
        // As a JSON array, in which no two lists of texts look the same.
        Self::Made(Uuid::new_v5(&NAMESPACE, json!(parts).to_string().as_bytes()))
    }

    /// A name of the source where it is one of ours, else one made from it under `namespace`.
    pub fn named(name: &str, namespace: &Uuid) -> Self {
        match AlertId::parse(name) {
            // Such ids are Watchbell's own, or stand in no address.
            Ok(id) if !name.starts_with(AlertId::OWN_PREFIX) && !is_path_step(name) => Self::Named(id),
            Ok(_) | Err(_) => Self::Made(Uuid::new_v5(namespace, name.as_bytes())),
        }
    }

    /// The same of one of several senders that count alike. A name of the source itself stays what it is.
    #[must_use]
    pub fn within(self, sender: Option<&str>) -> Self {
        match (self, sender) {
            (Self::Made(uuid), Some(sender)) => Self::Made(Uuid::new_v5(&uuid, sender.as_bytes())),
            (key, _) => key,
        }
    }

    /// The id of the alert.
    ///
    /// # Errors
    /// None that is known: a UUID is a name of ours.
    pub fn id(&self, new_id: &NewId) -> Result<AlertId, Problem> {
        let made = |uuid: Uuid| {
            AlertId::parse(uuid.to_string()).map_err(|error| Problem::invalid("id", error.to_string()))
        };
        match self {
            Self::Named(id) => Ok(id.clone()),
            Self::Made(uuid) => made(*uuid),
            Self::Fresh => made(new_id()),
        }
    }
}

/// What one post of a product holds.
#[derive(Debug, Default)]
pub struct Post {
    /// Each with its place in the post.
    pub heard: Vec<(usize, Heard)>,
    /// How many firing alerts the sender left out, or nobody looked at.
    pub left_out: u64,
    /// How bad the worst of those is.
    pub left_out_worst: Option<Severity>,
    /// Of a hook whose posts hold several alerts: which alert tells of those that are too many.
    pub more: Option<Key>,
}

/// One element of a post.
#[derive(Debug)]
pub enum Heard {
    /// To be told.
    Report(Box<Report>),
    /// Nothing to tell, and why: a test of the connection, a run that was cancelled.
    Passed(&'static str),
    /// Nothing could be taken from it.
    Refused(Problem),
}

impl From<Report> for Heard {
    fn from(report: Report) -> Self {
        Self::Report(Box::new(report))
    }
}

impl Post {
    /// A post that is one alert.
    pub fn one(heard: impl Into<Heard>) -> Self {
        Self { heard: vec![(0, heard.into())], ..Self::default() }
    }
}

/// What differs between two posts of the same alert without being news: who posted it, numbers that were measured anew.
const NOT_NEWS: [&str; 9] = [
    "receiver",
    "externalURL",
    "generatorURL",
    "silenceURL",
    "values",
    "valueString",
    "left_out",
    NOTES,
    SUPPRESSED_BY,
];

/// What an alert says, of what clients are shown of it: when two agree in it, the second is a repetition.
pub fn says(content: &Map<String, Value>) -> Map<String, Value> {
    static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    let data = content.get("data").and_then(Value::as_object).unwrap_or(&NOTHING);
    let taken = ["title", "body", "severity", "category", "labels", "url"];
    let mut says: Map<String, Value> = taken
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), content.get(field)?.clone())))
        .filter(|(field, value)| field != "url" || data.get("generatorURL") != Some(value))
        .collect();
    let news = data.iter().filter(|(name, _)| !NOT_NEWS.contains(&name.as_str()));
    says.insert(
        "data".into(),
        news.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into(),
    );
    says
}

#[test]
fn a_name_with_a_comma_is_one_name() {
    for (text, expected) in [
        ("ana, ben,,", &["ana", "ben"][..]),
        ("Smith%2C Jane,ben", &["Smith, Jane", "ben"]),
        ("a%2cb", &["a,b"]),
        ("100%,50%25", &["100%", "50%"]),
        ("a%252Cb", &["a%2Cb"]),
        ("%E4", &["%E4"]),
    ] {
        assert_eq!(names_in(text), expected, "{text}");
    }
    for name in ["a,b", "100%", "a%2Cb", "%25"] {
        assert_eq!(names_in(&name_for_list(name)), [name]);
    }
}
