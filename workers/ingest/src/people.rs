//! Users and groups, as far as producers keep them.
//!
//! A group changes by difference: `PUT` with `add` and `remove`, `DELETE` with the users to take out. Nothing replaces a
//! whole group, so two producers that each change a part do not undo each other. All of it is safe to repeat. Each change
//! leaves an entry in the audit log, in its commit.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use tracing::{debug, warn};
use watchbell::{
    broker::{Announcement, Announcer},
    domain::{
        Channel, GroupId, PerChannel, Secret, Tenant, Timestamp, UserId, UserKey, channel::AddressForm,
    },
    runtime::http::{Failure as _, JsonBody, Name, NameInPath, Query, limit},
    store::{Contact, Revocation},
    wire::{Problem, preferences::PreferencesV1},
};

use crate::{
    App, Shared,
    answers::{Members, Revoked},
    auth::Producer,
    limits::{MEMBERS_PER_CHANGE_MAX, MEMBERS_PER_PAGE_MAX},
    request::{self, JsonOnly},
    users::{private, room_for_a_list},
};

/// The longest language tag, in bytes: what RFC 5646, section 4.4.1, tells programs to expect.
pub const LOCALE_BYTES_MAX: usize = 35;
/// How long the broker may take to confirm live preferences, which are a hint.
const HINT_DEADLINE: Duration = Duration::from_secs(2);
/// Members on a page when no limit is given.
pub const MEMBERS_PER_PAGE: usize = 100;

/// How a user can be written to, and what holds where they say nothing themselves. `email` is short for the one in `addresses`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    /// The outer `None`: it is not there. Given as `null`, it takes the address away.
    #[serde(default, deserialize_with = "given")]
    email: Option<Option<String>>,
    addresses: Option<BTreeMap<String, Option<String>>>,
    locale: Option<String>,
    time_zone: Option<String>,
    preferences: Option<PreferencesV1>,
}

