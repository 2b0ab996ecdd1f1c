//! The channels that are configured, each made by its own constructor from its own section.

use std::sync::Arc;

use watchbell::{
    domain::{
        Channel, PerChannel, UserKey,
        channel::Addressing,
        next_step::{Reach, Target},
    },
    runtime::Config,
    store::Escalation,
};

use super::{email, push, sections::ChannelSections, sender::ChannelSender, slack, sms, telegram, webhook};

/// Makes the sender of one channel. `None`: the channel is not configured.
type Constructor = fn(&ChannelSections, &Config) -> anyhow::Result<Option<Arc<dyn ChannelSender>>>;

/// One constructor for each channel, which is given its own section.
const CONSTRUCTORS: [Constructor; Channel::COUNT] = [
    |sections, shared| push::config::from_config(sections.apns.as_ref(), sections.fcm.as_ref(), shared),
    |sections, shared| email::config::from_config(sections.email.as_ref(), shared),
    |sections, _| webhook::config::from_config(sections.webhook.as_ref()),
    |sections, _| slack::config::from_config(sections.slack.as_ref()),
    |sections, shared| telegram::config::from_config(sections.telegram.as_ref(), shared),
    |sections, shared| sms::config::from_config(sections.sms.as_ref(), shared),
];

/// The sender of each channel. A channel without a sender is not configured.
#[derive(Clone, Default)]
pub struct Channels(PerChannel<Option<Arc<dyn ChannelSender>>>);

impl Channels {
    /// Makes the sender of every channel that is configured.
    ///
    /// # Errors
    /// Names the section and the setting.
    pub fn from_config(sections: &ChannelSections, shared: &Config) -> anyhow::Result<Self> {
        let mut channels = Self::default();
        for make in CONSTRUCTORS {
            if let Some(sender) = make(sections, shared)? {
                channels = channels.with(sender);
            }
        }
        Ok(channels)
    }

    /// The same with one more sender. It replaces a sender of the same channel.
    #[must_use]
    pub fn with(mut self, sender: Arc<dyn ChannelSender>) -> Self {
        let channel = sender.channel();
        self.0[channel] = Some(sender);
        self
    }

    /// The sender of this channel, if it is configured.
    pub fn get(&self, channel: Channel) -> Option<&dyn ChannelSender> {
        self.0[channel].as_deref()
    }

    /// The devices or the address that a message by each channel would go to. A channel that is not configured is included,
    /// so that the timeline says why nothing was sent.
    pub(crate) fn reach(&self, user: &UserKey, escalation: &Escalation) -> Reach {
        PerChannel::of(|channel| match channel.facts().addressing {
            Addressing::Devices => {
                escalation.devices.iter().map(|device| Target { device: Some(device.id.clone()) }).collect()
            }
            Addressing::Address(_) => {
                let address = match self.get(channel) {
                    Some(sender) => sender.address(user, escalation),
                    None => escalation.addresses[channel].clone(),
                };
                address.map(|_| Target { device: None }).into_iter().collect()
            }
        })
    }
}
