//! Twilio: `POST /2010-04-01/Accounts/{sid}/Messages.json`, and the account itself, with Twilio's checks and answers, and phones that show what comes.
//!
//! What holds here:
//! - There is one account, with a token and one API key; one number that it sends from; and one messaging service.
//! - Nothing replaces anything: a phone shows each message that comes, also one that it has had already.
//! - Segments are counted here by themselves and not as the sender does, so that a mistake of either shows.
//! - As in `apns`, a mistake of the sender is answered before a fault is.
//!
//! Rules: <https://www.twilio.com/docs/messaging/api/message-resource>, <https://www.twilio.com/docs/api/errors>, and 3GPP TS
//! 23.038, section 6.2.1.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use crate::Shared;
use crate::arrivals::{Ids, Incoming, Kind};
use crate::faults::{Fault, Provider};
use crate::http::{html_page, with_retry_after};
use crate::serve::Connection;
use crate::tls::TwilioCredentials;

/// The longest body, in characters.
const BODY_CHARS_MAX: usize = 1_600;
/// How long a message may wait to be sent, in seconds.
const VALIDITY_S: std::ops::RangeInclusive<u32> = 1..=36_000;
/// What the GSM alphabet has only behind an escape.
const TWO_SEPTETS: &str = "^{}\\[~]|€";
/// What it has beside the letters, digits and marks of ASCII.
const BEYOND_ASCII: &str = "\n\r£¥§¤¡¿èéùìòàÇÉßØøÅåÆæÄäÖöÑñÜüΔΦΓΛΩΠΨΣΘΞ";
/// Digits of a number.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/2010-04-01/Accounts/{sid}/Messages.json", post(send).get(look))
        // `{sid}.json`: a parameter is a whole segment here.
        .route("/2010-04-01/Accounts/{sid}", get(look))
        .with_state(shared)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    to: String,
    body: String,
    from: Option<String>,
    messaging_service_sid: Option<String>,
    validity_period: Option<u32>,
}

async fn send(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Path(account): Path<String>,
    headers: HeaderMap,
    form: Result<Form<Parameters>, FormRejection>,
) -> Response {
    let parameters = form.ok().map(|Form(parameters)| parameters);
    let to = parameters.as_ref().map(|parameters| parameters.to.clone()).unwrap_or_default();
    let fault = shared.faults.take(Provider::Sms, |fault| fault.is_for(&to));
    connection.before(&fault).await;
    let response = match check(&shared.twilio, &account, &headers, parameters) {
        Err((status, code, why)) => refusal(status, code, why),
        Ok(parameters) => match failure(&fault, &to) {
            Some(answer) => answer,
            None => accept(&shared, &parameters, connection.number),
        },
    };
    connection.after(&fault).await;
    response
}

/// The account, or the list of its messages, which is always empty.
async fn look(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Path(account): Path<String>,
    headers: HeaderMap,
) -> Response {
    let fault = shared.faults.take(Provider::Sms, |fault| fault.is_for(""));
    connection.before(&fault).await;
    let account = account.trim_end_matches(".json");
    let response = match signed_in(&shared.twilio, account, &headers) {
        Err((status, code, why)) => refusal(status, code, why),
        Ok(()) => failure(&fault, "").unwrap_or_else(|| {
            Json(json!({"sid": account, "status": "active", "messages": []})).into_response()
        }),
    };
    connection.after(&fault).await;
    response
}

