//! Whether a pod has room for one more session.

use std::{net::IpAddr, sync::Arc};

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use watchbell::{
    runtime::http::{RETRY_AFTER_S, ShareBounds},
    wire::Problem,
};

use crate::pod::{
    hub::Hub,
    limits::{AddressSlot, Addresses},
};

/// How many sessions there are, and how many there may be.
pub(crate) struct Capacity {
    pub(crate) hub: Arc<Hub>,
    /// Sessions of this pod at the most.
    pub(crate) sessions_max: usize,
    pub(crate) addresses: Addresses,
    /// Sessions of one address at the most.
    pub(crate) share: ShareBounds,
    /// Every session, and every request that is to become one: a pod that leaves waits for them.
    pub(crate) tasks: TaskTracker,
}

impl Capacity {
    /// Refuses everybody when the pod is full.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.hub.sessions() >= self.sessions_max {
            metrics::counter!("watchbell_socket_refused_total", "reason" => "overload").increment(1);
            return Err(Problem::unavailable("this pod takes no more sessions", RETRY_AFTER_S));
        }
        Ok(())
    }

    /// Counts a request as one that the pod waits for when it leaves, for as long as the token is held.
    pub(crate) fn count(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// One more session from an address; `None` when it has enough.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<AddressSlot> {
        self.addresses.enter(address, self.share)
    }
}
