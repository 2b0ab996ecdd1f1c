//! The bounds of this worker (I9). Those of an alert are in `watchbell::domain::alert::bounds`.

use std::time::Duration;

use watchbell::runtime::{MemoryBudgets, http::ShareBounds};

/// Alerts of one request.
pub const ALERTS_MAX: usize = 1_000;
/// Alerts of one post to a hook that are told one by one; the rest become one that says how many they are.
pub const HOOK_ALERTS_TOLD_MAX: usize = ALERTS_MAX;
/// Alerts of one post to a hook that are looked at. Those beyond it are only counted.
pub const HOOK_ALERTS_READ_MAX: usize = 10_000;
/// Alerts of one post that are over and come after those that are told: they end what was told before.
pub const HOOK_ENDS_MAX: usize = 4_000;
/// How often a post to a hook is published whose versions other posts of the same moment took. Of those who race for a
/// version one wins each time, so as many may come at once.
pub const HOOK_ROUNDS_MAX: usize = 8;
/// Users and groups that one alert of a hook is told to, by their names. Those beyond it are left out, with a note.
pub const HOOK_NAMES_MAX: usize = 10_000;
/// The body of one request, in bytes.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Publishes that one request has under way at once.
pub const PUBLISHES_PER_REQUEST_MAX: usize = 256;
/// Reads of the store that one request has under way at once.
pub const READS_PER_REQUEST_MAX: usize = 8;
/// How far ahead of `ingest.rate_per_tenant` a tenant may be. A request is taken whole or not at all, so one of many alerts
/// may lead further ahead, and is then waited for.
pub const RATE_AHEAD_MAX: Duration = Duration::from_secs(1);
/// How far ahead of `ingest.recipients_per_tenant` a tenant may be. It is long, because what is rare and large is in order: an
/// alert to everyone, or a storm of alerts. A request is taken whole or not at all here, too.
pub const RECIPIENTS_AHEAD_MAX: Duration = Duration::from_secs(60);
/// How far ahead of `ingest.recipients_per_tenant` the number of a tenant's alerts may be while others publish, too: a request of
/// some alerts does not wait.
pub const PACE_AHEAD_MAX: Duration = Duration::from_millis(100);
/// How long a request waits for that at the most. Whoever would wait for longer is asked to come again.
pub const PACE_WAIT_MAX: Duration = Duration::from_secs(1);
/// What one group counts as towards that rate, in recipients: who is in it is known only in dispatch.
pub const GROUP_COUNTS_AS: usize = 20;
/// What `everyone` counts as, in recipients.
pub const EVERYONE_COUNTS_AS: usize = 1_000;
/// What the holders of an earlier version count as, in recipients.
pub const HOLDERS_COUNT_AS: usize = 20;
/// Tenants whose rate is remembered at once.
pub const RATE_TENANTS_MAX: usize = 1_024;
/// API keys that are remembered.
pub const KEYS_MAX: usize = 1_024;
/// How long an API key is remembered, and so how long a revoked one may still work while the store answers.
pub const KEY_TTL: Duration = Duration::from_secs(5);
/// How long after it was last seen to work a key is believed while the store does not answer.
pub const KEY_BELIEVED_MAX: Duration = Duration::from_secs(60 * 60);
/// How long the store may take to answer about a key that it knew within that time.
pub const KEY_ASK_MAX: Duration = Duration::from_secs(1);
/// How long uses of keys are gathered before they are written down together.
pub const KEY_USES_GATHERED: Duration = Duration::from_secs(1);
/// How often it is written down when a key was used, at the most.
pub const KEY_USES_EVERY: Duration = Duration::from_secs(60);
/// How long the store may take to say what it has of the alerts of a request. Without an answer they are published, and
/// dispatch finds out.
pub const KNOWN_ASK_MAX: Duration = Duration::from_millis(500);
/// Bytes of alerts of one request that are read, encoded or compared before others' requests get the processor.
pub const BYTES_AT_A_STRETCH_MAX: usize = 16 * 1024;
/// Requests of one tenant that ask the store at once; each asks one thing after the other.
pub const QUESTIONS_PER_TENANT_MAX: usize = 2;
/// Names that are looked for in one statement: other tenants' reads come in between, so none may take long.
pub const USERS_PER_READ_MAX: usize = 500;
/// Different names in one request that are looked for among the known users: the first ones.
pub const USERS_LOOKED_FOR_MAX: usize = 10_000;
/// Different groups in one request of which it is asked whether anybody is in them: the first ones.
pub const GROUPS_LOOKED_FOR_MAX: usize = 100;
/// Unknown users, or empty groups, of one alert that are named in the answer. Further users are counted.
pub const USERS_UNKNOWN_NAMED_MAX: usize = 20;
/// Those of all alerts of one request that are named. Further ones are counted.
pub const USERS_UNKNOWN_NAMED_PER_REQUEST_MAX: usize = 1_000;
/// The longest answer about the alerts of one request, in bytes: an id, a problem and the names of unknown users for each.
pub const ALERTS_ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest answer about the events of one request, in bytes: the id of each.
pub const EVENTS_ANSWER_BYTES_MAX: usize = 512 * 1024;
/// The longest answer that is one alert, in bytes. Numbers may be written out longer than they came.
pub const ALERT_ANSWER_BYTES_MAX: usize = 512 * 1024;
/// The longest answer about the alerts of one post to a hook, in bytes: an id and the notes of each that is told or ended.
pub const HOOK_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest page of members, in bytes: 1,000 names.
pub const MEMBERS_ANSWER_BYTES_MAX: usize = 512 * 1024;
/// How long after the store did not answer such keys are believed without asking, so that a request does not wait. As long
/// nothing is asked about the alerts of a tenant whose question was not answered in time.
pub const STORE_AWAY: Duration = Duration::from_secs(2);
/// The body of a hook whose key may be in it, in bytes: what PagerDuty takes.
pub const HOOK_BODY_BYTES_MAX: usize = 512 * 1024;
/// Such bodies being read at once: nobody knows yet whose they are, so they take no room of those who have shown a key.
/// The one that was begun first gives way to the next.
pub const HOOK_BODIES_MAX: usize = 64;
/// How many of them one peer may have.
pub const HOOK_BODIES_SHARE: ShareBounds = ShareBounds { public_max: 8, private_max: 32 };
/// How long such a body may take.
pub const NAMELESS_BODY_TIMEOUT: Duration = Duration::from_secs(3);
/// Names in one change of a group.
pub const MEMBERS_PER_CHANGE_MAX: usize = 10_000;
/// How long one request erases a person. What is left then is for the next request.
pub const ERASE_TIME_MAX: Duration = Duration::from_secs(10);
/// People on one page.
pub const USERS_PER_PAGE_MAX: usize = 1_000;
/// People that are looked at for one page.
pub const USERS_LOOKED_AT_MAX: usize = 5_000;
/// Alerts of one person that are counted.
pub const ALERTS_COUNTED_MAX: usize = 1_000;
/// Groups of one person that are told.
pub const GROUPS_OF_USER_MAX: usize = 1_000;
/// Groups on one page.
pub const GROUPS_PER_PAGE_MAX: usize = 1_000;
/// Members that one commit takes out of a group that is deleted.
pub const MEMBERS_PER_COMMIT_MAX: usize = 2_000;
/// Alerts on one page.
pub const ALERTS_PER_PAGE_MAX: usize = 200;
/// Alerts that are looked at for one page.
pub const ALERTS_LOOKED_AT_MAX: usize = 1_000;
/// Alerts that are in memory at once while a page is made, each of up to 64 KiB.
pub const ALERTS_READ_AT_ONCE: usize = 50;
/// Alerts of one person that are explained on one page.
pub const EXPLAINED_PER_PAGE_MAX: usize = 100;
/// Alerts that are in memory at once while they are explained, each of up to 64 KiB.
pub const EXPLAINED_READ_AT_ONCE: usize = 20;
/// Alerts for groups and for everyone that are looked at to find those that left a person out: the newest.
pub const ALERTS_LOOKED_AT_FOR_MANY_MAX: usize = 100;
/// Of those, the ones that are told.
pub const LEFT_OUT_MAX: usize = 20;
/// The longest explanation of one person's alerts, in bytes: it ends with the alert that reaches [`PAGE_BYTES_MAX`], and beside it are
/// [`LEFT_OUT_MAX`] alerts with the groups they were for.
pub const EXPLANATION_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// A page of what has no small bound of its own ends with the record that reaches this, in bytes.
pub const PAGE_BYTES_MAX: usize = 512 * 1024;
/// The longest page of users or of groups, and the longest answer about one user, in bytes: 1,000 names and what is beside them.
pub const LIST_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The longest page of alerts, in bytes: it ends with the alert that reaches [`PAGE_BYTES_MAX`].
pub const ALERT_PAGE_ANSWER_BYTES_MAX: usize = PAGE_BYTES_MAX + ALERT_ANSWER_BYTES_MAX + 64 * 1024;
/// The longest page of an export, in bytes: it ends with the rows that were read at once and reach [`PAGE_BYTES_MAX`].
pub const EXPORT_ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Records on one page of an export.
pub const EXPORT_RECORDS_MAX: usize = 1_000;
/// Rows that are read at once for it, each of up to 64 KiB.
pub const EXPORT_READ_AT_ONCE: usize = 16;
/// Members on one page.
pub const MEMBERS_PER_PAGE_MAX: usize = 1_000;
/// The longest page of the audit log, in bytes: each entry has at most a name of 256 bytes and some words.
pub const AUDIT_ANSWER_BYTES_MAX: usize = 512 * 1024;
/// Entries of the audit log on one page.
pub const AUDIT_ENTRIES_PER_PAGE_MAX: usize = 500;
/// Recipients in one timeline.
pub const TIMELINE_RECIPIENTS_MAX: usize = 100;

