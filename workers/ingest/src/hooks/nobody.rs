//! Who of those that an alert names is nobody: users who are not known, and groups in which nobody is.
//!
//! A hook tells them all the same, since they may come to be. The answer says so, because a misspelt name looks to its sender
//! like an alert that everybody was told of.

use std::collections::HashSet;

use watchbell::{
    domain::{Alert, Audience, GroupId, Tenant, UserId},
    store::StoreError,
};

use crate::{
    Shared,
    known::{empty_of, known_of, unique},
    limits::{GROUPS_LOOKED_FOR_MAX, USERS_LOOKED_FOR_MAX, USERS_UNKNOWN_NAMED_MAX},
};

/// What the store answered about the names of a post; nothing when it did not in time.
#[derive(Debug, Default)]
pub struct Nobodies {
    users: HashSet<UserId>,
    groups: HashSet<GroupId>,
}

/// Asks the store about everybody these alerts name.
pub async fn ask(shared: &Shared, tenant: &Tenant, alerts: &[&Alert]) -> Nobodies {
    let store = &shared.ingest.store;
    let users = unique(alerts.iter().flat_map(|alert| &alert.to.users), USERS_LOOKED_FOR_MAX);
    let groups = unique(alerts.iter().flat_map(|alert| &alert.to.groups), GROUPS_LOOKED_FOR_MAX);
    if users.is_empty() && groups.is_empty() {
        return Nobodies::default();
    }
    let question = async {
        let known = known_of(store, tenant, &users).await?;
        Ok::<_, StoreError>((known, empty_of(store, tenant, groups).await?))
    };
    match shared.questions.ask(tenant, shared.ingest.clock.now(), question).await {
        Some(Ok((known, groups))) => {
            Nobodies { users: users.into_iter().filter(|user| !known.contains(user)).collect(), groups }
        }
        Some(Err(_)) | None => Nobodies::default(),
    }
}

impl Nobodies {
    /// Those of them whom one alert names.
    pub fn among(&self, to: &Audience) -> Unheard {
        let users: Vec<&UserId> = to.users.iter().filter(|user| self.users.contains(*user)).collect();
        let groups: Vec<&GroupId> = to.groups.iter().filter(|group| self.groups.contains(*group)).collect();
        Unheard {
            users_count: users.len(),
            users: users
                .into_iter()
                .take(USERS_UNKNOWN_NAMED_MAX)
                .map(|user| user.as_str().to_owned())
                .collect(),
            groups: groups.into_iter().take(USERS_UNKNOWN_NAMED_MAX).map(GroupId::to_string).collect(),
        }
    }
}

/// Names of one alert by which nobody is told.
#[derive(Debug, Clone, Default)]
pub struct Unheard {
    /// The first of the users.
    pub users: Vec<String>,
    /// How many users.
    pub users_count: usize,
    /// The first of the groups.
    pub groups: Vec<String>,
}