/// A field that is there, be it `null`.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// Makes a user known and replaces how they can be written to.
pub async fn put_user(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(user): NameInPath<UserId>,
    JsonBody(given, _): JsonBody<UserBody, JsonOnly>,
) -> Result<Response, Problem> {
    let user = UserId::parse_new(user.as_str()).map_err(|why| Problem::invalid("user", why.to_string()))?;
    let locale = given.locale.as_deref().map(locale_of).transpose()?;
    let time_zone = given.time_zone.as_deref().map(zone_of).transpose()?;
    let preferences = given.preferences.as_ref().map(preferences_of).transpose()?;
    let contact = Contact { addresses: addresses_of(given)?, locale, time_zone, preferences };
    let now = shared.ingest.clock.now();
    let store = shared.ingest.store.by(producer.actor());
    let user = UserKey::new(producer.tenant, user);
    let held = store.preferences(&user).await?;
    store.put_user(&user, &contact, now).await?;
    tell_preferences(&shared, &user, held).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Tells the user's open sessions what holds now, where that is not what held before. It is a hint: who misses it is told by the
/// next `hello`, so nothing here fails the request.
async fn tell_preferences(shared: &Shared, user: &UserKey, held: Option<String>) {
    let holds = match shared.ingest.store.preferences(user).await {
        Ok(holds) if holds != held => holds,
        Ok(_) => return,
        Err(error) => return debug!(%error, "Live preferences were not told: the store did not answer"),
    };
    let preferences = holds.as_deref().and_then(PreferencesV1::decode).unwrap_or_default();
    let announcement = Announcement::preferences(user, &preferences, (shared.ingest.new_id)());
    let Some(announcement) = announcement else { return };
    let announcer = Announcer { broker: shared.ingest.broker.clone(), deadline: HINT_DEADLINE };
    if let Err(error) = announcer.publish(announcement).await {
        debug!(%error, "Live preferences were not confirmed; sessions learn of them when they connect");
    }
}

/// Ends a user's sessions, refuses the tokens they were opened with (those issued up to now), and takes out the devices that
/// were registered with them.
///
/// The store is told first, so a pod that misses the live message finds the same when it compares, or when one of
/// the sessions comes back.
pub async fn revoke_sessions(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(user): NameInPath<UserId>,
) -> Result<Response, Problem> {
    let store = shared.ingest.store.by(producer.actor());
    let user = UserKey::new(producer.tenant, user);
    let Revocation { at, devices } = store.revoke_sessions(&user, shared.ingest.clock.now()).await?;
    let detail = "No new session is let in with the old tokens, but open ones may not have ended: send the request again.";
    end_sessions(&shared, &user, at, detail).await?;
    Ok(Json(Revoked { revoked_at: at.to_string(), devices }).into_response())
}

/// Tells every pod to end the sessions that were opened with tokens issued up to then.
///
/// # Errors
/// 503 with this detail: the pods may not have heard.
pub async fn end_sessions(
    shared: &Shared,
    user: &UserKey,
    issued_until: Timestamp,
    detail: &str,
) -> Result<(), Problem> {
    let announcement = Announcement::revocation(user, issued_until, (shared.ingest.new_id)());
    let announcer = Announcer { broker: shared.ingest.broker.clone(), deadline: shared.publish_deadline };
    announcer.publish(announcement).await.map_err(|error| {
        warn!(%error, "Sessions were revoked, but the pods may not know yet");
        Problem { detail: Some(detail.into()), ..error.kind().problem() }
    })
}

/// The addresses by channel.
fn addresses_of(given: UserBody) -> Result<PerChannel<Option<Secret>>, Problem> {
    let mut addresses = PerChannel::default();
    let by_channel = given.addresses.unwrap_or_default();
    if given.email.is_some() && by_channel.contains_key(Channel::Email.as_str()) {
        return Err(Problem::invalid("email", "is in `addresses` as well: give it once"));
    }
    for (word, text) in by_channel {
        let channel = word.parse::<Channel>().ok();
        let Some((channel, form)) = channel.and_then(|channel| Some((channel, channel.address_form()?)))
        else {
            return Err(Problem::invalid("addresses", format!("has a channel that is none: {}", accepted())));
        };
        let field = format!("addresses.{channel}");
        addresses[channel] = text.map(|text| address_of(&field, &text, form)).transpose()?;
    }
    if let (Some(Some(text)), Some(form)) = (given.email, Channel::Email.address_form()) {
        addresses[Channel::Email] = Some(address_of("email", &text, form)?);
    }
    Ok(addresses)
}

/// What an error says of the channels that go to an address.
fn accepted() -> String {
    let words = Channel::ALL.into_iter().filter(|channel| channel.address_form().is_some());
    format!("accepted are {}", words.map(Channel::as_str).collect::<Vec<_>>().join(", "))
}

/// The address in its one form. It is never repeated in a refusal: it is somebody's.
fn address_of(field: &str, text: &str, form: AddressForm) -> Result<Secret, Problem> {
    (form.parse)(text).map_err(|why| Problem::invalid(field, why))
}

fn locale_of(text: &str) -> Result<String, Problem> {
    let is_tag = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match is_tag && text.len() <= LOCALE_BYTES_MAX {
        true => Ok(text.to_owned()),
        false => Err(Problem::invalid("locale", "must be a language tag (BCP 47) such as en or pt-BR")),
    }
}

fn zone_of(name: &str) -> Result<String, Problem> {
    let zone = TimeZone::get(name).ok();
    let name = zone.as_ref().and_then(TimeZone::iana_name);
    name.map(str::to_owned).ok_or_else(|| {
        Problem::invalid("time_zone", "must be the name of a time zone, such as Europe/Warsaw")
    })
}

fn preferences_of(written: &PreferencesV1) -> Result<String, Problem> {
    let checked = written
        .accept()
        .map_err(|error| Problem::invalid(format!("preferences.{}", error.field), error.problem))?;
    Ok(written.clone().in_one_form(&checked).encode())
}

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersQuery {
    after: Option<Name<UserId>>,
    limit: Option<usize>,
}

/// A page of a group's members, in order.
pub async fn members(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    NameInPath(group): NameInPath<GroupId>,
    Query(page): Query<MembersQuery>,
) -> Result<Response, Problem> {
    let limit = limit(page.limit, MEMBERS_PER_PAGE, MEMBERS_PER_PAGE_MAX)?;
    let after = page.after.map(|Name(after)| after);
    let room = room_for_a_list(&shared, &tenant).await?;
    // One more than asked for, to know whether there is another page.
    let mut members = shared.ingest.store.members_after(&tenant, &group, after.as_ref(), limit + 1).await?;
    let more = members.len() > limit;
    members.truncate(limit);
    let members: Vec<String> = members.iter().map(|user| user.as_str().to_owned()).collect();
    let next = members.last().filter(|_| more).cloned();
    Ok(private(room, &Members { members, next }))
}

/// Who comes into a group, and who leaves it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersBody {
    add: Option<Vec<Name<UserId>>>,
    remove: Option<Vec<Name<UserId>>>,
}

