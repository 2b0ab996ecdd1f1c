//! What changed since a change number, from the store, as frames in order.

use std::sync::Arc;

use serde_json::value::RawValue;
use watchbell::{
    domain::{Seq, UserKey},
    store::{Head, StoreError},
    wire::{
        action::AnswerV1,
        content::with_acknowledgement,
        frame::{AlertFrame, ServerFrame},
    },
};

use crate::{
    feed::inbox::Inbox,
    frames::{epoch::Epoch, frame::Frame},
};

/// Changes replayed at the most; a client that missed more is told to fetch its inbox.
const REPLAY_MAX: u64 = 1_000;
/// Rows read at a time while replaying; the store has a bound in bytes besides.
const REPLAY_PAGE: usize = 100;

/// One page of what changed.
pub(crate) enum Page {
    /// These frames, up to and with the change `reached`.
    Frames {
        frames: Vec<Arc<Frame>>,
        reached: Seq,
        /// Whether that was all of it.
        complete: bool,
    },
    /// They cannot be told one by one, for this reason: the client fetches its inbox and continues from this head.
    Refused(&'static str, Head),
}

/// The next page of what changed after a change number.
pub(crate) async fn changes_after(
    inbox: &Inbox,
    user: &UserKey,
    epoch: &Epoch,
    after: Seq,
) -> Result<Page, StoreError> {
    let changes = inbox.store.changes_after(user, after, REPLAY_PAGE).await?;
    let head = changes.head;
    if head.seq.saturating_sub(after) > REPLAY_MAX {
        return Ok(Page::Refused("more changed than is replayed", head));
    }
    // A deletion has a number and no frame.
    if after < head.deleted_to {
        return Ok(Page::Refused("old alerts were deleted", head));
    }
    // It is read in parts where the inbox is.
    if changes.too_long {
        return Ok(Page::Refused("a change fills more than a page", head));
    }
    let mut frames = Vec::with_capacity(changes.rows.len());
    for row in &changes.rows {
        let shown = with_acknowledgement(&row.content, row.acknowledgement.as_ref());
        // `content_of` wrote it, so it is JSON.
        let Ok(alert) = serde_json::from_str::<&RawValue>(&shown) else { continue };
        let until = row.until.map(|until| until.to_string());
        let answer = row.answer.as_ref().map(AnswerV1::of);
        let frame = AlertFrame {
            seq: row.seq,
            cursor: &epoch.cursor(row.seq),
            unread: head.unread,
            state: row.state.as_str(),
            until: until.as_deref(),
            answer: answer.as_ref(),
            alert,
        };
        frames.push(Arc::new(Frame::new(&ServerFrame::Alert(frame), Some(row.seq))));
    }
    let reached = changes.rows.last().map_or(after, |row| row.seq);
    let reached = if changes.complete { reached.max(head.seq) } else { reached };
    Ok(Page::Frames { frames, reached, complete: changes.complete })
}

/// The frame that tells a client to fetch its inbox and continue from there.
pub(crate) fn resync_frame(reason: &str, epoch: &Epoch, head: Head) -> Frame {
    metrics::counter!("watchbell_socket_resyncs_total").increment(1);
    let cursor = epoch.cursor(head.seq);
    let frame = ServerFrame::Resync { reason, seq: head.seq, cursor: &cursor, unread: head.unread };
    Frame::new(&frame, Some(head.seq))
}
