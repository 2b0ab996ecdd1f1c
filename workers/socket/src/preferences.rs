//! `GET|PUT /v1/preferences`: what the user wants, by which channel, and when not.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use watchbell::wire::{Problem, preferences::PreferencesV1};

use crate::{Identity, Socket, api::unavailable, extract::Body};

/// What the user wants; `{}` for everything, always.
pub(crate) async fn get(State(socket): State<Socket>, identity: Identity) -> Result<Response, Problem> {
    let stored = socket.0.store.preferences(&identity.user).await.map_err(unavailable)?;
    let written = stored.as_deref().and_then(PreferencesV1::decode).unwrap_or_default();
    Ok(Json(written).into_response())
}

/// Replaces it whole, and answers with what holds now. What waits for the end of a silence is looked at again.
pub(crate) async fn put(
    State(socket): State<Socket>,
    identity: Identity,
    Body(written): Body<PreferencesV1>,
) -> Result<Response, Problem> {
    let checked = written.read().map_err(|error| Problem::invalid(error.field, error.problem))?;
    let written = PreferencesV1::write(&checked);
    let (encoded, now) = (written.encode(), socket.0.clock.now());
    let change = |_: Option<&str>| encoded.clone();
    socket.0.store.change_preferences(&identity.user, now, &change).await.map_err(unavailable)?;
    Ok(Json(written).into_response())
}
