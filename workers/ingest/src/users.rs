//! `GET /v1/users` and `GET /v1/users/{user}`: who there is, and one person with their addresses, groups and devices; devices on a
//! user's behalf.
//!
//! No answer has a push token in it. Every list has a bound, and what is more says so.

use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{Channel, Device, DeviceId, GroupId, Tenant, UserId, UserKey},
    runtime::http::{AnswerBytes, Name, NameInPath, PAGE_BYTES_TAKEN, Path, Query, limit, name},
    store::{ListedPerson, Store, StoreError, StoredPerson},
    wire::{Problem, preferences::PreferencesV1},
};

use crate::{
    App, Shared,
    answers::{ListedUser, User, UserAddress, UserCounts, UserDevice, UserDevices, Users},
    auth::Producer,
    limits::{ALERTS_COUNTED_MAX, GROUPS_OF_USER_MAX, USERS_LOOKED_AT_MAX, USERS_PER_PAGE_MAX},
};

/// People on a page when no limit is given.
pub const USERS_PER_PAGE: usize = 100;

/// Which people.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsersQuery {
    prefix: Option<Name<UserId>>,
    group: Option<Name<GroupId>>,
    after: Option<Name<UserId>>,
    limit: Option<usize>,
}

/// A page of people, in order.
pub async fn list(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    Query(page): Query<UsersQuery>,
) -> Result<Response, Problem> {
    let limit = limit(page.limit, USERS_PER_PAGE, USERS_PER_PAGE_MAX)?;
    let after = page.after.map(|Name(after)| after);
    let group = page.group.map(|Name(group)| group);
    let prefix = page.prefix.map(|Name(prefix)| prefix);
    let wanted =
        Wanted { tenant: &tenant, group: group.as_ref(), prefix: prefix.as_ref().map(UserId::as_str) };
    let room = room_for_a_list(&shared, &tenant).await?;
    let (people, next) = wanted.page(&shared.ingest.store, after.as_ref(), limit).await?;
    let users = people.into_iter().map(listed_of).collect();
    Ok(private(room, &Users { users, next: next.map(|next| next.as_str().to_owned()) }))
}

/// Which people are asked for.
struct Wanted<'a> {
    tenant: &'a Tenant,
    group: Option<&'a GroupId>,
    prefix: Option<&'a str>,
}

impl Wanted<'_> {
    /// Up to `limit` of them, and behind whom the next page begins. At most [`USERS_LOOKED_AT_MAX`] are looked at, so a page may be
    /// short, or empty, and yet not the last.
    async fn page(
        &self,
        store: &Store,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<(Vec<ListedPerson>, Option<UserId>), StoreError> {
        let prefix = self.prefix.unwrap_or_default();
        // Where names are in the order of their bytes, those that begin alike stand together. In a language's order they may not.
        let stand_together = prefix.is_empty() || store.names_are_in_byte_order().await?;
        let (mut found, mut last, mut looked_at) = (Vec::new(), after.cloned(), 0);
        loop {
            let read = limit.saturating_add(1);
            let from = last.as_ref().map_or(prefix, UserId::as_str);
            let people = match self.group {
                Some(group) => {
                    store.people_of_group_from(self.tenant, group, from, last.as_ref(), read).await?
                }
                None => store.people_from(self.tenant, from, last.as_ref(), read).await?,
            };
            let is_end = people.len() < read;
            for person in people {
                let is_wanted = person.user.as_str().starts_with(prefix);
                if !is_wanted && stand_together {
                    return Ok((found, None));
                }
                if found.len() == limit || looked_at == USERS_LOOKED_AT_MAX {
                    return Ok((found, last));
                }
                looked_at += 1;
                last = Some(person.user.clone());
                found.extend(is_wanted.then_some(person));
            }
            if is_end {
                return Ok((found, None));
            }
        }
    }
}

fn listed_of(person: ListedPerson) -> ListedUser {
    ListedUser {
        user: person.user.as_str().to_owned(),
        known: person.known,
        locale: person.locale,
        created_at: person.created_at.to_string(),
        unread: person.unread,
    }
}

/// One person: everything but their inbox and their tokens.
pub async fn show(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    NameInPath(user): NameInPath<UserId>,
) -> Result<Response, Problem> {
    let room = room_for_a_list(&shared, &tenant).await?;
    let user = UserKey::new(tenant, user);
    let store = &shared.ingest.store;
    let person =
        store.person(&user, GROUPS_OF_USER_MAX + 1, ALERTS_COUNTED_MAX).await?.ok_or_else(unknown)?;
    let devices = store.devices(&user).await?;
    Ok(private(room, &user_of(person, &devices)))
}

