//! The channels: every way to reach a person who has not looked, and what is particular to each, in one table.
//!
//! What holds here:
//! - A channel is one row of the table below. Whatever differs between two channels outside their senders is a fact in
//!   it, so that no other code asks which channel it has.
//! - An open session is not a channel here: it is always told, and is never a step of a policy.
//! - A word that is stored, or that producers and clients write, stays as it is.
//!
//! Elsewhere: how much of it one person gets in [`super::restraint`]; the senders in `workers/fallback/src/channel`.

use std::{
    ops::{Index, IndexMut},
    time::Duration,
};

use super::{
    Secret,
    alert::UnknownWord,
    channel_bounds::{ChannelBounds, HOUR},
    email::{EMAIL_BYTES_MAX, email_address},
    phone::{PHONE_BYTES_MAX, phone_number},
    slack::{SLACK_BYTES_MAX, slack_address},
    telegram::{CHAT_ID_BYTES_MAX, chat_id},
    web_address::{WEB_ADDRESS_BYTES_MAX, web_address},
};

/// What is particular to one channel.
#[derive(Debug)]
pub struct Facts {
    /// Its word in policies and preferences, on the wire, in the store, in logs and in metrics.
    pub word: &'static str,
    /// What a message by it is addressed to.
    pub addressing: Addressing,
    /// How much of it one person gets, unless it is configured otherwise. A window of zero: it gathers nothing.
    pub bounds: ChannelBounds,
    /// How long an attempt is tried again before it is given up.
    pub retried_for: Duration,
    /// Whether it interrupts whoever gets it: then what an earlier round sent already, or worse, is not sent again.
    pub rings: bool,
    /// Whether what was shown can be taken away, and by what.
    pub removal: Removal,
    /// What a policy writes into `unless` to leave a step out after this channel was accepted.
    pub told_word: &'static str,
    /// What is stored, and answered, of an alert that waits to be told with others.
    pub held_word: &'static str,
    /// How it is spoken of in timelines and errors.
    pub phrases: Phrases,
}

/// What a message is addressed to.
#[derive(Debug, Clone, Copy)]
pub enum Addressing {
    /// Each device that the person registered.
    Devices,
    /// One address of the person, which producers give.
    Address(AddressForm),
}

/// What an address of a channel looks like. Whether there is anybody behind it, only its provider knows.
#[derive(Debug, Clone, Copy)]
pub struct AddressForm {
    /// Reads one, in the one form that it is kept in, or says what must be written. Never repeats it.
    pub parse: fn(&str) -> Result<Secret, String>,
    /// The longest one, in bytes.
    pub bytes_max: usize,
    /// A regular expression that each matches.
    pub pattern: &'static str,
    /// The name of a format in OpenAPI, where the pattern does not say all.
    pub format: Option<&'static str>,
    /// What one is, in the words of the API's description.
    pub about: &'static str,
}

/// Whether what was shown can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It stays where it is.
    Never,
    /// By the device that shows it and the alert's own id.
    ByDevice,
    /// By the id that the provider gave to the message, which is kept with the attempt.
    ByMessage,
}

/// How a channel is spoken of.
#[derive(Debug)]
pub struct Phrases {
    /// One message.
    pub one: &'static str,
    /// One message that tells of several alerts.
    pub summary: &'static str,
    /// Why a person cannot be reached by it.
    pub nobody: &'static str,
    /// The sections of the configuration that set it up.
    pub setup: &'static str,
    /// Why an alert waits for a summary.
    pub held: &'static str,
}

