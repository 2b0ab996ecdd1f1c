//! Mails that come to us: an SMTP server that takes only two kinds, reports about our own mails and replies to them.
//!
//! A relay that has taken a mail may learn later that its mailbox is not there. It says so by a mail to the return path
//! (RFC 3464). Complaints of readers come as mails too (RFC 5965). Each mail has a return path of its own
//! (`watchbell::wire::mail_ticket`), so a report is about one attempt even where it repeats nothing of the mail. It may have an
//! address for replies of its own as well (`watchbell::wire::reply_ticket`).
//!
//! What holds here:
//! - Nothing is relayed, kept or answered by mail. What is no report and no reply of a person is taken and forgotten.
//! - A report or a reply is taken once it is in the store; until then its sender is asked to come again, so none is lost.
//! - Conversations, lines, messages and waits are bounded, and so are the conversations of one address. Nobody is turned away
//!   while another one has shown no address of ours: the one that is waited for longest has to go.
//!
//! | file | what it is |
//! |---|---|
//! | `conversation.rs` | SMTP with one client |
//! | `incoming_message.rs` | a mail, from the bytes between `DATA` and the final dot: pure |
//! | `report.rs` | what a mail says of the one that came back: pure |
//! | `bounce_recorder.rs` | from a report to the store |
//! | `reply.rs` | whether a person wrote a reply, and who: pure |
//! | `automatic.rs` | whether a program wrote a reply: pure |
//! | `acknowledger.rs` | from a reply to the store |
//! | `taken_in.rs` | what became of a mail |

mod acknowledger;
mod automatic;
mod bounce_recorder;
mod conversation;
mod incoming_message;
mod reply;
mod report;
mod taken_in;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;
use watchbell::{
    broker::{Announcer, SharedBroker},
    runtime::{
        Clock, Current,
        cannot_listen::remedy_of,
        http::{AddressPrefix, Places, Share, ShareBounds},
    },
    store::Store,
    wire::{reply_ticket::ReplyTickets, return_ticket::ReturnTickets},
};

use acknowledger::ReplyAcknowledger;
use bounce_recorder::BounceRecorder;
use conversation::IncomingMail;

/// Conversations at once.
const CONVERSATIONS_MAX: usize = 64;
/// How many of them one address may have; a private one may be a balancer's, which everybody's mails come from.
const SHARE: ShareBounds = ShareBounds { public_max: 8, private_max: 48 };
/// Between attempts to accept when the system has no room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the broker may take to confirm the live message of a receipt, which is a hint.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

/// What the server is put together from.
pub struct IncomingMailParts {
    /// The domain of return paths and of addresses for replies.
    pub domain: String,
    /// Reads return paths.
    pub returns: Current<Option<ReturnTickets>>,
    /// Reads the addresses of replies. `None`: mails have none, and replies to them are not taken.
    pub replies: Option<Current<Option<ReplyTickets>>>,
    /// Tells sessions of what was acknowledged.
    pub broker: SharedBroker,
    /// Keeps what is learnt.
    pub store: Store,
    /// The time.
    pub clock: Clock,
}

/// Takes mails that come to us.
pub struct IncomingMailServer {
    listener: TcpListener,
    incoming: Arc<IncomingMail>,
}

impl IncomingMailServer {
    /// Listens; nothing is taken yet.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(listen: SocketAddr, parts: IncomingMailParts) -> anyhow::Result<Self> {
        let IncomingMailParts { domain, returns, replies, broker, store, clock } = parts;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            let remedy = remedy_of(error.kind(), "email.bounce_listen");
            anyhow::Error::new(error)
                .context(format!("email.bounce_listen: {listen} cannot be bound: {remedy}"))
        })?;
        info!(%listen, domain, "Mails that come back are taken at {listen}");
        let announcer = Announcer { broker, deadline: PUBLISH_DEADLINE };
        let incoming = IncomingMail {
            domain: domain.to_ascii_lowercase(),
            bounces: BounceRecorder::new(returns, store.clone(), clock.clone()),
            replies: replies.map(|tickets| ReplyAcknowledger::new(tickets, store, announcer, clock)),
        };
        Ok(Self { listener, incoming: Arc::new(incoming) })
    }

    /// Takes mails until `shutdown`; conversations that have begun are told to come again.
    pub async fn run(self, shutdown: CancellationToken) {
        let (places, conversations) = (Places::new(CONVERSATIONS_MAX), TaskTracker::new());
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let prefix = AddressPrefix::of(peer.ip());
            let share = SHARE.of(peer.ip()).map(|max| Share { prefix, max });
            let place = match places.enter(share) {
                Ok(place) => place,
                Err(no_place) => {
                    conversation::turn_away(&stream, no_place);
                    continue;
                }
            };
            let (incoming, shutdown) = (self.incoming.clone(), shutdown.clone());
            conversations
                .spawn(async move { conversation::hold(stream, &place, &incoming, &shutdown).await });
        }
        conversations.close();
        conversations.wait().await;
    }
}

#[cfg(test)]
mod tests;
