//! What this pod tells the others about itself.

use std::sync::Arc;

use watchbell::{domain::Timestamp, runtime::Clock, store::PodLoad};

use crate::pod::{hub::Hub, leaving::Leaving};

/// How many sessions this pod holds, how many it may hold, since when it runs, and whether it leaves. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PodStatus {
    pub(crate) hub: Arc<Hub>,
    pub(crate) leaving: Arc<Leaving>,
    pub(crate) sessions_max: usize,
    pub(crate) started_at: Timestamp,
    pub(crate) clock: Clock,
}

impl PodStatus {
    /// The status at this moment, as the store keeps it.
    pub(crate) fn load(&self) -> PodLoad {
        PodLoad {
            sessions: self.hub.sessions() as u64,
            sessions_max: self.sessions_max as u64,
            started_at: self.started_at,
            told_at: self.clock.now(),
            leaving: self.leaving.is_announced(),
        }
    }
}
