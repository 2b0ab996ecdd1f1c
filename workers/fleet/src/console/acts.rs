//! Entries of the audit log for what operators do to alerts. The store writes those of everything else in the commit of the change.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use jiff::Timestamp;
use serde_json::Value;
use tracing::warn;
use watchbell::{
    domain::{
        AlertId,
        audit::{AuditAction, alert_object},
    },
    store::AuditedChange,
    wire::Problem,
};
use watchbell_ingest::Producer;

use super::shared::Shared;

/// The longest answer that is read for the ids in it: that of a whole batch.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Leaves an entry of each alert that was changed or sent.
pub(super) async fn note(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let operator = request.extensions().get::<Producer>().cloned();
    let action = action_of(request.method(), request.uri().path());
    let response = next.run(request).await;
    let (Some(action), Some(operator)) = (action, operator) else { return Ok(response) };
    if response.status().is_server_error() {
        // Some of a batch may have been published all the same.
        let change = AuditedChange::done(&operator.tenant, action, "alerts".to_owned());
        let change = change.with_outcome(format!("{}: nobody knows how many", response.status().as_u16()));
        if let Err(error) = shared.store.by(operator.actor()).note_change(&change, Timestamp::now()).await {
            warn!(%error, "What an operator tried to do to alerts is not in the audit log");
        }
    }
    if response.status() != StatusCode::ACCEPTED {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let answer = to_bytes(body, ANSWER_BYTES_MAX).await;
    let answer =
        answer.map_err(|_| Problem::internal("It was accepted, and the answer about it was lost."))?;
    let store = shared.store.by(operator.actor());
    for alert in alerts_of(&answer) {
        let change = AuditedChange::done(&operator.tenant, action, alert_object(&alert));
        // What was done is done: it is answered, also where it cannot be noted.
        if let Err(error) = store.note_change(&change, Timestamp::now()).await {
            warn!(%error, "What an operator did to an alert is not in the audit log");
        }
    }
    Ok(Response::from_parts(parts, Body::from(answer)))
}

/// What a request does to alerts, if it does anything to them. The path is that of the whole console or of its API.
fn action_of(method: &Method, path: &str) -> Option<AuditAction> {
    let (_, path) = path.rsplit_once("/v1/alerts")?;
    match (method, path) {
        (&Method::POST, "") => Some(AuditAction::AlertSent),
        (&Method::PATCH, id) if id.starts_with('/') => Some(AuditAction::AlertChanged),
        _ => None,
    }
}

/// The alerts that were accepted, as the answer to one or to several names them.
fn alerts_of(answer: &[u8]) -> Vec<AlertId> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let several = answer["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = several.iter().filter(|alert| alert["status"] != "refused").chain([&answer]);
    // What was published before does nothing again.
    let all = all.filter(|alert| alert["duplicate"] != true);
    all.filter_map(|alert| AlertId::parse(alert["id"].as_str()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_to_alerts_is_known_by_the_request() {
        for (method, path, expected) in [
            (Method::PATCH, "/v1/alerts/disk-7", Some("alert.changed")),
            (Method::PATCH, "/console/api/v1/alerts/disk%207", Some("alert.changed")),
            (Method::POST, "/v1/alerts", Some("alert.sent")),
            (Method::GET, "/v1/alerts/disk-7", None),
            (Method::GET, "/v1/alerts", None),
            (Method::DELETE, "/v1/users/ana", None),
        ] {
            assert_eq!(action_of(&method, path).map(AuditAction::as_str), expected, "{method} {path}");
        }
    }

    #[test]
    fn which_alerts_is_known_by_the_answer() {
        for (answer, expected) in [
            (r#"{"id": "a", "version": 1, "status": "accepted"}"#, &["a"][..]),
            (r#"{"accepted": 1, "alerts": [{"id": "a"}, {"id": "b", "status": "refused"}]}"#, &["a"][..]),
            (r#"{"id": "a", "status": "accepted", "duplicate": true}"#, &[][..]),
            ("{}", &[][..]),
            ("no JSON", &[][..]),
        ] {
            let found = alerts_of(answer.as_bytes());
            let found: Vec<&str> = found.iter().map(|alert| alert.as_str()).collect();
            assert_eq!(found, expected, "{answer}");
        }
    }
}
