//! What one person got and did not get, and why: what is in the way of their alerts, each alert in one line, and the alerts for many
//! that left them out. `GET /v1/users/{user}/explain` and `watchbell explain --user` give the same.
//!
//! The words are those of `watchbell::domain`. The store is read in small parts, so that few alerts are in memory at once.

use std::{collections::HashSet, sync::Arc};

use serde::Serialize;
use utoipa::ToSchema;
use watchbell::{
    domain::{
        InboxState, Severity, Timestamp, UserKey,
        left_out::{LeftOut, Outsider},
        obstacles::{Obstacle, Reachability, obstacles},
    },
    store::{AlertForMany, AlertPlace, PersonAlert, Recipient, Store, StoreError, StoredReachability},
    wire::{
        alert::ShownAlert,
        preferences::stored_preferences,
        schema::{SeverityWord, StatusWord, one_of},
    },
};

use crate::{
    alert_list::text_of,
    answers::InboxStateWord,
    limits::{
        ALERTS_LOOKED_AT_FOR_MANY_MAX, ALERTS_LOOKED_AT_MAX, EXPLAINED_READ_AT_ONCE, GROUPS_OF_USER_MAX,
        LEFT_OUT_MAX, PAGE_BYTES_MAX,
    },
};

watchbell::schemas! {
    /// A word for what is in the way.
    ObstacleWord called "ObstacleKind" = one_of(Obstacle::WORDS);
}

/// What one person got and did not get.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// Whose alerts.
    pub user: String,
    /// What is in the way of their alerts in general, now. On the first page.
    pub obstacles: Vec<ToldObstacle>,
    /// Newest first.
    pub alerts: Vec<ExplainedAlert>,
    /// Alerts for groups or for everyone that they do not have: first those whose audience they belong to now. On the first page.
    pub left_out: Vec<LeftOutAlert>,
    /// Whether there may be more of those.
    pub more_left_out: bool,
    /// `after` of the next page; null on the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// Something that is in the way of a person's alerts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Obstacle)]
pub struct ToldObstacle {
    /// A word for programs.
    #[schema(value_type = ObstacleWord)]
    pub kind: &'static str,
    /// In plain words.
    pub what: String,
}

/// What became of one alert for one person.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainedAlert {
    /// Its id.
    pub id: String,
    /// The version that their inbox shows.
    pub version: u32,
    /// How bad it is.
    #[schema(value_type = SeverityWord)]
    pub severity: &'static str,
    /// Whether it goes on.
    #[schema(value_type = StatusWord)]
    pub status: &'static str,
    /// What it says.
    pub title: String,
    /// When it last came to them while it was firing.
    #[schema(format = DateTime)]
    pub came_at: String,
    /// The policy by which they are told, where that was noted.
    pub policy: Option<String>,
    /// What they did with it.
    #[schema(value_type = InboxStateWord)]
    pub state: &'static str,
    /// Why the escalation ended, once it has.
    pub stopped: Option<String>,
    /// When somebody looks at it next.
    #[schema(format = DateTime)]
    pub due_at: Option<String>,
    /// All of it in one line.
    pub what: String,
}

/// An alert for many that a person does not have.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftOutAlert {
    /// Its id.
    pub id: String,
    /// How bad it is.
    #[schema(value_type = SeverityWord)]
    pub severity: &'static str,
    /// Whether it goes on.
    #[schema(value_type = StatusWord)]
    pub status: &'static str,
    /// What it says.
    pub title: String,
    /// When the version that is shown was recorded.
    #[schema(format = DateTime)]
    pub recorded_at: String,
    /// Whether they belong to its audience now.
    pub meant: bool,
    /// Why, as far as it is known.
    pub what: String,
}

/// Which alerts of a person are to be explained.
#[derive(Debug, Clone)]
pub struct Question {
    /// None that came before.
    pub since: Timestamp,
    /// None that came after.
    pub until: Timestamp,
    /// Only those that are so bad now.
    pub severity: Option<Severity>,
    /// Only those that the person did not look at.
    pub not_seen: bool,
    /// Behind this place; none for the first page.
    pub after: Option<AlertPlace>,
    /// Alerts on the page.
    pub limit: usize,
}

impl Question {
    fn wants(&self, severity: Severity) -> bool {
        self.severity.is_none_or(|wanted| severity == wanted)
    }
}

/// Whether the asker may read alerts of this maker.
pub type MayRead<'a> = &'a (dyn Fn(Option<&Arc<str>>) -> bool + Send + Sync);

/// A page of what became of one person's alerts, as of `now`.
///
/// # Errors
/// [`StoreError`].
pub async fn explain(
    store: &Store,
    user: &UserKey,
    question: &Question,
    may_read: MayRead<'_>,
    now: Timestamp,
) -> Result<Explanation, StoreError> {
    let (alerts, next) = explained(store, user, question, may_read, now).await?;
    let mut explanation = Explanation {
        user: user.user.as_str().to_owned(),
        obstacles: Vec::new(),
        alerts,
        left_out: Vec::new(),
        more_left_out: false,
        next: next.as_ref().map(text_of),
    };
    if question.after.is_none() {
        let stored = store.reachability(user, now).await?;
        let found = AlertsForMany::read(store, user, question, may_read).await?;
        explanation.more_left_out = found.has_more;
        explanation.left_out = left_out(store, user, &stored, found).await?;
        explanation.obstacles = obstacles_of(&stored, now);
    }
    Ok(explanation)
}

