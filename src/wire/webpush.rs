//! A browser's push subscription, as `PushSubscription.toJSON()` gives it and as it is kept for a device.
//!
//! What its service worker is sent is JSON: `{alert, user, title, body, url, severity, tag, unread}` to show an alert, and where the alert
//! has them `image`, `actions` (`[{id, title, url}` or `{id, title, answers: true}]`) and `answers_at`. For `showNotification` an action is
//! `{action: id, title}`. A click on one with `url` opens it; a click on one that answers is `fetch(answers_at + "?action=" + id, {method:
//! "POST", mode: "no-cors"})`, which needs no token. Without `answers_at`, a page of the person's says the receipt `answered`.
//! Where there is an address for a click, the same stands once more for browsers that show a push by themselves: `web_push`,
//! `notification` and `app_badge`, as the Push API's declarative push messages have them. `page` is the address of the page with the alert.
//!
//! Source: <https://www.w3.org/TR/push-api/#dom-pushsubscription-tojson>.

use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, UnparsedPublicKey};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::InvalidAlert;
use crate::domain::Secret;

/// Bytes of an uncompressed point on P-256 (RFC 8291, section 3.1).
const POINT_BYTES: usize = 65;
/// What an uncompressed point begins with (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// Bytes of the secret of a subscription (RFC 8291, section 3.2).
const AUTH_BYTES: usize = 16;

/// Where a browser's push service takes pushes for it, and how they are encrypted for that browser.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionV1 {
    /// Whoever knows it can send to the browser.
    pub endpoint: String,
    /// The browser's keys.
    pub keys: SubscriptionKeysV1,
}

/// The browser's keys, in base64url.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SubscriptionKeys)]
pub struct SubscriptionKeysV1 {
    /// Its public key: a point on P-256, uncompressed, of 65 bytes.
    pub p256dh: String,
    /// 16 bytes that only it and the sender know.
    pub auth: String,
}

impl SubscriptionKeysV1 {
    /// The keys in their one form, base64url without padding: what browsers give. The other alphabet of base64 and
    /// padding, which pages make that encode them by themselves, are taken.
    ///
    /// # Errors
    /// Names the key that cannot be one, without repeating it (I12).
    pub fn checked(&self) -> Result<Self, InvalidAlert> {
        let p256dh = point("keys.p256dh", &self.p256dh, "send what PushSubscription.toJSON() gives")?;
        let auth = decode("keys.auth", &self.auth, AUTH_BYTES)?;
        Ok(Self { p256dh, auth: BASE64_URL_SAFE_NO_PAD.encode(auth) })
    }
}

/// The key that a browser subscribed with (VAPID), in its one form.
///
/// # Errors
/// It cannot be one.
pub fn application_server_key(text: &str) -> Result<String, InvalidAlert> {
    point("vapid_key", text, "send what GET /v1/webpush/key gave")
}

/// A public key in its one form.
fn point(field: &str, text: &str, remedy: &str) -> Result<String, InvalidAlert> {
    let point = decode(field, text, POINT_BYTES)?;
    let is_point = point.first() == Some(&UNCOMPRESSED)
        && ParsedPublicKey::try_from(UnparsedPublicKey::new(&ECDH_P256, &point)).is_ok();
    match is_point {
        true => Ok(BASE64_URL_SAFE_NO_PAD.encode(point)),
        false => Err(InvalidAlert::new(field, format!("is no point of the curve P-256: {remedy}"))),
    }
}

fn decode(field: &str, text: &str, len: usize) -> Result<Vec<u8>, InvalidAlert> {
    let text = text.trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == len);
    let problem = || format!("must be {len} bytes in base64url, as the browser gives them");
    bytes.ok_or_else(|| InvalidAlert::new(field, problem()))
}

/// It does not print (I12).
impl std::fmt::Debug for SubscriptionV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubscriptionV1").finish_non_exhaustive()
    }
}

impl SubscriptionV1 {
    /// As the token of a device: always the same text for the same subscription.
    pub fn to_token(&self) -> Secret {
        // Texts always serialize.
        Secret::from(serde_json::to_string(self).unwrap_or_default())
    }

    /// From the token of a device.
    pub fn of_token(token: &Secret) -> Option<Self> {
        serde_json::from_str(token.expose()).ok()
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_subscription_is_a_token_and_does_not_print() {
    let keys = SubscriptionKeysV1 { p256dh: "BP".into(), auth: "c4nary".into() };
    let subscription = SubscriptionV1 { endpoint: "https://push.example/c4nary".into(), keys };
    assert_eq!(SubscriptionV1::of_token(&subscription.to_token()).unwrap(), subscription);
    assert!(!format!("{subscription:?}").contains("c4nary"));
    assert_eq!(SubscriptionV1::of_token(&Secret::from("740f")), None);
}

#[test]
#[allow(clippy::unwrap_used)]
fn keys_have_one_form() {
    // The subscription of RFC 8291, appendix A.
    const POINT: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
    let (padded, other) = (format!("{POINT}="), POINT.replace('-', "+").replace('_', "/"));
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let point = BASE64_URL_SAFE_NO_PAD.decode(POINT).unwrap();
    let off_curve = encode(&[&[4][..], &[7; 64]].concat());
    let compressed = encode(&[&[2 + (point[64] & 1)][..], &point[1..33]].concat());
    let hybrid = encode(&[&[6 + (point[64] & 1)][..], &point[1..]].concat());
    let (longer, shorter, zeros) =
        (encode(&[point.clone(), vec![0]].concat()), encode(&point[..64]), encode(&[0; 65]));
    for (why, p256dh, auth, wrong) in [
        ("as a browser gives them", POINT, AUTH, None),
        ("padded", &*padded, "BTBZMqHH6r4Tts7J_aSIgg==", None),
        ("in the other alphabet", &*other, "BTBZMqHH6r4Tts7J/aSIgg==", None),
        ("a point beside the curve", &*off_curve, AUTH, Some("keys.p256dh")),
        ("a compressed point", &*compressed, AUTH, Some("keys.p256dh")),
        ("a hybrid point", &*hybrid, AUTH, Some("keys.p256dh")),
        ("the point at infinity", &*zeros, AUTH, Some("keys.p256dh")),
        ("a byte too many", &*longer, AUTH, Some("keys.p256dh")),
        ("a byte too few", &*shorter, AUTH, Some("keys.p256dh")),
        ("the keys swapped", AUTH, POINT, Some("keys.p256dh")),
        ("nothing", "", AUTH, Some("keys.p256dh")),
        ("not base64", "not base64!", AUTH, Some("keys.p256dh")),
        ("a secret too short", POINT, "BTBZ", Some("keys.auth")),
        ("no secret", POINT, "", Some("keys.auth")),
    ] {
        let given = SubscriptionKeysV1 { p256dh: p256dh.into(), auth: auth.into() };
        let expected = SubscriptionKeysV1 { p256dh: POINT.into(), auth: AUTH.into() };
        match (given.checked(), wrong) {
            (Ok(keys), None) => assert!(keys == expected, "{why}"),
            (Err(error), Some(field)) => assert_eq!(error.field, field, "{why}"),
            (found, _) => panic!("{why}: {:?}", found.err()),
        }
    }
}
