//! `GET|PUT /v1/preferences`: what the user wants, by which channel, and when not.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde_json::value::RawValue;
use tracing::debug;
use uuid::Uuid;
use watchbell::{
    broker::{Address, Message, SharedBroker, topology::PARTITIONS},
    domain::UserKey,
    runtime::{Clock, http::JsonBody},
    store::Store,
    wire::{
        Problem,
        live::{LivePreferences, LiveV1},
        preferences::PreferencesV1,
    },
};

use crate::{http::inbox::UserBodies, token::Identity};

/// How long the broker may take to confirm a live message.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(2);

/// Reads and changes the preferences of users.
#[derive(Clone)]
pub(crate) struct Preferences {
    pub(crate) store: Store,
    pub(crate) broker: SharedBroker,
    pub(crate) clock: Clock,
}

/// What the user wants; `{}` for everything, always.
pub(crate) async fn get(
    State(preferences): State<Preferences>,
    identity: Identity,
) -> Result<Response, Problem> {
    let stored = preferences.store.preferences(&identity.user).await?;
    let written = stored.as_deref().and_then(PreferencesV1::decode).unwrap_or_default();
    Ok(Json(written).into_response())
}

/// Replaces it whole, and answers with what holds now. What waits for the end of a silence is looked at again.
pub(crate) async fn put(
    State(preferences): State<Preferences>,
    identity: Identity,
    JsonBody(written, _): JsonBody<PreferencesV1, UserBodies>,
) -> Result<Response, Problem> {
    let checked = written.read().map_err(|error| Problem::invalid(error.field, error.problem))?;
    let written = PreferencesV1::write(&checked);
    let (encoded, now) = (written.encode(), preferences.clock.now());
    let change = |_: Option<&str>| encoded.clone();
    preferences.store.change_preferences(&identity.user, now, &change).await?;
    preferences.tell(&identity.user, &written).await;
    Ok(Json(written).into_response())
}

impl Preferences {
    /// Tells every session of the user, on whichever pod. A hint: who misses it is told by the next `hello`.
    pub(crate) async fn tell(&self, user: &UserKey, preferences: &PreferencesV1) {
        // What was just encoded reads back.
        let Ok(encoded) = RawValue::from_string(preferences.encode()) else { return };
        let live = LiveV1::Preferences(LivePreferences {
            tenant: user.tenant.to_string(),
            user: user.user.to_string(),
            preferences: &encoded,
        });
        let to = Address::Live(user.partition(PARTITIONS));
        let message = Message::json(Uuid::new_v4().to_string(), live.encode());
        if let Err(error) = self.broker.publish(to, message, PUBLISH_DEADLINE).await {
            debug!(%error, "Live preferences were not confirmed; sessions learn of them when they connect");
        }
    }
}
