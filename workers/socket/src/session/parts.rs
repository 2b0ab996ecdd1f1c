//! What a session needs of its pod.

use std::sync::Arc;

use watchbell::runtime::waiting_room::WaitingRoom;

use crate::{
    config::SocketConfig,
    feed::inbox::Inbox,
    frames::sent::SentFrames,
    pod::{leaving::Leaving, sessions::Sessions},
    token::Verifier,
};

/// What a session needs of its pod. All sessions share one.
pub(crate) struct SessionParts {
    pub(crate) verifier: Verifier,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) inbox: Inbox,
    pub(crate) leaving: Arc<Leaving>,
    pub(crate) config: Arc<SocketConfig>,
    /// What is written is counted here.
    pub(crate) sent: Arc<SentFrames>,
    /// Where those are waited for who have not said yet who they are.
    pub(crate) unsigned: Arc<WaitingRoom>,
}
