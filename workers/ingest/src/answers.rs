//! What producers are answered, as JSON. The OpenAPI document derives from these types.
//!
//! Elsewhere: problem documents in `watchbell::wire`; what becomes of each alert of a hook in `hooks`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use watchbell::wire::{
    Problem,
    alert::ContentV1,
    preferences::PreferencesV1,
    schema::{self, list, one_of, text},
};

use crate::limits::USERS_UNKNOWN_NAMED_MAX;

watchbell::schemas! {
    /// The word for what was published.
    AcceptedStatus = one_of(&["accepted"]);
    /// The word for what contradicts what is recorded.
    RefusedStatus = one_of(&["refused"]);
    /// The first of the users whom nobody knows.
    FirstNames = list(text()).max_items(Some(USERS_UNKNOWN_NAMED_MAX));
    /// How many there are.
    Count = schema::whole(1, u32::MAX.into());
}

fn is_false(said: &bool) -> bool {
    !said
}

fn is_none(number: &usize) -> bool {
    *number == 0
}

/// What there is to say about an alert that was accepted, and nothing otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Remarks {
    /// It says what is recorded: only people who are new to it are told.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub duplicate: bool,
    /// A later version is recorded, and that is what people are shown. When nobody knows what this version said, it reaches
    /// nobody who does not hold the alert.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub stale: bool,
    /// Of the users it names, the first who were never registered and have never signed in. It is recorded for them all the
    /// same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = FirstNames, required = false)]
    pub users_unknown: Vec<String>,
    /// How many there are, among the first 10,000 different names of the request.
    #[serde(skip_serializing_if = "is_none")]
    #[schema(value_type = Count, required = false)]
    pub users_unknown_count: usize,
    /// Of the groups it names, the first in which nobody is, among the first 100 different groups of the request. Who is added later is
    /// not told of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = FirstNames, required = false)]
    pub groups_empty: Vec<String>,
}

/// One alert was published.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    pub id: String,
    #[schema(value_type = schema::AlertVersion)]
    pub version: u32,
    #[schema(value_type = AcceptedStatus)]
    pub status: &'static str,
    #[serde(flatten)]
    pub remarks: Remarks,
}

impl Accepted {
    /// This version of this alert.
    pub fn of(id: &str, version: u32, remarks: Remarks) -> Self {
        Self { id: id.to_owned(), version, status: "accepted", remarks }
    }
}

/// One of several alerts.
#[derive(Debug, Serialize, ToSchema)]
pub struct OneOfSeveral {
    pub id: String,
    #[schema(value_type = schema::AlertVersion)]
    pub version: u32,
    /// Only of one that was refused: nobody is shown it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = RefusedStatus, required = false)]
    pub status: Option<&'static str>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Problem, required = false)]
    pub problem: Option<Problem>,
    #[serde(flatten)]
    pub remarks: Remarks,
}

/// Several alerts were published.
#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedSeveral {
    pub accepted: usize,
    /// How many contradict what is recorded; not there when none does.
    #[serde(skip_serializing_if = "is_none")]
    #[schema(value_type = Count, required = false)]
    pub refused: usize,
    /// In the order of the request.
    pub alerts: Vec<OneOfSeveral>,
}

/// One event was published.
#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedEvent {
    pub id: String,
    #[schema(value_type = AcceptedStatus)]
    pub status: &'static str,
}

/// Several events were published.
#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedEvents {
    pub accepted: usize,
    /// In the order of the request.
    pub events: Vec<EventName>,
}

/// One of several events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventName {
    pub id: String,
}

/// An alert as it is recorded.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recorded {
    #[schema(value_type = ContentV1<'static>)]
    pub alert: Value,
    #[schema(format = DateTime)]
    pub recorded_at: String,
    /// How many inboxes hold it.
    pub recipients: u64,
    /// In how many of them it was seen, read or dismissed.
    pub seen: u64,
}

/// What happened to an alert.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    pub counts: TimelineCounts,
    /// What a hook could not use of what was posted, if anything.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Vec<String>, required = false)]
    pub notes: Value,
    pub recipients: Vec<TimelineRecipient>,
    /// `after` of the next page; not there on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// People by how it fares.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineCounts {
    pub recipients: u64,
    /// What screens and providers said, by channel. `in_summary` and `alone` are told by a message that had waited for others, with
    /// others or without.
    pub delivery: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// What people did.
    pub engagement: BTreeMap<&'static str, u64>,
    /// Why some wait.
    pub waiting: BTreeMap<&'static str, u64>,
}

