//! What the store knows of alerts before they are published: who is told the same again, who contradicts, who is unknown.
//!
//! What holds here:
//! - A request waits for the store once, when it is the turn of its tenant, and for a bounded time ([`crate::questions`]).
//!   Without an answer everything is published, and dispatch finds out: it decides by the same table,
//!   `watchbell::domain::publication`.
//! - The alerts of one request are compared with each other, too.
//! - What was published and is not recorded yet cannot be known here.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tracing::debug;
use watchbell::{
    domain::{
        Alert, AlertId, GroupId, Tenant, UserId,
        publication::{Known, Meets, Publication, TooFarAhead, VersionFingerprints, meets},
    },
    store::{Store, StoreError},
    wire::{Problem, content_of},
};

use crate::{
    Shared,
    answers::Remarks,
    auth::Producer,
    limits::{
        GROUPS_LOOKED_FOR_MAX, READS_PER_REQUEST_MAX, USERS_LOOKED_FOR_MAX, USERS_PER_READ_MAX,
        USERS_UNKNOWN_NAMED_MAX, USERS_UNKNOWN_NAMED_PER_REQUEST_MAX,
    },
};

/// What the store answered about the alerts of a request; nothing at all when it did not.
#[derive(Debug, Default)]
pub struct Answered {
    alerts: HashMap<AlertId, Known>,
    /// Of the users who were looked for, those who are not known.
    unknown: HashSet<UserId>,
    /// Of the groups that were looked for, those in which nobody is.
    empty: HashSet<GroupId>,
    /// Names of either that were told already.
    named: usize,
}

/// Asks the store about the alerts of a request.
pub async fn ask(shared: &Shared, producer: &Producer, alerts: &[&Alert]) -> Answered {
    let now = shared.ingest.clock.now();
    if alerts.is_empty() || shared.ingest.keys.is_store_away(now) {
        return Answered::default();
    }
    let tenant = &producer.tenant;
    let question = look_up(&shared.ingest.store, tenant, alerts);
    match shared.questions.ask(tenant, now, question).await {
        None => Answered::default(),
        Some(Ok(answered)) => answered,
        Some(Err(StoreError::Unavailable { .. })) => {
            shared.ingest.keys.store_is_away(now);
            Answered::default()
        }
        Some(Err(error)) => {
            debug!(%error, "The store cannot say what it has of these alerts: dispatch finds out");
            Answered::default()
        }
    }
}

/// Reads of the alerts, of their people and of their groups at once, because the producer waits for all. Those of many people come one after the
/// other, each of a bounded number of rows, so that others' reads come in between.
async fn look_up(store: &Store, tenant: &Tenant, alerts: &[&Alert]) -> Result<Answered, StoreError> {
    let ids: Vec<AlertId> = unique(alerts.iter().map(|alert| &alert.id), usize::MAX);
    let users: Vec<UserId> = unique(alerts.iter().flat_map(|alert| &alert.to.users), USERS_LOOKED_FOR_MAX);
    let groups = unique(alerts.iter().flat_map(|alert| &alert.to.groups), GROUPS_LOOKED_FOR_MAX);
    let (alerts, known, empty) = tokio::try_join!(
        store.known_alerts(tenant, &ids),
        known_of(store, tenant, &users),
        empty_of(store, tenant, groups)
    )?;
    let unknown = users.into_iter().filter(|user| !known.contains(user)).collect();
    Ok(Answered { alerts, unknown, empty, named: 0 })
}