/// Puts users into a group and takes others out.
pub async fn change_members(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(group): NameInPath<GroupId>,
    JsonBody(given, _): JsonBody<MembersBody, JsonOnly>,
) -> Result<Response, Problem> {
    let users = |names: Option<Vec<Name<UserId>>>| -> Vec<UserId> {
        names.unwrap_or_default().into_iter().map(|Name(user)| user).collect()
    };
    let (add, remove) = (users(given.add), users(given.remove));
    if add.len() + remove.len() > MEMBERS_PER_CHANGE_MAX {
        let detail =
            format!("has with `remove` more than {MEMBERS_PER_CHANGE_MAX} names: send several requests");
        return Err(Problem::invalid("add", detail));
    }
    let added: HashSet<&UserId> = add.iter().collect();
    if let Some(both) = remove.iter().position(|user| added.contains(user)) {
        return Err(Problem::invalid(format!("remove[{both}]"), "is in `add` as well: which of the two?"));
    }
    if !add.is_empty() {
        GroupId::parse_new(group.as_str()).map_err(|why| Problem::invalid("group", why.to_string()))?;
    }
    for (at, user) in add.iter().enumerate() {
        UserId::parse_new(user.as_str())
            .map_err(|why| Problem::invalid(format!("add[{at}]"), why.to_string()))?;
    }
    let now = shared.ingest.clock.now();
    let store = shared.ingest.store.by(producer.actor());
    store.change_members(&producer.tenant, &group, &add, &remove, now).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whom to take out of a group, with commas between them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaversQuery {
    #[serde(default)]
    users: String,
}

/// Takes users out of a group. They are in the address, because bodies of `DELETE` get lost on the way.
pub async fn remove_members(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(group): NameInPath<GroupId>,
    Query(leavers): Query<LeaversQuery>,
) -> Result<Response, Problem> {
    let users: Vec<UserId> = request::list("users", &leavers.users)?;
    if users.is_empty() {
        return Err(Problem::invalid("users", "must name whom to take out: ?users=ana,ben"));
    }
    let now = shared.ingest.clock.now();
    let store = shared.ingest.store.by(producer.actor());
    store.change_members(&producer.tenant, &group, &[], &users, now).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The table of what is an address is in `domain::email`.
    #[test]
    fn an_address_is_kept_in_its_one_form_and_a_refusal_does_not_repeat_it() {
        let addresses = |email: &str| {
            let body = format!(r#"{{"email": "{email}"}}"#);
            addresses_of(serde_json::from_str(&body).unwrap())
        };
        let kept = addresses("Ana@Example.COM").unwrap();
        assert_eq!(kept[Channel::Email].as_ref().map(Secret::expose), Some("Ana@example.com"));
        let refused = addresses("Ana <canary@example.com>").unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("email"));
        assert!(!format!("{refused:?}").contains("canary"));
    }

    /// `null` takes an address away, which is as much said twice as an address is.
    #[test]
    fn an_email_is_given_once_be_it_null() {
        for (body, expected) in [
            (r#"{"email": null}"#, true),
            (r#"{"addresses": {"email": null}}"#, true),
            (r#"{"email": null, "addresses": {"email": null}}"#, false),
            (r#"{"email": "ana@example.com", "addresses": {"email": null}}"#, false),
        ] {
            let given: UserBody = serde_json::from_str(body).unwrap();
            assert_eq!(addresses_of(given).is_ok(), expected, "{body}");
        }
    }

    #[test]
    fn a_locale_is_a_tag() {
        for (text, expected) in
            [("en", true), ("pt-BR", true), ("", false), ("en_US", false), ("en\n", false)]
        {
            assert_eq!(locale_of(text).is_ok(), expected, "{text}");
        }
    }
}
