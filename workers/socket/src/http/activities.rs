//! Live Activities over HTTP: an app registers the token of one that its device shows, and says when it is gone there.
//! Keyed by the token's user, their device and an alert of their inbox, so nobody reaches anybody else's (I8).

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;
use watchbell::{
    domain::{DeviceId, live_activity::ACTIVITIES_PER_USER_MAX},
    runtime::http::{JsonBody, Path, name},
    store::{ActivityRegistered, EscalationKey},
    wire::Problem,
};

use crate::{
    http::{
        devices::{Devices, activity_token},
        inbox::UserBodies,
    },
    token::Identity,
};

/// A Live Activity as an app registers it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivitySaid)]
pub(crate) struct ActivityBody {
    /// What the activity's `pushTokenUpdates` gave: two hexadecimal digits a byte, 32 bytes or more, in any case.
    #[schema(min_length = 64, max_length = 400, pattern = "^([0-9A-Fa-f]{2}){32,}$")]
    token: String,
}

/// `PUT /v1/devices/{device}/activities/{alert}`: registers its token, or a later one of it.
pub(crate) async fn put(
    State(devices): State<Devices>,
    identity: Identity,
    Path((device, alert)): Path<(String, String)>,
    JsonBody(body, _): JsonBody<ActivityBody, UserBodies>,
) -> Result<StatusCode, Problem> {
    let (device, key) = named(&identity, &device, &alert)?;
    let token = activity_token("token", &body.token)?;
    match devices.store.put_activity(&key, &device, &token, devices.clock.now()).await? {
        ActivityRegistered::Done => Ok(StatusCode::NO_CONTENT),
        ActivityRegistered::NoDevice => {
            Err(Problem::not_found("there is no device of Apple's of that name: register it first"))
        }
        ActivityRegistered::NoAlert => {
            Err(Problem::not_found("there is no such alert in the inbox: end the activity"))
        }
        ActivityRegistered::TooMany => Err(Problem::conflict(format!(
            "a user has at most {ACTIVITIES_PER_USER_MAX} Live Activities: end one first"
        ))),
    }
}

/// `DELETE /v1/devices/{device}/activities/{alert}`: it is not on the device any more.
pub(crate) async fn delete(
    State(devices): State<Devices>,
    identity: Identity,
    Path((device, alert)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (device, key) = named(&identity, &device, &alert)?;
    match devices.store.delete_activity(&key, &device).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("there is no Live Activity of that alert on that device")),
    }
}

fn named(identity: &Identity, device: &str, alert: &str) -> Result<(DeviceId, EscalationKey), Problem> {
    let key = EscalationKey { user: identity.user.clone(), alert: name("alert", alert)? };
    Ok((name("device", device)?, key))
}
