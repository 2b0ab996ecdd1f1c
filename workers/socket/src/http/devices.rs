//! The user's devices over HTTP: phones with a token of Apple or Google, browsers with a subscription.
//! Keyed by the token's user, so nobody reaches anybody else's (I8).

use std::net::IpAddr;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use watchbell::{
    domain::{
        Device, DeviceId, PushEnvironment, PushService, Secret,
        alert::UnknownWord,
        device::{DEVICES_PER_USER_MAX, Registration, TOKEN_BYTES_MAX},
        device_test::TestAsked,
        internet::is_public,
        push_token::{APNS_BYTES_MAX, APNS_BYTES_MIN, FCM_BYTES_MIN, UnusableToken, apns_token, fcm_token},
    },
    runtime::{
        Clock,
        http::{JsonBody, NameInPath},
    },
    store::{SeenDevice, Store},
    wire::{
        Problem,
        schema::{one_of_or_null, with},
        webpush::{SubscriptionKeysV1, SubscriptionV1, application_server_key},
    },
};

use crate::{
    entry::sign_in::sessions_ended,
    http::{
        answers::{DeviceList, PushServiceWord, ShownDevice, ShownPush, ShownTest, WebPushKey},
        inbox::{UserBodies, seconds},
    },
    token::Identity,
};

/// Registers the devices of users.
#[derive(Clone)]
pub(crate) struct Devices {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    /// For browsers that subscribe to pushes; none when they cannot.
    pub(crate) webpush: Option<BrowserPush>,
}

/// What browsers subscribe with, and where their push services may be.
#[derive(Debug, Clone)]
pub struct BrowserPush {
    /// The VAPID public key in base64url: `applicationServerKey`.
    pub public_key: String,
    /// Whether a push service may be in a private network.
    pub private_endpoints: bool,
}

/// A phone has a `token`; a browser registers what `PushSubscription.toJSON()` gives, with its service.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceBody {
    #[schema(value_type = PushServiceWord)]
    service: String,
    /// As the device gave it. Of Apple: two hexadecimal digits a byte, 32 bytes or more, in any case. Of Google: the registration
    /// token, 32 characters or more. A browser has none.
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    #[schema(value_type = PushEnvironmentOrNull, default = "production")]
    environment: Option<String>,
    /// Of an app on Apple's devices: its bundle id, where the server sends for several apps.
    #[serde(default)]
    #[schema(nullable)]
    topic: Option<String>,
    /// Of an app on Apple's devices: what `Activity.pushToStartTokenUpdates` gave, as hexadecimal. Live Activities are started by it. Without
    /// it none is.
    #[serde(default)]
    #[schema(nullable)]
    live_activity_token: Option<String>,
    /// Of a browser's subscription: https, on the public internet.
    #[serde(default)]
    endpoint: Option<String>,
    /// Of a browser's subscription.
    #[serde(default)]
    keys: Option<SubscriptionKeysV1>,
    /// Of a browser's subscription: the key that it subscribed with, as `GET /v1/webpush/key` gave it. Pushes are signed with it, also
    /// after another key is given out.
    #[serde(default)]
    #[schema(nullable)]
    vapid_key: Option<String>,
    /// Browsers give it and it says nothing: the push service tells when a subscription is over.
    #[serde(default, rename = "expirationTime")]
    #[schema(value_type = serde_json::Value)]
    _expiration_time: Option<serde::de::IgnoredAny>,
}

