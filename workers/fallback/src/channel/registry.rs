//! The channels that are configured, each made by its own constructor from its own section.

use std::sync::Arc;

use watchbell::{
    domain::{
        AttemptId, Channel, PerChannel, Secret, Timestamp, UserKey,
        channel::Addressing,
        next_step::{Reach, Target},
    },
    runtime::{Config, Current},
    store::Escalation,
    wire::push_receipt::{PushReceipts, good_until},
};

use super::{
    answers::AnswerAddresses, email, message::AlertContent, push, sections::ChannelSections,
    sender::ChannelSender, slack, sms, telegram, webhook,
};

/// Makes the sender of one channel. `None`: the channel is not configured.
type Constructor = fn(&ChannelSections, &Config) -> anyhow::Result<Option<Arc<dyn ChannelSender>>>;

/// One constructor for each channel, which is given its own section.
const CONSTRUCTORS: [Constructor; Channel::COUNT] = [
    |sections, shared| {
        let services = (sections.apns.as_ref(), sections.fcm.as_ref());
        push::config::from_config(services, sections.push.as_ref(), shared)
    },
    |sections, shared| email::config::from_config(sections.email.as_ref(), shared),
    |sections, _| webhook::config::from_config(sections.webhook.as_ref()),
    |sections, _| slack::config::from_config(sections.slack.as_ref()),
    |sections, shared| telegram::config::from_config(sections.telegram.as_ref(), shared),
    |sections, shared| sms::config::from_config(sections.sms.as_ref(), shared),
];

/// The sender of each channel. A channel without a sender is not configured. Cheap to clone; the clones are one.
#[derive(Clone, Default)]
pub struct Channels {
    senders: Current<Senders>,
    answers: Current<Option<AnswerAddresses>>,
    receipts: Current<Option<PushReceipts>>,
}

type Senders = PerChannel<Option<Arc<dyn ChannelSender>>>;

impl Channels {
    /// Makes the sender of every channel that is configured.
    ///
    /// # Errors
    /// Names the section and the setting.
    pub fn from_config(sections: &ChannelSections, shared: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            senders: senders(sections, shared)?.into(),
            answers: AnswerAddresses::from_config(shared).into(),
            receipts: push_receipts(shared).into(),
        })
    }

    /// Makes every sender anew, because a key or a certificate was changed. What is being sent goes on with the sender that it
    /// has.
    ///
    /// # Errors
    /// As [`Channels::from_config`]; the senders stay as they were.
    pub fn replace(&self, sections: &ChannelSections, shared: &Config) -> anyhow::Result<()> {
        self.senders.replace(senders(sections, shared)?);
        self.answers.replace(AnswerAddresses::from_config(shared));
        self.receipts.replace(push_receipts(shared));
        Ok(())
    }

    /// The same with one more sender. It replaces a sender of the same channel.
    #[must_use]
    pub fn with(self, sender: Arc<dyn ChannelSender>) -> Self {
        let mut senders = Senders::clone(&self.senders.get());
        let channel = sender.channel();
        senders[channel] = Some(sender);
        Self { senders: senders.into(), ..self }
    }

    /// The sender of this channel, if it is configured.
    pub fn get(&self, channel: Channel) -> Option<Arc<dyn ChannelSender>> {
        self.senders.get()[channel].clone()
    }

    /// The sender of each channel that is configured.
    pub(crate) fn all(&self) -> Vec<Arc<dyn ChannelSender>> {
        let senders = self.senders.get();
        senders.iter().filter_map(|(_, sender)| sender.clone()).collect()
    }

    /// The alert with the links by which this person answers it without a login, where there are such links.
    pub(crate) fn with_answer_links(
        &self,
        alert: AlertContent,
        user: &UserKey,
        now: Timestamp,
    ) -> AlertContent {
        match &*self.answers.get() {
            Some(answers) => answers.written_into(alert, user, now),
            None => alert,
        }
    }

    /// Where this person acknowledges this alert without a login, where there are such links.
    pub(crate) fn acknowledge_link(&self, alert: &str, user: &UserKey, now: Timestamp) -> Option<String> {
        self.answers.get().as_ref().as_ref()?.to_acknowledge(alert, user, now)
    }

    /// What the device of this push says with that it has it, where such tokens can be signed. The push is sent now, and over then.
    pub(crate) fn push_receipt(
        &self,
        attempt: AttemptId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Option<Secret> {
        let receipts = self.receipts.get();
        Some(receipts.as_ref().as_ref()?.token(attempt, good_until(expires_at, now)))
    }

    /// The devices or the address that a message by each channel would go to. A channel that is not configured is included,
    /// so that the timeline says why nothing was sent.
    pub(crate) fn reach(&self, user: &UserKey, escalation: &Escalation) -> Reach {
        let senders = self.senders.get();
        PerChannel::of(|channel| match channel.facts().addressing {
            Addressing::Devices => {
                escalation.devices.iter().map(|device| Target { device: Some(device.id.clone()) }).collect()
            }
            Addressing::Address(_) => {
                let address = match &senders[channel] {
                    Some(sender) => sender.address(user, escalation),
                    None => escalation.addresses[channel].clone(),
                };
                address.map(|_| Target { device: None }).into_iter().collect()
            }
        })
    }
}

/// Signs what devices say with that they have a push. It is the secret of the links in messages.
fn push_receipts(shared: &Config) -> Option<PushReceipts> {
    shared.auth.unsubscribe_secret.as_ref().map(PushReceipts::new)
}

fn senders(sections: &ChannelSections, shared: &Config) -> anyhow::Result<Senders> {
    let mut senders = Senders::default();
    for make in CONSTRUCTORS {
        if let Some(sender) = make(sections, shared)? {
            let channel = sender.channel();
            senders[channel] = Some(sender);
        }
    }
    Ok(senders)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::channel::slack::config::SlackSection;

    #[test]
    fn senders_are_replaced_for_whoever_asks_next_and_kept_when_the_new_ones_cannot_be_made() {
        let shared = Config::default();
        let slack = SlackSection { trust_root_file: Some("no-such-file".into()), ..SlackSection::default() };
        let unusable = ChannelSections { slack: Some(slack), ..ChannelSections::default() };
        let usable = ChannelSections { slack: Some(SlackSection::default()), ..ChannelSections::default() };
        let channels = Channels::from_config(&usable, &shared).unwrap();
        let (clone, before) = (channels.clone(), channels.get(Channel::Slack).unwrap());

        assert!(channels.replace(&unusable, &shared).is_err());
        assert!(Arc::ptr_eq(&before, &clone.get(Channel::Slack).unwrap()), "kept");
        channels.replace(&usable, &shared).unwrap();
        assert!(!Arc::ptr_eq(&before, &clone.get(Channel::Slack).unwrap()), "made anew");
        channels.replace(&ChannelSections::default(), &shared).unwrap();
        assert!(clone.get(Channel::Slack).is_none(), "no longer configured");
    }
}
