//! What reads the links of mails and pushes, the return paths of mails and their addresses for replies, and the receipt tokens of
//! pushes, which one secret signs for one purpose each.

use watchbell::{
    runtime::{Config, Current},
    wire::{
        answer_link::AnswerLinks, push_receipt::PushReceipts, reply_ticket::ReplyTickets,
        return_ticket::ReturnTickets, unsubscribe::Unsubscribe,
    },
};

/// Readers of links; none while the secret is not set. Cheap to clone; the clones are one.
#[derive(Clone)]
pub(crate) struct MessageLinks {
    /// Of links that end mail.
    pub(crate) unsubscribe: Current<Option<Unsubscribe>>,
    /// Of links that answer alerts.
    pub(crate) answers: Current<Option<AnswerLinks>>,
    /// Of addresses that replies to mails go to.
    pub(crate) replies: Current<Option<ReplyTickets>>,
    /// Of return paths of mails.
    pub(crate) returns: Current<Option<ReturnTickets>>,
    /// Of what devices say with that they have a push.
    pub(crate) receipts: Current<Option<PushReceipts>>,
}

impl MessageLinks {
    pub(crate) fn new(shared: &Config) -> Self {
        let secret = shared.auth.unsubscribe_secret.as_ref();
        Self {
            unsubscribe: Current::new(secret.map(Unsubscribe::new)),
            answers: Current::new(secret.map(AnswerLinks::new)),
            replies: Current::new(secret.map(ReplyTickets::new)),
            returns: Current::new(secret.map(ReturnTickets::new)),
            receipts: Current::new(secret.map(PushReceipts::new)),
        }
    }

    /// The same with the secret that holds now.
    pub(crate) fn replace(&self, shared: &Config) {
        let secret = shared.auth.unsubscribe_secret.as_ref();
        self.unsubscribe.replace(secret.map(Unsubscribe::new));
        self.answers.replace(secret.map(AnswerLinks::new));
        self.replies.replace(secret.map(ReplyTickets::new));
        self.returns.replace(secret.map(ReturnTickets::new));
        self.receipts.replace(secret.map(PushReceipts::new));
    }
}