watchbell::schemas! {
    /// Which of Apple's two worlds a token lives in, or `null`.
    PushEnvironmentOrNull = one_of_or_null(PushEnvironment::WORDS);
    /// A device as a client registers it.
    WrittenDevice called "DeviceSaid" = with(DeviceBody::schema(), &json!({"anyOf": [
        {
            "properties": {
                "service": {"const": PushService::Apns.as_str()},
                "token": {
                    "type": "string",
                    "minLength": 2 * APNS_BYTES_MIN,
                    "maxLength": 2 * APNS_BYTES_MAX,
                    "pattern": format!("^([0-9A-Fa-f]{{2}}){{{APNS_BYTES_MIN},}}$"),
                    "format": "watchbell-apns-token",
                },
                "topic": {"type": ["string", "null"], "pattern": "^[A-Za-z0-9.-]{1,155}$"},
                "live_activity_token": {
                    "type": ["string", "null"],
                    "minLength": 2 * APNS_BYTES_MIN,
                    "maxLength": 2 * APNS_BYTES_MAX,
                    "pattern": format!("^([0-9A-Fa-f]{{2}}){{{APNS_BYTES_MIN},}}$"),
                },
            },
            "required": ["token"],
        },
        {
            "properties": {
                "service": {"const": PushService::Fcm.as_str()},
                "token": {
                    "type": "string",
                    "minLength": FCM_BYTES_MIN,
                    "maxLength": TOKEN_BYTES_MAX,
                    "pattern": "^[A-Za-z0-9_:-]+$",
                    "format": "watchbell-fcm-token",
                },
            },
            "required": ["token"],
        },
        {
            "properties": {
                "service": {"const": PushService::WebPush.as_str()},
                "endpoint": {
                    "type": "string",
                    "pattern": r"^https://[A-Za-z][A-Za-z0-9-]*(\.[A-Za-z][A-Za-z0-9-]*)+(:[0-9]{1,4})?(/[!-~]*)?$",
                    "format": "watchbell-endpoint",
                },
                "vapid_key": {"type": ["string", "null"], "format": "watchbell-p256-point"},
                "keys": {
                    "type": "object",
                    "properties": {
                        "p256dh": {"type": "string", "format": "watchbell-p256-point"},
                        "auth": {"type": "string", "pattern": "^[A-Za-z0-9_-]{21}[AQgw]=*$"},
                    },
                },
            },
            "required": ["endpoint", "keys"],
        },
    ]})), as DeviceBody;
}

/// `PUT /v1/devices/{device}`: registers it, or registers it again, which renews it.
pub(crate) async fn put(
    State(devices): State<Devices>,
    identity: Identity,
    NameInPath(id): NameInPath<DeviceId>,
    JsonBody(body, _): JsonBody<DeviceBody, UserBodies>,
) -> Result<StatusCode, Problem> {
    let service: PushService =
        body.service.parse().map_err(|error: UnknownWord| Problem::invalid("service", error.to_string()))?;
    let environment = body.environment.as_deref().map_or(Ok(PushEnvironment::Production), str::parse);
    let bound_to = match service {
        PushService::Apns => body.topic.as_deref().map(topic).transpose()?,
        PushService::Fcm => None,
        PushService::WebPush => body.vapid_key.as_deref().map(vapid_key).transpose()?,
    };
    let start_token = match (service, body.live_activity_token.as_deref()) {
        (PushService::Apns, Some(token)) => Some(activity_token("live_activity_token", token)?),
        (PushService::Apns | PushService::Fcm | PushService::WebPush, _) => None,
    };
    let token = match service {
        PushService::Apns => phone_token(body.token, apns_token)?,
        PushService::Fcm => phone_token(body.token, fcm_token)?,
        PushService::WebPush => browser_token(body.endpoint, body.keys, devices.webpush.as_ref())?,
    };
    let device = Device {
        id: DeviceId::parse_new(id.as_str()).map_err(|why| Problem::invalid("device", why.to_string()))?,
        service,
        token,
        bound_to,
        start_token,
        environment: environment
            .map_err(|error: UnknownWord| Problem::invalid("environment", error.to_string()))?,
        registered_at: devices.clock.now(),
        issued_at: identity.issued_at,
    };
    match devices.store.put_device(&identity.user, &device, DEVICES_PER_USER_MAX).await? {
        Registration::Done => Ok(StatusCode::NO_CONTENT),
        Registration::TooMany => Err(Problem::conflict(format!(
            "a user has at most {DEVICES_PER_USER_MAX} devices: delete one first"
        ))),
        Registration::SessionEnded => Err(sessions_ended()),
    }
}

