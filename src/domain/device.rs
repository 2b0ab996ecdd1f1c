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
    /// When this token was last registered: an older "unregistered" from the provider is void (I7).
    pub registered_at: Timestamp,
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