/// The status, Twilio's code, and what it says.
type Refusal = (u16, u32, &'static str);

/// What Twilio makes of a request.
fn check(
    twilio: &TwilioCredentials,
    account: &str,
    headers: &HeaderMap,
    parameters: Option<Parameters>,
) -> Result<Parameters, Refusal> {
    signed_in(twilio, account, headers)?;
    checked(twilio, parameters)
}

/// Whether the credentials are those of this account.
fn signed_in(twilio: &TwilioCredentials, account: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::AUTHORIZATION).map(|given| given.as_bytes());
    let is_signed_in = [(&twilio.account_sid, &twilio.auth_token), (&twilio.api_key, &twilio.api_key_secret)]
        .into_iter()
        .map(|(name, secret)| format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{secret}"))))
        .any(|expected| given == Some(expected.as_bytes()));
    if !is_signed_in {
        return Err((401, 20003, "Authenticate"));
    }
    if account != twilio.account_sid {
        return Err((404, 20404, "The requested resource was not found"));
    }
    Ok(())
}

/// What Twilio makes of a message.
fn checked(twilio: &TwilioCredentials, parameters: Option<Parameters>) -> Result<Parameters, Refusal> {
    let parameters = parameters.ok_or((400, 21604, "A 'To' phone number is required."))?;
    match (parameters.from.as_deref(), parameters.messaging_service_sid.as_deref()) {
        (Some(from), None) if from == twilio.from => {}
        (None, Some(service)) if service == twilio.messaging_service_sid => {}
        (None, None) => return Err((400, 21603, "A 'From' phone number is required.")),
        (None, Some(_)) => return Err((404, 21701, "The Messaging Service does not exist.")),
        _ => return Err((400, 21606, "The 'From' phone number is not one of this account.")),
    }
    let digits = parameters.to.strip_prefix('+').unwrap_or_default();
    let is_number = DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    for (wrong, code, why) in [
        (!is_number, 21211, "The 'To' number is not a valid phone number."),
        (parameters.body.trim().is_empty(), 21602, "Message body is required."),
        (
            parameters.body.chars().count() > BODY_CHARS_MAX,
            21617,
            "The message body exceeds the 1600 character limit.",
        ),
        (
            parameters.validity_period.is_some_and(|validity| !VALIDITY_S.contains(&validity)),
            21624,
            "The validity period is out of range.",
        ),
    ] {
        if wrong {
            return Err((400, code, why));
        }
    }
    Ok(parameters)
}

/// The phone shows it, and the answer is the message as Twilio describes it.
fn accept(shared: &Shared, parameters: &Parameters, connection: u64) -> Response {
    let sid = format!("SM{}", Uuid::now_v7().simple());
    let message = json!({
        "sid": sid,
        "status": "queued",
        "to": parameters.to,
        "from": parameters.from,
        "messaging_service_sid": parameters.messaging_service_sid,
        "body": parameters.body,
        "num_segments": segments_of(&parameters.body).to_string(),
        "error_code": null,
    });
    let (title, body) = parameters.body.split_once('\n').unwrap_or((&parameters.body, ""));
    shared.record(Incoming {
        kind: Kind::Sms,
        user: None,
        to: parameters.to.clone(),
        alert: None,
        title: title.to_owned(),
        body: body.to_owned(),
        ids: Ids { message_id: Some(sid), ..Ids::default() },
        headers: BTreeMap::new(),
        payload: to_raw_value(&message).ok(),
        withdraws: Vec::new(),
        declared: None,
        activity: None,
        mail: None,
        connection,
    });
    (StatusCode::CREATED, Json(message)).into_response()
}

/// The answer that a fault gives. Its `reason` is Twilio's code; like Twilio's own, it repeats the number.
fn failure(fault: &Fault, to: &str) -> Option<Response> {
    if fault.html {
        return Some(html_page(fault));
    }
    let code = fault.reason.as_deref().and_then(|reason| reason.parse().ok()).unwrap_or(20500);
    let message = format!("The message to '{to}' failed.");
    Some(with_retry_after(fault, refusal(fault.status?, code, &message)))
}

fn refusal(status: u16, code: u32, message: &str) -> Response {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({"code": code, "message": message, "more_info": more_info, "status": status});
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(body)).into_response()
}

/// The septets of a character in the GSM alphabet, if it is there.
fn septets(c: char) -> Option<usize> {
    if TWO_SEPTETS.contains(c) {
        return Some(2);
    }
    let is_ascii = (' '..='~').contains(&c) && c != '`';
    (is_ascii || BEYOND_ASCII.contains(c)).then_some(1)
}

/// How many segments a text takes.
fn segments_of(text: &str) -> usize {
    let septets: Option<Vec<usize>> = text.chars().map(septets).collect();
    let (costs, alone, among_several) = match septets {
        Some(septets) => (septets, 160, 153),
        None => (text.chars().map(char::len_utf16).collect(), 70, 67),
    };
    if costs.iter().sum::<usize>() <= alone {
        return 1;
    }
    // The room that is left in each segment so far.
    let mut rooms = vec![among_several];
    for cost in costs {
        match rooms.last_mut() {
            Some(room) if *room >= cost => *room -= cost,
            _ => rooms.push(among_several - cost),
        }
    }
    rooms.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_those_that_twilio_counts() {
        for (why, text, expected) in [
            ("one full of septets", "a".repeat(160), 1),
            ("two", "a".repeat(161), 2),
            ("the extension table", "€".repeat(81), 2),
            ("an escape is not torn", format!("{}€{}", "a".repeat(152), "a".repeat(152)), 3),
            ("one full of units", "ł".repeat(70), 1),
            ("two of units", "ł".repeat(71), 2),
            ("a pair is not torn", "😀".repeat(67), 3),
            ("a backtick is not in the alphabet", "`".repeat(71), 2),
        ] {
            assert_eq!(segments_of(&text), expected, "{why}");
        }
    }
}