/// `GET /v1/devices`: the user's devices, without their tokens.
pub(crate) async fn list(State(devices): State<Devices>, identity: Identity) -> Result<Response, Problem> {
    let devices = devices.store.devices_with_pushes(&identity.user).await?;
    Ok(Json(DeviceList { devices: devices.iter().map(shown).collect() }).into_response())
}

/// `GET /v1/devices/{device}`
pub(crate) async fn one(
    State(devices): State<Devices>,
    identity: Identity,
    NameInPath(id): NameInPath<DeviceId>,
) -> Result<Response, Problem> {
    Ok(Json(shown_device(&devices, &identity, &id).await?).into_response())
}

/// `POST /v1/devices/{device}/test`: sends a test to it, which a sender takes. `GET` of the device tells what comes of it.
pub(crate) async fn test(
    State(devices): State<Devices>,
    identity: Identity,
    NameInPath(id): NameInPath<DeviceId>,
) -> Result<Response, Problem> {
    let (attempt, now) = (Uuid::now_v7(), devices.clock.now());
    match devices.store.ask_for_device_test(&identity.user, &id, attempt, now).await? {
        TestAsked::Done => {}
        TestAsked::NoDevice => return Err(no_device()),
        TestAsked::TooSoon { wait } => {
            let detail = "a test was asked for just now: ask again later";
            return Err(Problem::too_many(detail, seconds(wait)));
        }
    }
    let device = shown_device(&devices, &identity, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(device)).into_response())
}

async fn shown_device(devices: &Devices, identity: &Identity, id: &DeviceId) -> Result<ShownDevice, Problem> {
    let all = devices.store.devices_with_pushes(&identity.user).await?;
    all.iter().find(|seen| seen.device.id == *id).map(shown).ok_or_else(no_device)
}

fn no_device() -> Problem {
    Problem::not_found("there is no device of that name")
}

/// `DELETE /v1/devices/{device}`
pub(crate) async fn delete(
    State(devices): State<Devices>,
    identity: Identity,
    NameInPath(id): NameInPath<DeviceId>,
) -> Result<StatusCode, Problem> {
    let gone = devices.store.delete_device(&identity.user, &id, devices.clock.now()).await?;
    match gone {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_device()),
    }
}

/// `GET /v1/webpush/key`: what a page gives as `applicationServerKey` to `pushManager.subscribe`. Public, as the key is.
pub(crate) async fn webpush_key(State(devices): State<Devices>) -> Result<Response, Problem> {
    match &devices.webpush {
        Some(webpush) => Ok(Json(WebPushKey { key: webpush.public_key.clone() }).into_response()),
        None => Err(Problem::not_found("browsers are not sent to here: [webpush] is not configured")),
    }
}

fn shown(SeenDevice { device, test, last_push }: &SeenDevice) -> ShownDevice {
    ShownDevice {
        device: device.id.to_string(),
        service: device.service.as_str(),
        environment: device.environment.as_str(),
        registered_at: device.registered_at.to_string(),
        last_push: last_push.map(|(at, state)| ShownPush { at: at.to_string(), state: state.as_str() }),
        test: test.as_ref().map(|test| ShownTest {
            asked_at: test.asked_at.to_string(),
            state: test.state.as_str(),
            outcome: test.outcome.clone(),
            ended_at: test.ended_at.map(|at| at.to_string()),
        }),
    }
}

/// A token of a Live Activity's, or what starts them: of the same form as a device's.
pub(super) fn activity_token(field: &'static str, token: &str) -> Result<Secret, Problem> {
    apns_token(token).map(Secret::from).map_err(|why| Problem::invalid(field, why.to_string()))
}

