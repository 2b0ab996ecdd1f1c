//! A browser's push subscription, as `PushSubscription.toJSON()` gives it and as it is kept for a device.
//!
//! Source: <https://www.w3.org/TR/push-api/#dom-pushsubscription-tojson>.

use serde::{Deserialize, Serialize};

use crate::domain::Secret;

/// Where a browser's push service takes pushes for it, and how they are encrypted for that browser.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionV1 {
    /// Whoever knows it can send to the browser.
    pub endpoint: String,
    /// The browser's keys.
    pub keys: SubscriptionKeysV1,
}

/// The browser's keys, in base64url.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionKeysV1 {
    /// Its public key: a point on P-256, uncompressed.
    pub p256dh: String,
    /// 16 bytes that only it and the sender know.
    pub auth: String,
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
