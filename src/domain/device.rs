//! A device: one push registration of one user.

use super::{DeviceId, Secret, Timestamp, alert::words};

/// One push registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Named by the app; registering it again replaces the token.
    pub id: DeviceId,
    /// Whose service takes pushes for it.
    pub service: PushService,
    /// What that service knows it by. Whoever holds one can ring the device.
    pub token: Secret,
    /// Which of Apple's two worlds the token lives in; `Production` for every other service.
    pub environment: PushEnvironment,
    /// What the token is bound to for life: of a browser, the VAPID key that it subscribed with, in base64url; of an Apple device, the
    /// bundle id of its app. None: it was not told.
    pub bound_to: Option<String>,
    /// What Apple starts a Live Activity with on this device; none where its app registered none.
    pub start_token: Option<Secret>,
    /// When this token was last registered: an older "unregistered" from the provider is void (I7).
    pub registered_at: Timestamp,
    /// When the session's token was issued in which it was registered, in whole seconds; none when that did not say. The
    /// device ends when such tokens are revoked.
    pub issued_at: Option<Timestamp>,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// It is registered.
    Done,
    /// The user has as many devices as they may, and this would be one more. Nothing has changed.
    TooMany,
    /// The sessions of its token were ended meanwhile. Nothing has changed.
    SessionEnded,
}

/// Whether a token that was issued then, or does not say when, is void once its user's sessions were revoked. Tokens count
/// in whole seconds, so one of the same second is void as well.
pub fn is_void(issued_at: Option<Timestamp>, revoked_at: Option<Timestamp>) -> bool {
    revoked_at.is_some_and(|revoked_at| {
        issued_at.is_none_or(|issued_at| issued_at.as_second() <= revoked_at.as_second())
    })
}

/// The longest token accepted, in bytes. Ours; Apple says to expect any length.
pub const TOKEN_BYTES_MAX: usize = 4_096;

/// Devices one user may register.
pub const DEVICES_PER_USER_MAX: usize = 20;

/// Whose service takes pushes for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PushService {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging.
    Fcm,
    /// The push service of the browser that subscribed (RFC 8030).
    WebPush,
}

/// Which of Apple's two worlds a token lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PushEnvironment {
    /// Apps from the store.
    Production,
    /// Apps from a developer's machine.
    Sandbox,
}

words!(PushService { Apns = "apns", Fcm = "fcm", WebPush = "webpush" });
words!(PushEnvironment { Production = "production", Sandbox = "sandbox" });
