//! What reads the links of mails and pushes, which one secret signs for two purposes.

use watchbell::{
    runtime::{Config, Current},
    wire::{answer_link::AnswerLinks, unsubscribe::Unsubscribe},
};

/// Readers of links; none while the secret is not set. Cheap to clone; the clones are one.
#[derive(Clone)]
pub(crate) struct MessageLinks {
    /// Of links that end mail.
    pub(crate) unsubscribe: Current<Option<Unsubscribe>>,
    /// Of links that answer alerts.
    pub(crate) answers: Current<Option<AnswerLinks>>,
}

impl MessageLinks {
    pub(crate) fn new(shared: &Config) -> Self {
        let secret = shared.auth.unsubscribe_secret.as_ref();
        Self {
            unsubscribe: Current::new(secret.map(Unsubscribe::new)),
            answers: Current::new(secret.map(AnswerLinks::new)),
        }
    }

    /// The same with the secret that holds now.
    pub(crate) fn replace(&self, shared: &Config) {
        let secret = shared.auth.unsubscribe_secret.as_ref();
        self.unsubscribe.replace(secret.map(Unsubscribe::new));
        self.answers.replace(secret.map(AnswerLinks::new));
    }
}