fn phone_token(
    token: Option<String>,
    check: fn(&str) -> Result<String, UnusableToken>,
) -> Result<Secret, Problem> {
    let token = check(&token.unwrap_or_default());
    token.map(Secret::from).map_err(|why| Problem::invalid("token", why.to_string()))
}

pub(crate) fn browser_token(
    endpoint: Option<String>,
    keys: Option<SubscriptionKeysV1>,
    webpush: Option<&BrowserPush>,
) -> Result<Secret, Problem> {
    let Some(webpush) = webpush else {
        return Err(Problem::invalid(
            "service",
            "browsers are not sent to here: [webpush] is not configured",
        ));
    };
    let endpoint = endpoint_of(&endpoint.unwrap_or_default(), webpush.private_endpoints)
        .map_err(|why| Problem::invalid("endpoint", why))?;
    let keys = keys.ok_or_else(|| Problem::invalid("keys", "must be given, as the browser gave them"))?;
    let keys = keys.checked().map_err(|wrong| Problem::invalid(wrong.field, wrong.problem))?;
    let token = SubscriptionV1 { endpoint, keys }.to_token();
    match token.expose().len() {
        0..=TOKEN_BYTES_MAX => Ok(token),
        _ => Err(Problem::invalid("endpoint", format!("is too long: {TOKEN_BYTES_MAX} bytes with its keys"))),
    }
}

/// The longest bundle id that Apple gives out, in bytes.
const TOPIC_BYTES_MAX: usize = 155;

/// A bundle id. Whether it is one of ours, the sender knows, and says in the timeline.
fn topic(topic: &str) -> Result<String, Problem> {
    let plain = topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    match plain && (1..=TOPIC_BYTES_MAX).contains(&topic.len()) {
        true => Ok(topic.to_owned()),
        false => {
            Err(Problem::invalid("topic", "must be a bundle id: 1 to 155 letters, digits, dots and hyphens"))
        }
    }
}

/// A key that a browser subscribed with, in its one form. Which keys are ours is not asked here: while the key is being changed, a pod may
/// know another than the one that gave it out.
fn vapid_key(key: &str) -> Result<String, Problem> {
    application_server_key(key).map_err(|wrong| Problem::invalid(wrong.field, wrong.problem))
}

