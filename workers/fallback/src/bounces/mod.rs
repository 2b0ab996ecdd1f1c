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
//! | `report.rs` | what a mail says of the one that came back: pure |

mod conversation;
mod report;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use watchbell::{
    domain::{BounceKind, bounce::Bounce},
    runtime::Clock,
    store::{BounceRecorded, Store, StoreError},
    wire::mail_ticket::MailTicket,
};

use report::{Report, report_of};

/// Conversations at once. Servers that meet more come again.
const CONVERSATIONS_MAX: usize = 64;
/// Between attempts to accept when the system has no room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes mails that come back.
pub struct BounceServer {
    listener: TcpListener,
    recorder: Arc<BounceRecorder>,
}

/// Where reports go, and for which domain.
pub(crate) struct BounceRecorder {
    /// Of the return paths, in small letters.
    domain: String,
    store: Store,
    clock: Clock,
}

/// What became of a mail that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenIn {
    /// It is recorded, or there was nothing to record.
    Done,
    /// The store is away: its sender comes again.
    Later,
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
        let recorder = BounceRecorder { domain: domain.to_ascii_lowercase(), store, clock };
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

impl BounceRecorder {
    /// Records what a mail to these return paths says.
    async fn take_in(&self, tickets: &[MailTicket], message: &[u8]) -> TakenIn {
        let report = report_of(message);
        let told = match &report {
            Report::CameBack { kind, reason } => Some((*kind, reason.clone())),
            Report::Complaint { reason, .. } => Some((BounceKind::Complaint, reason.clone())),
            Report::Delayed | Report::None => None,
        };
        let Some((kind, reason)) = told else {
            count(if report == Report::Delayed { "delayed" } else { "no_report" });
            return TakenIn::Done;
        };
        let named = match report {
            Report::Complaint { about, .. } => about,
            _ => None,
        };
        let tickets = if tickets.is_empty() { named.as_slice() } else { tickets };
        for MailTicket { attempt, address_digest } in tickets.iter().cloned() {
            let bounce = Bounce { attempt, address_digest, kind, reason: reason.clone() };
            match record(&self.store, &bounce, &self.clock).await {
                Ok(()) => {}
                Err(error) if error.is_unavailable() => return TakenIn::Later,
                Err(error) => warn!(%error, %attempt, "A mail that came back could not be recorded"),
            }
        }
        TakenIn::Done
    }
}

/// Records what came back, counts it, and tells the operator of what only they can correct.
async fn record(store: &Store, bounce: &Bounce, clock: &Clock) -> Result<(), StoreError> {
    let recorded = store.record_bounce(bounce, None, clock.now()).await?;
    let Bounce { attempt, kind, reason, .. } = bounce;
    if recorded == BounceRecorded::Nothing {
        count("unknown");
        return Ok(());
    }
    count(kind.as_str());
    if *kind == BounceKind::Policy {
        warn!(%attempt, reason, "A receiver refuses our mails by its policy. Check SPF, DKIM, DMARC and the reputation of the sending address");
    }
    if recorded == BounceRecorded::Suppressed {
        info!(%attempt, %kind, reason, "An address gets no mail any more");
    }
    Ok(())
}

fn count(kind: &'static str) {
    metrics::counter!("watchbell_fallback_bounces_total", "kind" => kind).increment(1);
}
