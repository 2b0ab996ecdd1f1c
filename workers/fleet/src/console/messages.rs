//! The mail and the pushes about an alert: `GET /console/api/messages`. What was sent is not kept, so they are made again from the
//! alert as it is stored, by the code that sends, and the answer says of which version.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Extension, Json, extract::State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use watchbell::{
    domain::{AlertId, Scope, UserId, UserKey},
    runtime::http::Query,
    wire::Problem,
};
use watchbell_fallback::{
    MessagesOf,
    channel::{RenderedForm, RenderedMessage},
    rendered_messages,
};
use watchbell_ingest::Producer;

use super::shared::Shared;

/// Whose messages about which alert.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    alert: String,
    user: String,
}

/// What each provider would be given.
#[derive(Serialize)]
pub(super) struct Messages {
    /// The version of the alert that they are made of.
    version: u32,
    /// By the provider. Empty where this process sends nothing.
    messages: BTreeMap<&'static str, Value>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Producer>,
    Query(asked): Query<Asked>,
) -> Result<Json<Messages>, Problem> {
    operator.expect(Scope::Read)?;
    let alert = AlertId::parse(asked.alert).map_err(|error| Problem::invalid("alert", error.to_string()))?;
    let user = UserId::parse(asked.user).map_err(|error| Problem::invalid("user", error.to_string()))?;
    let unknown = || Problem::not_found("Nobody of this name has an alert of this id.");
    let stored = shared.store.alert(&operator.tenant, &alert).await?.ok_or_else(unknown)?;
    if !operator.may_touch(stored.maker.as_ref()) {
        return Err(unknown());
    }
    let told = shared.store.timeline(&operator.tenant, &alert, Some(&user), 1).await?;
    let told = told.first().ok_or_else(unknown)?;
    let user = UserKey::new(operator.tenant.clone(), user);
    let policy = told.policy.as_deref().map(|name| shared.policies.get_or_default(&user.tenant, name));
    let expires_after = policy.and_then(|policy| policy.expires_after);
    let person = shared.store.person(&user, 0, 0).await?.ok_or_else(unknown)?;
    let of = MessagesOf {
        user: &user,
        alert: &alert,
        content: &stored.content,
        is_mandatory: policy.is_some_and(|policy| policy.mandatory),
        locale: person.listed.locale.as_deref(),
        expires_at: stored.recorded_at + expires_after.unwrap_or(shared.config.dispatch.expires_after),
        unread: person.listed.unread,
    };
    let rendered = rendered_messages(&shared.channels, &of, Timestamp::now());
    let rendered =
        rendered.ok_or_else(|| Problem::internal("The stored alert cannot be read by this version."))?;
    let messages = rendered.into_iter().map(|RenderedMessage { provider, form }| (provider, shown(form)));
    Ok(Json(Messages { version: stored.version, messages: messages.collect() }))
}

fn shown(form: Result<RenderedForm, String>) -> Value {
    match form {
        Ok(RenderedForm::Mail { subject, text, html }) => {
            json!({"subject": subject, "text": text, "html": html})
        }
        Ok(RenderedForm::Payload(payload)) => {
            json!({"payload": serde_json::from_str::<Value>(&payload).unwrap_or_default()})
        }
        Err(refused) => json!({"refused": refused}),
    }
}