watchbell::schemas! {
    /// What a person did with an alert.
    InboxStateWord called "InboxState" = one_of(watchbell::domain::InboxState::WORDS);
}

/// What happened to one alert for one person, in order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recipient)]
pub struct TimelineRecipient {
    pub user: String,
    #[schema(value_type = InboxStateWord)]
    pub state: &'static str,
    /// Until when it is snoozed; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub until: Option<String>,
    pub seq: u64,
    /// Why the escalation ended, once it has.
    pub stopped: Option<String>,
    /// When somebody looks at it next.
    #[schema(format = DateTime)]
    pub due_at: Option<String>,
    pub entries: Vec<TimelineEntry>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineEntry {
    #[schema(format = DateTime)]
    pub at: String,
    pub what: String,
}

/// When a user's sessions were ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct Revoked {
    #[schema(format = DateTime)]
    pub revoked_at: String,
    /// How many devices were taken out, because they were registered with tokens that are refused now.
    pub devices: u64,
}

/// A receipt: a person was erased. It names nobody.
#[derive(Debug, Serialize, ToSchema)]
pub struct Erased {
    #[schema(format = "uuid")]
    pub id: String,
    #[schema(format = DateTime)]
    pub erased_at: String,
    /// Whether nothing is left. If not, repeat the request.
    pub complete: bool,
    /// How many rows went, by table; tables of which nothing went are left out.
    pub rows: BTreeMap<&'static str, u64>,
}

/// A person on a page.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedUser {
    pub user: String,
    /// Whether they were registered, are or were in a group, or ever signed in. Somebody else was only named in an alert.
    pub known: bool,
    pub locale: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    pub unread: u64,
}

/// A page of people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Users {
    pub users: Vec<ListedUser>,
    /// `after` of the next page; null on the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// An address of a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserAddress {
    pub address: String,
    /// Whether it refused messages for good: nothing is sent to it until it is registered anew.
    pub refused: bool,
}

/// What became of a mail provider's events.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct MailEvents {
    /// Events that say something of an address.
    pub received: usize,
    /// Those that are about a mail of ours, and were not told before.
    pub counted: usize,
    /// Addresses that get no mail any more.
    pub suppressed: usize,
}

/// A device, without its token.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserDevice {
    pub device: String,
    #[schema(value_type = DeviceService)]
    pub service: &'static str,
    #[schema(value_type = DeviceEnvironment)]
    pub environment: &'static str,
    #[schema(format = DateTime)]
    pub registered_at: String,
}

watchbell::schemas! {
    /// The push service of a device.
    DeviceService = one_of(watchbell::domain::PushService::WORDS);
    /// Which of Apple's two worlds a token lives in.
    DeviceEnvironment = one_of(watchbell::domain::PushEnvironment::WORDS);
}

/// A person's devices.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserDevices {
    pub devices: Vec<UserDevice>,
}

/// How much there is of a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserCounts {
    pub unread: u64,
    /// Alerts in their inbox, counted up to 1,000.
    pub alerts: u64,
    /// Whether there are more.
    pub more_alerts: bool,
}

/// A person, without what their inbox holds and without tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    pub user: String,
    /// Whether they were registered, are or were in a group, or ever signed in.
    pub known: bool,
    pub locale: Option<String>,
    /// Where their days are, unless they say it themselves.
    pub time_zone: Option<String>,
    /// What they want where they say nothing themselves.
    pub preferences: Option<PreferencesV1>,
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Up to when their sessions were ended and tokens are refused.
    #[schema(format = DateTime)]
    pub sessions_revoked_at: Option<String>,
    /// By channel.
    pub addresses: BTreeMap<&'static str, UserAddress>,
    /// The first 1,000, in order.
    pub groups: Vec<String>,
    /// Whether they are in more groups than are listed.
    pub has_more_groups: bool,
    pub devices: Vec<UserDevice>,
    pub counts: UserCounts,
}

/// A page of everything that is kept about a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct Export {
    pub user: String,
    #[schema(value_type = ExportRecords)]
    pub records: Vec<Value>,
    /// `after` of the next page; null on the last. A page may be empty, and yet not the last.
    #[schema(required)]
    pub next: Option<String>,
}

