//! The notification service extension of the apps on the simulator's phones: it says that a push arrived.
//!
//! What holds here:
//! - It says so with the token that the push carries, and where [`PUT /extension`](router) told it; to nobody before.
//! - It does so after the push was answered, as on a phone. What cannot be said is left out, as on a phone that is off the net.
//! - At most [`WAITING_MAX`] receipts wait, and one is said at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
pub(crate) use reqwest::Client;
use reqwest::{Url, redirect::Policy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Shared;
use crate::arrivals::{Incoming, Kind};
use crate::http::problem;

/// Receipts that wait to be said; one more is not said.
const WAITING_MAX: usize = 256;
/// How long one is tried for: a system gives an extension about 30 s in all.
const SAY_MAX: Duration = Duration::from_secs(10);

/// A receipt of a push.
#[derive(Debug)]
pub(crate) struct PushReceipt {
    token: String,
    alert: String,
    /// Whether Google lowered its priority, as an Android app sees it; none on other phones.
    priority_lowered: Option<bool>,
}

/// Takes receipts to where they are said.
pub(crate) struct Extension {
    said_to: Mutex<SaidTo>,
    waiting: Sender<PushReceipt>,
}

/// `PUT /extension`: where receipts are said.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidTo {
    /// The address of a socket worker, without a path; null: nowhere.
    server: Option<String>,
    /// Whether Google lowers the priority of what is sent to Android phones with a high one.
    #[serde(default)]
    lowers_priority: bool,
}

/// An extension, and what has to be said for it by [`say_all`].
pub(crate) fn extension() -> (Extension, Receiver<PushReceipt>) {
    let (waiting, receipts) = channel(WAITING_MAX);
    (Extension { said_to: Mutex::default(), waiting }, receipts)
}

impl Extension {
    /// The phone was given this push.
    pub(crate) fn is_given(&self, push: &Incoming) {
        let said_to = self.said_to();
        if said_to.server.is_none() {
            return;
        }
        if let Some(receipt) = receipt_of(push, said_to.lowers_priority)
            && self.waiting.try_send(receipt).is_err()
        {
            warn!("More pushes arrive than the simulated phones can confirm; this one is not confirmed");
        }
    }

    fn said_to(&self) -> SaidTo {
        self.said_to.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The receipt that a push asks for; none of one that carries no token.
fn receipt_of(push: &Incoming, lowers_priority: bool) -> Option<PushReceipt> {
    let payload: Value = serde_json::from_str(push.payload.as_ref()?.get()).ok()?;
    let told = match push.kind {
        Kind::Apns => &payload["watchbell"],
        Kind::Fcm => &payload["message"]["data"],
        Kind::Webpush | Kind::Email | Kind::Webhook | Kind::Slack | Kind::Telegram | Kind::Sms => {
            return None;
        }
    };
    let text = |key: &str| told[key].as_str().map(str::to_owned);
    let is_high = payload["message"]["android"]["priority"] == "HIGH";
    let priority_lowered = (push.kind == Kind::Fcm).then_some(is_high && lowers_priority);
    Some(PushReceipt { token: text("receipt")?, alert: text("alert")?, priority_lowered })
}

/// Says receipts until `shutdown`.
pub(crate) async fn say_all(
    shared: Arc<Shared>,
    mut receipts: Receiver<PushReceipt>,
    client: Client,
    shutdown: CancellationToken,
) {
    loop {
        let receipt = tokio::select! {
            () = shutdown.cancelled() => return,
            receipt = receipts.recv() => receipt,
        };
        let Some(receipt) = receipt else { return };
        let Some(server) = shared.extension.said_to().server else { continue };
        tokio::select! {
            () = shutdown.cancelled() => return,
            said = say(&client, &server, &receipt) => {
                if let Err(error) = said {
                    warn!(%error, alert.id = receipt.alert, "A simulated phone could not say that a push arrived");
                }
            }
        }
    }
}

async fn say(client: &Client, server: &str, receipt: &PushReceipt) -> anyhow::Result<()> {
    let url = Url::parse(server)?.join("/v1/inbox/receipts")?;
    let mut body = json!({"alerts": [receipt.alert], "state": "delivered"});
    if let Some(lowered) = receipt.priority_lowered {
        body["priority_lowered"] = json!(lowered);
    }
    let sent = client.post(url).bearer_auth(&receipt.token).json(&body).send().await?;
    sent.error_for_status()?;
    Ok(())
}

/// A client that follows nobody elsewhere.
pub(crate) fn client() -> reqwest::Result<Client> {
    Client::builder().timeout(SAY_MAX).redirect(Policy::none()).no_proxy().build()
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/extension", get(show).put(put)).with_state(shared)
}

/// Whether it is an address that receipts can be sent to.
fn is_server(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

async fn show(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.extension.said_to()).into_response()
}

async fn put(State(shared): State<Arc<Shared>>, body: Result<Json<SaidTo>, JsonRejection>) -> Response {
    match body {
        Ok(Json(said_to)) if said_to.server.as_deref().is_some_and(|server| !is_server(server)) => problem(
            "That is not where receipts are said",
            "`server` must be an http or https address, such as http://127.0.0.1:7700",
        ),
        Ok(Json(said_to)) => {
            *shared.extension.said_to.lock().unwrap_or_else(PoisonError::into_inner) = said_to.clone();
            Json(said_to).into_response()
        }
        Err(rejection) => problem("That is not where receipts are said", &rejection.body_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_said_to_a_server() {
        for (why, address, expected) in [
            ("on this machine", "http://127.0.0.1:7700", true),
            ("over TLS, below a path", "https://example.com/bell", true),
            ("a file", "file:///etc/passwd", false),
            ("another protocol", "ftp://example.com", false),
            ("a script", "javascript:alert(1)", false),
            ("data", "data:text/plain,a", false),
            ("no address", "127.0.0.1:7700", false),
            ("nobody's", "http://", false),
        ] {
            assert_eq!(is_server(address), expected, "{why}");
        }
    }
}
