//! Mails that come back: an SMTP server that takes reports for the return paths of our own mails, and nothing else.
//!
//! A relay that has taken a mail may learn later that its mailbox is not there. It says so by a mail to the return path
//! (RFC 3464). Complaints of readers come as mails too (RFC 5965). Each mail has a return path of its own
//! (`watchbell::wire::mail_ticket`), so a report is about one attempt even where it repeats nothing of the mail.
//!
//! What holds here:
//! - Nothing is relayed, kept or answered by mail. What is no report, such as an automatic reply, is taken and forgotten.
//! - A report is taken once it is in the store; until then its sender is asked to come again, so none is lost.
//! - Conversations, lines, messages and waits are bounded.
//!
//! | file | what it is |
//! |---|---|
//! | `conversation.rs` | SMTP with one client |
//! | `recorder.rs` | from a report to the store |
//! | `report.rs` | what a mail says of the one that came back: pure |

mod conversation;
mod recorder;
mod report;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;
use watchbell::{runtime::Clock, store::Store};

use recorder::BounceRecorder;

/// Conversations at once. Servers that meet more come again.
const CONVERSATIONS_MAX: usize = 64;
/// Between attempts to accept when the system has no room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes mails that come back.
pub struct BounceServer {
    listener: TcpListener,
    recorder: Arc<BounceRecorder>,
}

impl BounceServer {
    /// Listens; nothing is taken yet.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(listen: SocketAddr, domain: &str, store: Store, clock: Clock) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await;
        let listener = listener.with_context(|| format!("email.bounce_listen: {listen} cannot be bound"))?;
        info!(%listen, domain, "Mails that come back are taken at {listen}");
        let recorder = BounceRecorder::new(domain, store, clock);
        Ok(Self { listener, recorder: Arc::new(recorder) })
    }

    /// Takes reports until `shutdown`; conversations that have begun are told to come again.
    pub async fn run(self, shutdown: CancellationToken) {
        let (places, conversations) = (Arc::new(Semaphore::new(CONVERSATIONS_MAX)), TaskTracker::new());
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                // Closed at once: to wait in line would hold a socket of ours for whoever never speaks.
                continue;
            };
            let (recorder, shutdown) = (self.recorder.clone(), shutdown.clone());
            conversations.spawn(async move {
                conversation::hold(stream, &recorder, &shutdown).await;
                drop(place);
            });
        }
        conversations.close();
        conversations.wait().await;
    }
}
