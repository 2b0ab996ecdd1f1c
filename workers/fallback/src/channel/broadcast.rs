//! What a broadcast channel of Apple's is asked for, and the interface of whoever asks it.
//!
//! Apple alone has them, for Live Activities alone:
//! <https://developer.apple.com/documentation/usernotifications/setting-up-broadcast-push-notifications>.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use watchbell::domain::{Device, PushEnvironment};

use super::{
    error::SendError,
    message::ActivityMessage,
    sender::{Accepted, Provider},
};

/// One call about a channel.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// Kept on every repetition of the call (I6).
    pub call: Uuid,
    /// The bundle id of the app.
    pub app: String,
    /// Which of Apple's two worlds.
    pub environment: PushEnvironment,
    /// What it is about.
    pub act: BroadcastAct,
}

/// What a call does.
#[derive(Debug, Clone)]
pub enum BroadcastAct {
    /// Apple is asked for the channels of the app, and says whether it may have some. What they are is not read.
    Look,
    /// A channel is made; what Apple calls it is the answer's `provider_id`. It is another one each time.
    Make,
    /// All who listen are told this.
    Tell {
        /// What Apple calls the channel.
        channel: String,
        /// An update or an end.
        message: ActivityMessage,
    },
    /// The channel is deleted, for good.
    Delete {
        /// What Apple calls it.
        channel: String,
    },
}

/// Tells all who listen to a channel, under the contract of [`super::ChannelSender`].
#[async_trait]
pub trait Broadcaster: Send + Sync {
    /// The bundle id of the app in whose channels the Live Activities of this device can listen; none: there are no channels for it.
    fn app_of<'a>(&'a self, device: &'a Device) -> Option<&'a str>;

    /// The part of Apple that would be called.
    fn provider_of(&self, broadcast: &Broadcast) -> Provider;

    /// Makes the call once, not counting a repetition that the provider's protocol asks for. [`SendError::BadToken`] and
    /// [`SendError::Unregistered`] say that Apple has no such channel.
    async fn broadcast(&self, broadcast: &Broadcast, now: Timestamp) -> Result<Accepted, SendError>;
}
