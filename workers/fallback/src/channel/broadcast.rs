//! What a broadcast channel of Apple's is asked for.
//!
//! Apple alone has them, for Live Activities alone:
//! <https://developer.apple.com/documentation/usernotifications/setting-up-broadcast-push-notifications>.

use uuid::Uuid;
use watchbell::domain::PushEnvironment;

use super::message::ActivityMessage;

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
        message: Box<ActivityMessage>,
    },
    /// The channel is deleted, for good.
    Delete {
        /// What Apple calls it.
        channel: String,
    },
}
