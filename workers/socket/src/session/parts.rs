//! What a session needs of its pod.

use std::sync::Arc;

use crate::{
    config::SocketConfig,
    feed::inbox::Inbox,
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
}