async fn explained(
    store: &Store,
    user: &UserKey,
    question: &Question,
    may_read: MayRead<'_>,
    now: Timestamp,
) -> Result<(Vec<ExplainedAlert>, Option<AlertPlace>), StoreError> {
    let mut place = question.after.clone().unwrap_or_else(|| AlertPlace::until(question.until));
    let (mut alerts, mut looked_at, mut bytes) = (Vec::new(), 0, 0);
    loop {
        let read = store.alerts_of_person(user, &place, question.since, EXPLAINED_READ_AT_ONCE).await?;
        let is_end = read.len() < EXPLAINED_READ_AT_ONCE;
        for one in read {
            if alerts.len() == question.limit || looked_at == ALERTS_LOOKED_AT_MAX || bytes >= PAGE_BYTES_MAX
            {
                return Ok((alerts, Some(place)));
            }
            looked_at += 1;
            place = one.place.clone();
            let is_wanted = question.wants(one.severity)
                && (!question.not_seen || one.state == InboxState::New)
                && may_read(one.maker.as_ref());
            // One that was deleted meanwhile is not theirs any more.
            let told = if is_wanted { store.told_in_line(user, &one.alert).await? } else { None };
            if let Some(recipient) = told {
                let explained = explained_of(&one, recipient, now);
                // Text and numbers always serialize.
                bytes += serde_json::to_string(&explained).map_or(0, |text| text.len());
                alerts.push(explained);
            }
        }
        if is_end {
            return Ok((alerts, None));
        }
    }
}

fn explained_of(one: &PersonAlert, recipient: Recipient, now: Timestamp) -> ExplainedAlert {
    ExplainedAlert {
        id: one.alert.to_string(),
        version: one.version,
        severity: one.severity.as_str(),
        status: one.status.as_str(),
        title: title_of(&one.content),
        came_at: one.came_at.to_string(),
        what: recipient.in_one_line(one.came_at, now),
        state: recipient.state.as_str(),
        due_at: recipient.due_at.map(|at| at.to_string()),
        policy: recipient.policy,
        stopped: recipient.stopped,
    }
}

fn title_of(content: &str) -> String {
    serde_json::from_str::<ShownAlert>(content).map(|shown| shown.title).unwrap_or_default()
}

fn obstacles_of(stored: &StoredReachability, now: Timestamp) -> Vec<ToldObstacle> {
    let preferences = stored_preferences(stored.preferences.as_deref());
    let person = Reachability { preferences, ..stored.reachability.clone() };
    let found = obstacles(&person, now);
    found.iter().map(|found| ToldObstacle { kind: found.word(), what: found.to_string() }).collect()
}

/// Alerts for many that one person does not have.
struct AlertsForMany {
    without: Vec<AlertForMany>,
    /// Whether more were recorded in the time than were looked at.
    has_more: bool,
}

impl AlertsForMany {
    async fn read(
        store: &Store,
        user: &UserKey,
        question: &Question,
        may_read: MayRead<'_>,
    ) -> Result<Self, StoreError> {
        let looked_at = ALERTS_LOOKED_AT_FOR_MANY_MAX;
        let read = store.alerts_for_many(user, question.since, question.until, looked_at).await?;
        let has_more = read.len() == looked_at;
        let is_wanted = |one: &AlertForMany| {
            !one.is_theirs && question.wants(one.severity) && may_read(one.maker.as_ref())
        };
        Ok(Self { without: read.into_iter().filter(is_wanted).collect(), has_more })
    }
}

/// The first [`LEFT_OUT_MAX`] of them, those for whose audience the person belongs to first.
async fn left_out(
    store: &Store,
    user: &UserKey,
    stored: &StoredReachability,
    found: AlertsForMany,
) -> Result<Vec<LeftOutAlert>, StoreError> {
    if found.without.is_empty() {
        return Ok(Vec::new());
    }
    let groups = store.groups_of(user, GROUPS_OF_USER_MAX).await?;
    let groups: HashSet<&str> = groups.iter().map(|group| group.as_str()).collect();
    let mut told: Vec<LeftOutAlert> =
        found.without.iter().map(|one| left_out_of(one, stored, &groups)).collect();
    told.sort_by_key(|one| !one.meant);
    told.truncate(LEFT_OUT_MAX);
    Ok(told)
}

fn left_out_of(one: &AlertForMany, stored: &StoredReachability, groups: &HashSet<&str>) -> LeftOutAlert {
    let person = Outsider {
        since: stored.since,
        is_known: stored.reachability.is_known,
        member_of: one.audience.groups.iter().map(String::as_str).find(|group| groups.contains(group)),
        deleted_before: stored.deleted_before,
    };
    let left_out =
        LeftOut { audience: &one.audience, recorded_at: one.recorded_at, is_spreading: one.is_spreading };
    LeftOutAlert {
        id: one.alert.to_string(),
        severity: one.severity.as_str(),
        status: one.status.as_str(),
        title: title_of(&one.content),
        recorded_at: one.recorded_at.to_string(),
        meant: left_out.is_meant(&person),
        what: left_out.why(&person),
    }
}