/// An endpoint is a client's word for where fallback shall call: `https`, and no address of a private network.
/// A name that leads there is found out when it is looked up, in fallback. Gives its one form: scheme and host in lower
/// case, without the port that is meant anyway.
fn endpoint_of(endpoint: &str, private_allowed: bool) -> Result<String, &'static str> {
    const AS_GIVEN: &str = "must be the address that the browser gave";
    // An address has no characters outside ASCII and no blanks; some parsers mend both in silence.
    if !endpoint.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(AS_GIVEN);
    }
    let uri: Uri = endpoint.parse().map_err(|_| AS_GIVEN)?;
    let authority = uri.authority().ok_or(AS_GIVEN)?;
    if uri.scheme_str() != Some("https") {
        return Err("must be https");
    }
    if authority.as_str().contains('@') {
        return Err("must not hold a name or a password");
    }
    let host = authority.host().to_ascii_lowercase();
    // The root's dot says nothing: `127.0.0.1.` is called like `127.0.0.1`.
    let name = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    // A name that ends in a number is an address in other words (<https://url.spec.whatwg.org/#ends-in-a-number-checker>).
    let ends_in_a_number =
        name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    let private = match name.parse::<IpAddr>() {
        Ok(address) => !is_public(address),
        Err(_) => {
            name == "localhost" || name.ends_with(".localhost") || !name.contains('.') || ends_in_a_number
        }
    };
    if private && !private_allowed {
        return Err("must be on the public internet");
    }
    let port = authority.port_u16().filter(|port| *port != 443).map(|port| format!(":{port}"));
    // A fragment, which says nothing to a server, is not part of it.
    Ok(format!(
        "https://{host}{}{}",
        port.unwrap_or_default(),
        uri.path_and_query().map_or("/", |path| path.as_str())
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_on_the_public_internet() {
        for (why, endpoint, private_allowed, expected) in [
            ("a push service", "https://fcm.googleapis.com/fcm/send/abc:def", false, true),
            ("with a port", "https://updates.push.services.mozilla.com:443/wpush/v2/x", false, true),
            ("a public address", "https://93.184.215.14/x", false, true),
            ("not encrypted", "http://push.example.org/x", false, false),
            ("loopback", "https://127.0.0.1/x", false, false),
            ("loopback, allowed", "https://127.0.0.1/x", true, true),
            ("loopback, version 6", "https://[::1]:8443/x", false, false),
            ("the cloud's metadata", "https://169.254.169.254/latest", false, false),
            ("a name for ourselves", "https://localhost/x", false, false),
            ("a name of the cluster", "https://postgres/x", false, false),
            ("with a name", "https://user@push.example.org/x", false, false),
            ("a path", "/wpush/v2/x", false, false),
            ("nothing", "", false, false),
            ("not encrypted, although private", "http://127.0.0.1/x", true, false),
            ("a blank", "https://push.example.org/a b", false, false),
            ("a line break", "https://push.example.org/\nx", false, false),
            ("another script", "https://push.example.org/ż", false, false),
            ("loopback in other words", "https://0x7f.1/x", false, false),
            ("loopback with the root's dot", "https://127.0.0.1./x", false, false),
            ("a name for ourselves with it", "https://localhost./x", false, false),
            ("a name of the cluster with it", "https://postgres./x", false, false),
            ("a push service with it", "https://push.example.org./x", false, true),
        ] {
            assert_eq!(endpoint_of(endpoint, private_allowed).is_ok(), expected, "{why}: {endpoint}");
        }
    }

    #[test]
    fn an_endpoint_has_one_form() {
        for (why, endpoint, expected) in [
            ("as it should be", "https://push.example.org/x/Ab?c=D", "https://push.example.org/x/Ab?c=D"),
            ("capitals in the host", "HTTPS://Push.Example.Org/x", "https://push.example.org/x"),
            ("the port that is meant anyway", "https://push.example.org:443/x", "https://push.example.org/x"),
            ("another port", "https://push.example.org:8443/x", "https://push.example.org:8443/x"),
            ("a fragment", "https://push.example.org/x#y", "https://push.example.org/x"),
            ("what is encoded stays so", "https://push.example.org/a%3Ab", "https://push.example.org/a%3Ab"),
        ] {
            assert_eq!(endpoint_of(endpoint, false).as_deref(), Ok(expected), "{why}");
        }
    }

    #[test]
    fn a_subscription_is_checked_by_field() {
        let open = BrowserPush { public_key: String::new(), private_endpoints: false };
        let endpoint = || Some("https://push.example.org/x".to_owned());
        // Of RFC 8291, appendix A.
        const POINT: &str =
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
        let keys = |point: usize, secret: usize| {
            Some(SubscriptionKeysV1 { p256dh: POINT[..point].into(), auth: AUTH[..secret].into() })
        };
        let long = Some(format!("https://push.example.org/{}", "x".repeat(TOKEN_BYTES_MAX)));
        for (why, endpoint, keys, webpush, expected) in [
            ("as it should be", endpoint(), keys(87, 22), Some(&open), true),
            ("no endpoint", None, keys(87, 22), Some(&open), false),
            ("no keys", endpoint(), None, Some(&open), false),
            ("half a key", endpoint(), keys(43, 22), Some(&open), false),
            ("no secret", endpoint(), keys(87, 0), Some(&open), false),
            ("too long", long, keys(87, 22), Some(&open), false),
            ("not configured", endpoint(), keys(87, 22), None, false),
        ] {
            assert_eq!(browser_token(endpoint, keys, webpush).is_ok(), expected, "{why}");
        }
    }
}
