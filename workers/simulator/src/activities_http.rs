//! `/activities`: the Live Activities of all phones, and one that an app started itself.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;

use crate::Shared;
use crate::activities::Activity;
use crate::http::problem;

/// `GET /activities`, and `PUT /activities` for one that an app started itself.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/activities", get(list).put(put)).with_state(shared)
}

async fn list(State(shared): State<Arc<Shared>>) -> Response {
    let known: Vec<_> = shared.activities.known().iter().cloned().collect();
    Json(known).into_response()
}

/// An activity that a phone shows, by its own token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidActivity {
    token: String,
    alert: Option<String>,
    user: Option<String>,
}

async fn put(State(shared): State<Arc<Shared>>, body: Result<Json<SaidActivity>, JsonRejection>) -> Response {
    let SaidActivity { token, alert, user } = match body {
        Ok(Json(said)) => said,
        Err(rejection) => return problem("That is not an activity", &rejection.body_text()),
    };
    let activity = Activity {
        token,
        channel: None,
        start_token: None,
        alert,
        user,
        event: None,
        state: None,
        told_at: 0,
        ended_at: None,
    };
    shared.activities.take(activity.clone(), Timestamp::now());
    Json(activity).into_response()
}