/// Makes the enum, and what has to name every variant, from one row a channel.
macro_rules! channels {
    ($($(#[$doc:meta])* $name:ident = $facts:expr;)+) => {
        /// A way to reach a person who has not looked. Each may be a step of a policy.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Channel { $($(#[$doc])* $name),+ }

        impl Channel {
            /// How many there are.
            pub const COUNT: usize = [$(Self::$name),+].len();

            /// Each of them, in the order of the table.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name),+];

            /// What is particular to it.
            pub const fn facts(self) -> &'static Facts {
                match self {
                    $(Self::$name => {
                        static FACTS: Facts = $facts;
                        &FACTS
                    })+
                }
            }
        }
    };
}

channels! {
    /// Their devices, by the push service of each.
    Push = Facts {
        word: "push",
        addressing: Addressing::Devices,
        bounds: ChannelBounds {
            window: Duration::from_secs(120),
            alone_max: 5,
            mandatory_alone_max: 5,
            per_hour_max: 60,
            age_max: Duration::from_secs(24 * 60 * 60),
        },
        retried_for: HOUR,
        rings: true,
        removal: Removal::ByDevice,
        told_word: "pushed",
        held_word: "bundle",
        phrases: Phrases {
            one: "a push",
            summary: "summary push",
            nobody: "the user has no device",
            setup: "[apns], [fcm] or [webpush]",
            held: "the user got enough pushes; it is told in one with others",
        },
    };
    /// Their mailbox.
    Email = Facts {
        word: "email",
        addressing: Addressing::Address(AddressForm {
            parse: |text| email_address(text).map_err(|why| why.to_string()),
            bytes_max: EMAIL_BYTES_MAX,
            pattern: r"^[^\s\u0000-\u001f\u007f-\u009f<>,;]{1,64}@([^\s\u0000-\u001f\u007f-\u009f<>,;@.]{1,63}\.)*[A-Za-z][A-Za-z0-9]{0,62}$",
            format: Some("watchbell-email"),
            about: "One mailbox, without a name around it, at most 254 bytes. Its domain is kept in lower case and in the ASCII form \
                    of IDNA.",
        }),
        bounds: ChannelBounds {
            window: Duration::from_secs(120),
            alone_max: 0,
            mandatory_alone_max: 1,
            per_hour_max: 20,
            age_max: Duration::from_secs(72 * 60 * 60),
        },
        retried_for: Duration::from_secs(24 * 60 * 60),
        rings: false,
        removal: Removal::Never,
        told_word: "mailed",
        held_word: "digest",
        phrases: Phrases {
            one: "an email",
            summary: "digest mail",
            nobody: "the user has no address that takes mail",
            setup: "[email]",
            held: "it is told in one mail with others",
        },
    };
    /// A program of theirs, or of their tenant.
    Webhook = Facts {
        word: "webhook",
        addressing: Addressing::Address(AddressForm {
            parse: |text| web_address(text).map_err(|why| why.to_string()),
            bytes_max: WEB_ADDRESS_BYTES_MAX,
            pattern: r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*)?$",
            format: None,
            about: "Where alerts are posted to, signed by the scheme of Standard Webhooks. Only https on the public internet is \
                    called, unless the operator allows more.",
        }),
        bounds: ChannelBounds {
            window: Duration::ZERO,
            alone_max: 0,
            mandatory_alone_max: 0,
            per_hour_max: 3_600,
            age_max: Duration::from_secs(72 * 60 * 60),
        },
        retried_for: Duration::from_secs(24 * 60 * 60),
        rings: false,
        removal: Removal::ByMessage,
        told_word: "posted",
        held_word: "webhook_summary",
        phrases: Phrases {
            one: "a webhook",
            summary: "summary webhook",
            nobody: "neither the user nor their tenant has an address that takes webhooks",
            setup: "[webhook]",
            held: "the address got enough webhooks; it is told in one with others",
        },
    };
    /// A channel or a direct message of theirs in Slack.
    Slack = Facts {
        word: "slack",
        addressing: Addressing::Address(AddressForm {
            parse: |text| slack_address(text).map_err(|why| why.to_string()),
            bytes_max: SLACK_BYTES_MAX,
            pattern: r"^([CDGUW][A-Z0-9]{5,20}|https://hooks\.slack(-gov)?\.com/services/[A-Za-z0-9]{1,80}/[A-Za-z0-9]{1,80}/[A-Za-z0-9]{1,80})$",
            format: None,
            about: "The id of a channel, a conversation or a member of Slack, or an incoming webhook.",
        }),
        bounds: ChannelBounds {
            window: Duration::from_secs(120),
            alone_max: 5,
            mandatory_alone_max: 5,
            per_hour_max: 60,
            age_max: Duration::from_secs(24 * 60 * 60),
        },
        retried_for: HOUR,
        rings: false,
        removal: Removal::ByMessage,
        told_word: "slacked",
        held_word: "slack_summary",
        phrases: Phrases {
            one: "a message in Slack",
            summary: "summary in Slack",
            nobody: "the user has no address in Slack that takes messages",
            setup: "[slack]",
            held: "the user got enough messages in Slack; it is told in one with others",
        },
    };
    /// A chat with the operator's bot in Telegram.
    Telegram = Facts {
        word: "telegram",
        addressing: Addressing::Address(AddressForm {
            parse: |text| chat_id(text).map_err(|why| why.to_string()),
            bytes_max: CHAT_ID_BYTES_MAX,
            pattern: r"^\s*-?0*[1-9][0-9]{0,15}\s*$",
            format: None,
            about: "The number of a chat that was begun with the bot, as its updates name it; negative for a group. Not a name.",
        }),
        bounds: ChannelBounds {
            window: Duration::from_secs(120),
            alone_max: 5,
            mandatory_alone_max: 5,
            per_hour_max: 60,
            age_max: Duration::from_secs(24 * 60 * 60),
        },
        retried_for: HOUR,
        rings: true,
        removal: Removal::ByMessage,
        told_word: "telegrammed",
        held_word: "telegram_summary",
        phrases: Phrases {
            one: "a Telegram message",
            summary: "summary message in Telegram",
            nobody: "the user has no Telegram chat that takes messages",
            setup: "[telegram]",
            held: "the user got enough Telegram messages; it is told in one with others",
        },
    };
    /// Their phone, by text message. Each segment is paid for, so few go out alone.
    Sms = Facts {
        word: "sms",
        addressing: Addressing::Address(AddressForm {
            parse: |text| phone_number(text).map_err(|why| why.to_string()),
            bytes_max: PHONE_BYTES_MAX,
            pattern: r"^\+[1-9][0-9]{6,14}$",
            format: None,
            about: "A phone number as in E.164: `+`, the code of the country and the number, digits only. One that was refused, as by \
                    STOP, stays refused until another one is given, or the same one once more after it was taken away.",
        }),
        bounds: ChannelBounds {
            window: Duration::from_secs(10 * 60),
            alone_max: 2,
            mandatory_alone_max: 3,
            per_hour_max: 10,
            age_max: Duration::from_secs(24 * 60 * 60),
        },
        retried_for: HOUR,
        rings: true,
        removal: Removal::Never,
        told_word: "texted",
        held_word: "sms_summary",
        phrases: Phrases {
            one: "a text message",
            summary: "summary text message",
            nobody: "the user has no phone number that takes text messages",
            setup: "[sms]",
            held: "the user got enough text messages; it is told in one with others",
        },
    };
}

