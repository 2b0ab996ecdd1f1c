//! What a session does when something is missing: it reads the store, or tells its client to fetch the inbox.

use tokio::time::Instant;
use tracing::{debug, warn};
use watchbell::store::Head;

use crate::{
    feed::follower::CaughtUp,
    session::state::{Session, SessionEnd, write},
};

impl Session<'_> {
    /// Tells the client to fetch its inbox and to continue from this head.
    pub(crate) fn resync(&mut self, reason: &str, head: Head) {
        let frame = self.state.follower.resync(reason, head);
        self.put(&frame);
    }

    /// Sends everything that changed since what the client has, from the store. Memory for a page is taken before it is
    /// read, and given back when it is written.
    pub(crate) async fn catch_up(&mut self) -> Result<(), SessionEnd> {
        loop {
            let (inbox, user) = (&self.parts.inbox, &self.state.identity.user);
            let Ok(mut room) = inbox.room_for_a_page(user).await else {
                // The client keeps what it has, and is healed when others have taken what they were told.
                self.state.follower.heal_later(Instant::now());
                return Ok(());
            };
            match self.state.follower.next_page(inbox, user).await {
                Ok(CaughtUp::Refused(reason, head)) => {
                    self.resync(reason, head);
                    return Ok(());
                }
                Ok(CaughtUp::Frames { frames, complete }) => {
                    frames.iter().for_each(|frame| self.put_filtered(frame));
                    drop(frames);
                    room.keep(self.connection.unwritten());
                    write(self.parts, self.connection).await?;
                    if complete {
                        return Ok(());
                    }
                }
                Err(error) => {
                    // Not the client's trouble: it keeps what it has, and is healed when the store is back.
                    let session = self.state.id.simple();
                    let what = "A session could not be healed yet";
                    match error.is_unavailable() {
                        // Readiness tells of it, once for all sessions.
                        true => debug!(%error, %session, "{what}"),
                        false => warn!(%error, %session, "{what}"),
                    }
                    self.state.follower.heal_later(Instant::now());
                    return Ok(());
                }
            }
        }
    }
}