fn user_of(person: StoredPerson, devices: &[Device]) -> User {
    let mut groups: Vec<String> = person.groups.iter().map(GroupId::to_string).collect();
    let has_more_groups = groups.len() > GROUPS_OF_USER_MAX;
    groups.truncate(GROUPS_OF_USER_MAX);
    let addresses = person.addresses.iter().filter_map(|(channel, known): (Channel, _)| {
        let known = known.as_ref()?;
        let address = known.address.expose().to_owned();
        Some((channel.as_str(), UserAddress { address, refused: known.is_refused }))
    });
    User {
        addresses: addresses.collect(),
        groups,
        has_more_groups,
        devices: devices.iter().map(device_of).collect(),
        sessions_revoked_at: person.sessions_revoked_at.map(|at| at.to_string()),
        counts: UserCounts {
            unread: person.listed.unread,
            alerts: person.alerts,
            more_alerts: person.alerts == ALERTS_COUNTED_MAX as u64,
        },
        user: person.listed.user.as_str().to_owned(),
        known: person.listed.known,
        locale: person.listed.locale,
        time_zone: person.time_zone,
        preferences: person.preferences.as_deref().and_then(PreferencesV1::decode),
        created_at: person.listed.created_at.to_string(),
    }
}

/// The answer about somebody who is not there, or another tenant's, which must look the same (I8).
fn unknown() -> Problem {
    Problem::not_found("Nobody of this name is known for this API key.")
}

fn no_device() -> Problem {
    Problem::not_found("This user has no device of that name.")
}

fn device_of(device: &Device) -> UserDevice {
    UserDevice {
        device: device.id.to_string(),
        service: device.service.as_str(),
        environment: device.environment.as_str(),
        registered_at: device.registered_at.to_string(),
    }
}

/// A user's devices, without their tokens; none of somebody who is not known.
pub async fn devices(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    NameInPath(user): NameInPath<UserId>,
) -> Result<Response, Problem> {
    let room = room_for_a_list(&shared, &tenant).await?;
    let devices = shared.ingest.store.devices(&UserKey::new(tenant, user)).await?;
    Ok(private(room, &UserDevices { devices: devices.iter().map(device_of).collect() }))
}

/// Takes all of a user's devices out, as when a phone was stolen and nobody knows which.
pub async fn remove_devices(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(user): NameInPath<UserId>,
) -> Result<Response, Problem> {
    let store = shared.ingest.store.by(producer.actor());
    let user = UserKey::new(producer.tenant, user);
    store.delete_devices(&user, None, shared.ingest.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A user and one of their devices, as they stand in the address.
fn device_in((user, device): &(String, String)) -> Result<(UserId, DeviceId), Problem> {
    Ok((name("user", user)?, name("device", device)?))
}

/// One of a user's devices, without its token.
pub async fn device(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    Path(names): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (user, id) = device_in(&names)?;
    let room = room_for_a_list(&shared, &tenant).await?;
    let devices = shared.ingest.store.devices(&UserKey::new(tenant, user)).await?;
    let device = devices.iter().find(|device| device.id == id).ok_or_else(no_device)?;
    Ok(private(room, &device_of(device)))
}

/// Takes one of a user's devices out: nothing is pushed to it any more.
pub async fn remove_device(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    Path(names): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (user, id) = device_in(&names)?;
    let store = shared.ingest.store.by(producer.actor());
    let user = UserKey::new(producer.tenant, user);
    match store.delete_devices(&user, Some(&id), shared.ingest.clock.now()).await? {
        0 => Err(no_device()),
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Sends to an address again that refused messages, or whose mails came back.
pub async fn lift_refusal(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    Path(names): Path<(String, String)>,
) -> Result<Response, Problem> {
    let user = name("user", &names.0)?;
    let channel = names.1.parse::<Channel>().ok().filter(|channel| channel.address_form().is_some());
    let channel = channel.ok_or_else(|| {
        let known = Channel::ALL.into_iter().filter(|channel| channel.address_form().is_some());
        let known: Vec<&str> = known.map(Channel::as_str).collect();
        Problem::invalid("channel", format!("must be one that has an address: {}", known.join(", ")))
    })?;
    let store = shared.ingest.store.by(producer.actor());
    let user = UserKey::new(producer.tenant, user);
    match store.lift_refusal(&user, channel, shared.ingest.clock.now()).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found("This user has no address for that channel that refused messages.")),
    }
}

/// Memory for a list, to be taken before anything of it is read. It is given back when the client has taken the answer.
///
/// # Errors
/// 503 when others hold all of it.
pub async fn room_for_a_list(shared: &Shared, tenant: &Tenant) -> Result<AnswerBytes, Problem> {
    Ok(shared.ingest.answers.take(tenant, PAGE_BYTES_TAKEN).await?)
}

/// An answer that nobody on the way may keep.
pub fn private(room: AnswerBytes, answer: &impl Serialize) -> Response {
    let mut response = room.json(answer);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