impl Channel {
    /// Every word, in the order of the table.
    pub const WORDS: &[&str] = &Self::words();

    const fn words() -> [&'static str; Self::COUNT] {
        let (mut words, mut at) = ([""; Self::COUNT], 0);
        while at < Self::COUNT {
            words[at] = Self::ALL[at].facts().word;
            at += 1;
        }
        words
    }

    /// The word for it on the wire, in the store, in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.facts().word
    }

    /// What its addresses look like, if it goes to one.
    pub fn address_form(self) -> Option<AddressForm> {
        match self.facts().addressing {
            Addressing::Address(form) => Some(form),
            Addressing::Devices => None,
        }
    }

    /// Whether what it showed can be taken away.
    pub fn can_remove(self) -> bool {
        self.facts().removal != Removal::Never
    }

    /// The channel for which this holds of its facts.
    pub(super) fn find(is_meant: impl Fn(&Facts) -> bool) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| is_meant(channel.facts()))
    }
}

impl std::str::FromStr for Channel {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::find(|facts| facts.word == word).ok_or(UnknownWord { known: Self::WORDS })
    }
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value for each channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerChannel<T>([T; Channel::COUNT]);

impl<T> PerChannel<T> {
    /// Makes each value from its channel.
    pub fn of(make: impl FnMut(Channel) -> T) -> Self {
        Self(Channel::ALL.map(make))
    }

    /// The same with each value made into another.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> PerChannel<U> {
        PerChannel(self.0.map(make))
    }

    /// Each channel with its value, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (Channel, &T)> {
        Channel::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Channel> for PerChannel<T> {
    type Output = T;

    fn index(&self, channel: Channel) -> &T {
        &self.0[channel as usize]
    }
}

impl<T> IndexMut<Channel> for PerChannel<T> {
    fn index_mut(&mut self, channel: Channel) -> &mut T {
        &mut self.0[channel as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_channel_reads_back_from_its_word() {
        for channel in Channel::ALL {
            assert_eq!(channel.as_str().parse(), Ok(channel));
        }
        let error = "pigeon".parse::<Channel>().map_err(|error| error.to_string());
        assert_eq!(error, Err("must be one of push, email, webhook, slack, telegram, sms".to_owned()));
    }

    /// What is stored and written by others, and must not change.
    #[test]
    fn words_that_were_stored_stay_readable() {
        let words = |channel: Channel| {
            let facts = channel.facts();
            (facts.word, facts.told_word, facts.held_word)
        };
        assert_eq!(words(Channel::Push), ("push", "pushed", "bundle"));
        assert_eq!(words(Channel::Email), ("email", "mailed", "digest"));
        assert_eq!(words(Channel::Webhook), ("webhook", "posted", "webhook_summary"));
        assert_eq!(words(Channel::Slack), ("slack", "slacked", "slack_summary"));
        assert_eq!(words(Channel::Telegram), ("telegram", "telegrammed", "telegram_summary"));
        assert_eq!(words(Channel::Sms), ("sms", "texted", "sms_summary"));
    }

    #[test]
    fn no_two_channels_share_a_word() {
        let one_of_each = |word: fn(&Facts) -> &'static str| {
            Channel::ALL.map(|channel| word(channel.facts())).into_iter().collect::<BTreeSet<_>>().len()
        };
        let each: [fn(&Facts) -> &'static str; 3] =
            [|facts| facts.word, |facts| facts.told_word, |facts| facts.held_word];
        for word in each {
            assert_eq!(one_of_each(word), Channel::COUNT);
        }
    }

    #[test]
    fn each_channel_has_a_value_of_its_own() {
        let mut lengths = PerChannel::of(|channel| channel.as_str().len());
        lengths[Channel::Email] += 10;
        assert_eq!((lengths[Channel::Push], lengths[Channel::Email]), (4, 15));
        let channels: Vec<Channel> = lengths.iter().map(|(channel, _)| channel).collect();
        assert_eq!(channels, Channel::ALL);
    }
}
