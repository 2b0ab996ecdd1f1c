//! The channels that are configured, each made by its own constructor from its own section.

use std::sync::Arc;

use watchbell::{
    domain::{
        Channel, PerChannel, UserKey,
        channel::Addressing,
        next_step::{Reach, Target},
    },
    runtime::Config,
    store::Walk,
};

use super::{email, push, sections::ChannelSections, sender::ChannelSender, slack, telegram, webhook};

/// Makes the sender of one channel. `None`: it is not configured.
type Constructor = fn(&ChannelSections, &Config) -> anyhow::Result<Option<Arc<dyn ChannelSender>>>;

/// A line for each channel.
const CONSTRUCTORS: [Constructor; Channel::COUNT] = [
    push::config::from_config,
    email::config::from_config,
    webhook::config::from_config,
    slack::config::from_config,
    telegram::config::from_config,
];

/// Who sends by each channel. One without a sender is one that is not configured.
#[derive(Clone, Default)]
pub struct Channels(PerChannel<Option<Arc<dyn ChannelSender>>>);

impl Channels {
    /// Every channel that is configured.
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

    /// The same with one more channel, or another sender for one.
    #[must_use]
    pub fn with(mut self, sender: Arc<dyn ChannelSender>) -> Self {
        let channel = sender.channel();
        self.0[channel] = Some(sender);
        self
    }

    /// Who sends by this channel, if it is configured.
    pub fn get(&self, channel: Channel) -> Option<&dyn ChannelSender> {
        self.0[channel].as_deref()
    }

    /// Whom a message by each channel would go to. One that is not configured is reached all the same, so that its
    /// timeline says why nothing was sent.
    pub(crate) fn reach(&self, user: &UserKey, walk: &Walk) -> Reach {
        PerChannel::of(|channel| match channel.facts().addressing {
            Addressing::Devices => {
                walk.devices.iter().map(|device| Target { device: Some(device.id.clone()) }).collect()
            }
            Addressing::Address(_) => {
                let address = match self.get(channel) {
                    Some(sender) => sender.address(user, walk),
                    None => walk.addresses[channel].clone(),
                };
                address.map(|_| Target { device: None }).into_iter().collect()
            }
        })
    }
}
