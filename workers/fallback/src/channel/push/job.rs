//! What a push service is given to send, and the interface of the three services.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use watchbell::domain::{Device, PushEnvironment, Secret};

use super::fcm_style::FcmStyle;
use crate::channel::{
    dry_run::DryRun,
    error::SendError,
    message::{ActivityMessage, AlertContent},
    sender::{Accepted, Broadcaster},
};

/// One push to one device.
#[derive(Debug, Clone)]
pub struct PushJob {
    /// Kept on every retry of the same attempt (I6).
    pub attempt: Uuid,
    /// Which device.
    pub target: PushTarget,
    /// What it is told.
    pub content: PushContent,
    /// What the app says with that it has the push, where it shows an alert: [`watchbell::wire::push_receipt`].
    pub receipt: Option<Secret>,
}

/// Where a push goes.
#[derive(Debug, Clone)]
pub struct PushTarget {
    /// What the provider knows the device by.
    pub token: Secret,
    /// Which of Apple's two worlds; other providers do not look.
    pub environment: PushEnvironment,
    /// Which sender the token is bound to; see [`Device::bound_to`].
    pub bound_to: Option<String>,
}

/// What a push does on the phone.
#[derive(Debug, Clone)]
pub enum PushContent {
    /// Shows an alert, or replaces the shown one with the same collapse key.
    Alert(AlertContent),
    /// Takes shown pushes away. Best effort, on both providers: the app reconciles when it is opened.
    Withdrawal {
        /// Whose inbox they are in.
        user: String,
        /// Ids, at most [`WITHDRAWN_ALERTS_MAX`]. When they do not all fit, the push carries the
        /// first ones and `more`, which tells the app to fetch the inbox.
        alerts: Vec<String>,
        /// What the badge shows without them.
        unread: u64,
    },
    /// Starts, changes or ends a Live Activity.
    Activity(ActivityMessage),
}

/// Sends one push to one device, under the contract of [`ChannelSender`].
#[async_trait]
pub trait PushSender: Send + Sync {
    /// Sends `job` once, not counting a repetition that the provider's protocol asks for.
    async fn send(&self, job: &PushJob, now: Timestamp) -> Result<Accepted, SendError>;

    /// Asks the service whether it would take pushes, and sends none: for `watchbell doctor`.
    async fn dry_run(&self, now: Timestamp) -> Vec<DryRun> {
        let _ = now;
        Vec::new()
    }

    /// How messages of Google's look, where this is its sender.
    fn fcm_style(&self) -> Option<&FcmStyle> {
        None
    }

    /// How all who listen to a channel are told at once, where this is Apple's sender and may.
    fn broadcaster(&self) -> Option<&dyn Broadcaster> {
        None
    }

    /// Which of several hosts takes pushes for this device, where its health is its own; `None` when there is but one
    /// provider.
    fn authority(&self, target: &PushTarget) -> Option<String> {
        let _ = target;
        None
    }
}

impl PushTarget {
    /// The push service's name for this device.
    pub(super) fn of(device: &Device) -> Self {
        Self {
            token: device.token.clone(),
            environment: device.environment,
            bound_to: device.bound_to.clone(),
        }
    }
}