/// The bounds that all requests share; a test sets them lower.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Alerts being published, of which a tenant has half at most. Every request fits: half is more than
    /// [`HOOK_ALERTS_TOLD_MAX`] and [`HOOK_ENDS_MAX`] together.
    pub publishes_in_flight_max: usize,
    /// Bytes of bodies being read or worked on, of which a tenant has half at most. Every request fits: half is not less than
    /// [`BODY_BYTES_MAX`].
    pub body_bytes_in_flight_max: usize,
    /// How long the broker has to confirm a whole request.
    pub publish_deadline: Duration,
}

impl Limits {
    /// Those of a process with these budgets.
    pub fn within(memory: &MemoryBudgets) -> Self {
        Self {
            publishes_in_flight_max: 16_384,
            body_bytes_in_flight_max: memory.bodies,
            publish_deadline: Duration::from_secs(5),
        }
    }
}

impl Default for Limits {
    /// Those of a process without a limit of its memory.
    fn default() -> Self {
        Self::within(&MemoryBudgets::default())
    }
}

#[test]
fn every_request_fits_into_the_half_that_a_tenant_may_have() {
    let smallest = Limits::within(&MemoryBudgets::within(Some(0)));
    assert!(smallest.body_bytes_in_flight_max / 2 >= BODY_BYTES_MAX);
    assert!(smallest.publishes_in_flight_max / 2 >= HOOK_ALERTS_TOLD_MAX + HOOK_ENDS_MAX);
}