watchbell::schemas! {
    /// Rows about a person. `record` says what a row is: `person`, `address`, `group`, `device`, `session`, `lately`, `inbox`,
    /// `escalation`, `told`, `attempt`, `note`, `taken`, `change` or `outcome`.
    ExportRecords = list(schema::object().property("record", text()).required("record"));
}

/// A page of groups.
#[derive(Debug, Serialize, ToSchema)]
pub struct Groups {
    #[schema(value_type = Vec<schema::Name>)]
    pub groups: Vec<String>,
    /// `after` of the next page; null on the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// A group was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedGroup {
    /// How many members were taken out.
    pub removed: u64,
    /// Whether nobody is left in it. If not, repeat the request.
    pub complete: bool,
}

/// An alert on a page.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertOnPage {
    #[schema(value_type = ContentV1<'static>)]
    pub alert: Value,
    /// When its first version was recorded; with `user`, when it came to them.
    #[schema(format = DateTime)]
    pub recorded_at: String,
}

/// A page of alerts.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alerts {
    pub alerts: Vec<AlertOnPage>,
    /// `after` of the next page; null on the last. A page may be short, or empty, and yet not the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// A page of a group's members.
#[derive(Debug, Serialize, ToSchema)]
pub struct Members {
    #[schema(value_type = Vec<schema::Name>)]
    pub members: Vec<String>,
    /// `after` of the next page; null on the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// What somebody changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLogEntry {
    #[schema(format = DateTime)]
    pub at: String,
    /// Who: `key:ID`, `oidc:SUBJECT`, `cli:NAME`, `cli` or `system`.
    pub actor: String,
    /// What, such as `key.created` or `user.put`.
    pub action: String,
    /// To what: `user:NAME`, `group:NAME`, `key:ID`, `alert:ID`, `oidc:SUBJECT` or `dead-letters`. Of a user whose id is an
    /// address there is a mark.
    pub object: String,
    /// What came of it, in a few words.
    pub outcome: String,
}

/// A page of the audit log, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLogPage {
    pub entries: Vec<AuditLogEntry>,
    /// `after` of the next page; null on the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// An event was taken, in the words of PagerDuty.
#[derive(Debug, Serialize, ToSchema)]
pub struct PagerDutyAccepted {
    #[schema(value_type = SuccessStatus)]
    pub status: &'static str,
    pub message: &'static str,
    pub dedup_key: String,
    /// What could not be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub notes: Vec<String>,
}

watchbell::schemas! {
    /// PagerDuty's word for an event that was taken.
    SuccessStatus = one_of(&["success"]);
    /// What became of an alert of a hook.
    HookResult = one_of(&["accepted", "unchanged", "counted", "passed", "refused"]);
}

/// A post was taken by a hook.
#[derive(Debug, Serialize, ToSchema)]
pub struct HookAnswer {
    /// How many were published.
    pub accepted: usize,
    pub alerts: Vec<HookEntry>,
}

/// What became of one alert of a post.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct HookEntry {
    /// Its place in the post; not there for the one that tells of the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub index: Option<usize>,
    /// `unchanged`: known already. `counted`: one of those that the alert `id` counts. `passed`: nothing to tell. `refused`: it
    /// can be told to nobody.
    #[schema(value_type = HookResult)]
    pub result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::AlertVersion, required = false)]
    pub version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::StatusWord, required = false)]
    pub status: Option<&'static str>,
    /// What could not be used of it, or of the address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub notes: Vec<String>,
    /// Of the users it names, the first who were never registered and have never signed in. It is recorded for them all the
    /// same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = FirstNames, required = false)]
    pub users_unknown: Vec<String>,
    /// How many there are, among the first 10,000 different names of the request.
    #[serde(skip_serializing_if = "is_none")]
    #[schema(value_type = Count, required = false)]
    pub users_unknown_count: usize,
    /// Of the groups it names, the first in which nobody is, among the first 100 different groups of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = FirstNames, required = false)]
    pub groups_empty: Vec<String>,
    /// What was at fault in one that was refused; null where it was no field.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub field: Option<Option<String>>,
    /// Why it was passed or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub detail: Option<Option<String>>,
}
