//! What changed since a change number, from the store, as frames in order. For sessions and polls alike.

use std::sync::Arc;

use serde_json::value::RawValue;
use watchbell::{
    domain::UserKey,
    store::{Head, StoreError},
    wire::frame::{AlertFrame, ServerFrame},
};

use crate::{
    Socket,
    feed::order::Order,
    frames::{epoch::Epoch, frame::Frame},
};

/// Changes replayed at the most; a client that missed more is told to fetch its inbox.
const REPLAY_MAX: u64 = 1_000;
/// Rows read at a time while replaying.
const REPLAY_PAGE: usize = 100;

/// One step of a replay.
pub(crate) enum Replayed {
    /// Send these.
    Frames {
        frames: Vec<Arc<Frame>>,
        /// Whether that was all of it.
        complete: bool,
    },
    /// Too much: the client fetches its inbox and goes on from this head.
    Resync(Head),
}

impl Socket {
    /// The next page of what a client misses, and what was held until it came. Moves `order` on.
    pub(crate) async fn replay(
        &self,
        user: &UserKey,
        epoch: &Epoch,
        order: &mut Order<Arc<Frame>>,
    ) -> Result<Replayed, StoreError> {
        let after = order.last();
        let changes = self.0.store.changes_after(user, after, REPLAY_PAGE).await?;
        if changes.head.seq.saturating_sub(after) > REPLAY_MAX {
            return Ok(Replayed::Resync(changes.head));
        }
        let mut frames = Vec::with_capacity(changes.rows.len());
        for row in &changes.rows {
            // `content_of` wrote it, so it is JSON.
            let Ok(alert) = serde_json::from_str::<&RawValue>(&row.content) else { continue };
            let until = row.until.map(|until| until.to_string());
            let frame = AlertFrame {
                seq: row.seq,
                cursor: &epoch.cursor(row.seq),
                unread: changes.head.unread,
                state: row.state.as_str(),
                until: until.as_deref(),
                alert,
            };
            frames.push(Arc::new(Frame::new(&ServerFrame::Alert(frame), Some(row.seq))));
        }
        let reached = changes.rows.last().map_or(after, |row| row.seq);
        match changes.complete {
            true => frames.extend(order.healed_to(reached.max(changes.head.seq))),
            false => order.paged_to(reached),
        }
        Ok(Replayed::Frames { frames, complete: changes.complete })
    }

    /// The frame that says: fetch the inbox, go on from here.
    pub(crate) fn resync_frame(&self, reason: &str, epoch: &Epoch, head: Head) -> Frame {
        metrics::counter!("watchbell_socket_resyncs_total").increment(1);
        let cursor = epoch.cursor(head.seq);
        let frame = ServerFrame::Resync { reason, seq: head.seq, cursor: &cursor, unread: head.unread };
        Frame::new(&frame, Some(head.seq))
    }
}