/// Those of these groups in which nobody is.
pub async fn empty_of(
    store: &Store,
    tenant: &Tenant,
    groups: Vec<GroupId>,
) -> Result<HashSet<GroupId>, StoreError> {
    let reads = stream::iter(groups).map(|group| async move {
        let first = store.members_after(tenant, &group, None, 1).await?;
        Ok::<_, StoreError>(first.is_empty().then_some(group))
    });
    let all: Vec<Option<GroupId>> = reads.buffered(READS_PER_REQUEST_MAX).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

/// Those of these people who are known.
pub async fn known_of(
    store: &Store,
    tenant: &Tenant,
    users: &[UserId],
) -> Result<HashSet<UserId>, StoreError> {
    let mut known = HashSet::new();
    for some in users.chunks(USERS_PER_READ_MAX) {
        known.extend(store.known_users(tenant, some).await?);
    }
    Ok(known)
}

/// Each once, in the order they come, and the first `max` of them.
pub fn unique<'a, T: Clone + Eq + std::hash::Hash + 'a>(
    all: impl Iterator<Item = &'a T>,
    max: usize,
) -> Vec<T> {
    let mut seen = HashSet::new();
    all.filter(|one| seen.insert(*one)).take(max).cloned().collect()
}

/// What the producer hears of one alert.
#[derive(Debug)]
pub struct Verdict {
    /// Why it is not published; none when it is.
    pub refused: Option<Problem>,
    /// What there is to say of one that is.
    pub remarks: Remarks,
}

impl Answered {
    /// What becomes of the next alert of the request; those after it are compared with it.
    pub fn verdict(&mut self, producer: &Producer, alert: &Alert) -> Verdict {
        let publication = Publication::of(alert, &content_of(alert), Some(producer.maker.clone()));
        let met = meets(self.alerts.get(&alert.id), alert.version, &publication);
        if matches!(met, Meets::Nothing | Meets::Earlier) {
            let maker = Some(producer.maker.key.clone());
            let first = || Known { version: alert.version, said: VersionFingerprints::default(), maker };
            let known = self.alerts.entry(alert.id.clone()).or_insert_with(first);
            known.version = alert.version;
            known.said.add(alert.version, publication.fingerprint);
        }
        let unknown = || alert.to.users.iter().filter(|user| self.unknown.contains(*user));
        let left =
            USERS_UNKNOWN_NAMED_PER_REQUEST_MAX.saturating_sub(self.named).min(USERS_UNKNOWN_NAMED_MAX);
        let users_unknown: Vec<String> = unknown().take(left).map(|user| user.as_str().to_owned()).collect();
        let users_unknown_count = unknown().count();
        self.named += users_unknown.len();
        let left =
            USERS_UNKNOWN_NAMED_PER_REQUEST_MAX.saturating_sub(self.named).min(USERS_UNKNOWN_NAMED_MAX);
        let empty = alert.to.groups.iter().filter(|group| self.empty.contains(*group));
        let groups_empty: Vec<String> = empty.take(left).map(GroupId::to_string).collect();
        self.named += groups_empty.len();
        Verdict {
            refused: match met {
                Meets::Conflict => Some(conflict(alert.version)),
                Meets::NotItsOwn => Some(not_its_own()),
                Meets::TooFarAhead => Some(too_far_ahead()),
                // Published all the same: what overtook it may not be its last word, and dispatch keeps a copy of it.
                Meets::Nothing | Meets::Earlier | Meets::Same | Meets::Later | Meets::Stale => None,
            },
            remarks: Remarks {
                duplicate: met == Meets::Same,
                stale: matches!(met, Meets::Later | Meets::Stale),
                users_unknown,
                users_unknown_count,
                groups_empty,
            },
        }
    }
}

fn conflict(version: u32) -> Problem {
    let detail = format!(
        "Version {version} of this id is recorded and says something else: take another id, or a higher version if it is \
         the same alert."
    );
    Problem { field: Some("version".into()), ..Problem::conflict(detail) }
}

/// The answer to a version that leaves its owner no room: whether it is one depends on what is recorded.
pub fn too_far_ahead() -> Problem {
    Problem { field: Some("version".into()), ..Problem::conflict(TooFarAhead.to_string()) }
}

/// The answer to a key that may touch only what it made.
pub fn not_its_own() -> Problem {
    let detail = "The alert of this id was made by another producer, and this API key may change and read only its own alerts.";
    Problem { field: Some("id".into()), ..Problem::forbidden(detail) }
}
