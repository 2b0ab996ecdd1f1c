//! `GET|PUT /v1/preferences`: what the user wants, by which channel, and when not.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use tracing::debug;
use uuid::Uuid;
use watchbell::{
    broker::{Announcement, Announcer},
    domain::UserKey,
    runtime::{Clock, http::JsonBody},
    store::Store,
    wire::{Problem, preferences::PreferencesV1},
};

use crate::{entry::sign_in::sessions_ended, http::inbox::UserBodies, token::Identity};

/// How long the broker may take to confirm live preferences, which are a hint.
pub(crate) const PUBLISH_DEADLINE: Duration = Duration::from_secs(2);

/// Reads and changes the preferences of users.
#[derive(Clone)]
pub(crate) struct Preferences {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
    pub(crate) clock: Clock,
}

/// What holds for the user: what they said, over what their backend says; `{}` for everything, always.
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
    let checked = written.accept().map_err(|error| Problem::invalid(error.field, error.problem))?;
    let (encoded, now) = (written.in_one_form(&checked).encode(), preferences.clock.now());
    let change = |_: Option<&str>| encoded.clone();
    let (user, issued_at) = (&identity.user, identity.issued_at);
    let holds = preferences.store.change_own_preferences(user, issued_at, now, &change).await?;
    let holds = holds.ok_or_else(sessions_ended)?;
    let holds = PreferencesV1::decode(&holds).unwrap_or_default();
    preferences.tell(&identity.user, &holds).await;
    Ok(Json(holds).into_response())
}

impl Preferences {
    /// Tells every session of the user, on whichever pod. A hint: who misses it is told by the next `hello`.
    pub(crate) async fn tell(&self, user: &UserKey, preferences: &PreferencesV1) {
        let announcement = Announcement::preferences(user, preferences, Uuid::new_v4());
        let Some(announcement) = announcement else { return };
        if let Err(error) = self.announcer.publish(announcement).await {
            debug!(%error, "Live preferences were not confirmed; sessions learn of them when they connect");
        }
    }
}
