//! Why a provider did not accept, and what follows from it.
//!
//! Senders report facts; what follows from them is decided once, in [`SendError::disposition`].

use std::time::Duration;

use jiff::Timestamp;

use super::reason;

/// For whom a provider asked us to slow down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleScope {
    /// This device or address only.
    Device,
    /// Everything we send there.
    Provider,
    /// The provider did not say. It is taken for this device only, until others are asked as well.
    Unnamed,
}

/// Whom a refusal of our configuration is about, as far as the provider can have known when it refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request named a device or an address, which may be what does not fit us: a token of another app, a
    /// subscription by an older key, a phone of Apple's other environment.
    Device,
    /// No device had been named yet: our credentials, or our own address.
    Everybody,
}

/// Why the provider did not accept. `reason` is the provider's own word where it is known to be safe to
/// keep, without tokens, addresses and texts (I12).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The token is gone.
    #[error("the token is no longer registered: {reason}")]
    Unregistered {
        /// The provider's time; a token registered after it is still good.
        since: Option<Timestamp>,
        /// The provider's word.
        reason: String,
    },
    /// The token was never good here: of another app, another project, or garbled.
    #[error("the provider does not accept the token: {reason}")]
    BadToken {
        /// The provider's word.
        reason: String,
    },
    /// What was registered cannot be sent to. We say so; the provider was not asked, so it proves nothing (I7).
    #[error("what was registered cannot be used: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
    /// We were asked to slow down.
    #[error("the provider asked us to slow down: {reason}")]
    Throttled {
        /// How long, when they said so.
        retry_after: Option<Duration>,
        /// For whom.
        scope: ThrottleScope,
        /// The provider's word.
        reason: String,
    },
    /// The provider answered that it cannot now.
    #[error("the provider is not available: {reason}")]
    Unavailable {
        /// How long, when they said so.
        retry_after: Option<Duration>,
        /// The provider's word.
        reason: String,
    },
    /// No answer. Ambiguous: it may have arrived, so the retry carries the same ids.
    #[error("the provider could not be reached: {reason}")]
    Unreachable {
        /// What broke.
        reason: String,
    },
    /// Our keys, topic or endpoint are wrong, at least for this device: when it is so for all, every message would
    /// fail, and an operator is needed.
    #[error("the provider refused our configuration: {reason}")]
    ConfigFault {
        /// For whom.
        blame: Blame,
        /// The provider's word.
        reason: String,
    },
    /// This message is wrong or unwanted; another one may pass.
    #[error("the provider refused the message: {reason}")]
    Rejected {
        /// The provider's word.
        reason: String,
    },
    /// There is no such mailbox (a hard bounce).
    #[error("the address does not exist: {reason}")]
    AddressRefused {
        /// The provider's word.
        reason: String,
    },
}

/// What follows from a [`SendError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Send it again, with the same ids.
    Retry {
        /// Not earlier than after this time; our own back-off may be longer.
        wait_min: Duration,
    },
    /// Drop the token by compare-and-swap, and go on to the next channel.
    ForgetToken {
        /// Keep it all the same when it was registered after this (I7).
        unless_registered_after: Option<Timestamp>,
    },
    /// This message will never pass here; go on to the next channel.
    DropMessage,
    /// An operator can correct what was refused: the message waits, its device rests, and the fault is logged. Whether all
    /// messages wait is decided by what happens to those of others (`guard`).
    ConfigFault,
    /// Never write to this address again, until the user gives it anew.
    SuppressAddress,
}

/// For channels and push services that have no Live Activities.
pub(super) fn no_activity() -> SendError {
    SendError::Rejected { reason: "only devices of Apple's have Live Activities".to_owned() }
}

impl SendError {
    /// What the sender does next. No `_` arm: a new variant has to choose.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Throttled { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                Disposition::Retry { wait_min: retry_after.unwrap_or_default() }
            }
            Self::Unreachable { .. } => Disposition::Retry { wait_min: Duration::ZERO },
            Self::Unregistered { since, .. } => Disposition::ForgetToken { unless_registered_after: *since },
            Self::BadToken { .. } => Disposition::ForgetToken { unless_registered_after: None },
            Self::Rejected { .. } | Self::Unusable { .. } => Disposition::DropMessage,
            Self::ConfigFault { .. } => Disposition::ConfigFault,
            Self::AddressRefused { .. } => Disposition::SuppressAddress,
        }
    }

    /// The provider's word, safe to store and to show.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unregistered { reason, .. }
            | Self::BadToken { reason }
            | Self::Unusable { reason }
            | Self::Throttled { reason, .. }
            | Self::Unavailable { reason, .. }
            | Self::Unreachable { reason }
            | Self::ConfigFault { reason, .. }
            | Self::Rejected { reason }
            | Self::AddressRefused { reason } => reason,
        }
    }

    /// A short label for metrics and the timeline.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unregistered { .. } => "unregistered",
            Self::BadToken { .. } => "bad_token",
            Self::Unusable { .. } => "unusable",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable { .. } => "unavailable",
            Self::Unreachable { .. } => "unreachable",
            Self::ConfigFault { .. } => "config_fault",
            Self::Rejected { .. } => "rejected",
            Self::AddressRefused { .. } => "address_refused",
        }
    }

    /// The same error, with `secrets` taken out of its reason and the rest made fit for a log line.
    /// Every sender passes what the job held, so that a provider which echoes it cannot make us print it.
    pub(super) fn without(mut self, secrets: &[&str]) -> Self {
        let (Self::Unregistered { reason, .. }
        | Self::BadToken { reason }
        | Self::Unusable { reason }
        | Self::Throttled { reason, .. }
        | Self::Unavailable { reason, .. }
        | Self::Unreachable { reason }
        | Self::ConfigFault { reason, .. }
        | Self::Rejected { reason }
        | Self::AddressRefused { reason }) = &mut self;
        *reason = reason::tidy(reason, secrets);
        self
    }
}

/// Why a sender cannot be made from its configuration. Names the setting, never its value.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// `key_pem` of APNs.
    #[error("the APNs key is not a PEM of a PKCS#8 EC private key (the .p8 file from Apple)")]
    ApnsKey,
    /// `certificate` of APNs.
    #[error("the client certificate is not a PEM of a certificate and its private key")]
    ClientCertificate,
    /// The keys of Web Push.
    #[error("the VAPID key cannot be used: {0}")]
    Vapid(&'static str),
    /// The JSON file from Google.
    #[error("the FCM service account cannot be used: {0}")]
    ServiceAccount(&'static str),
    /// An extra root certificate.
    #[error("trust_root_pem holds no certificate")]
    TrustRoot,
    /// An address of a provider.
    #[error("{0} is not an http or https address without path and query")]
    Endpoint(&'static str),
    /// A text that goes into a header.
    #[error("{0} holds characters that a header cannot carry")]
    HeaderText(&'static str),
    /// The sender of our emails.
    #[error("`from` of email is not an address such as `Watchbell <alerts@example.org>`")]
    From,
    /// A template of the team's folder.
    #[error("the email template {name} cannot be used: {why}")]
    Template {
        /// The file.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The domain of our message ids.
    #[error("`message_id_domain` of email is not a domain")]
    MessageIdDomain,
    /// `[email.dkim]`.
    #[error("the signature of mails (`dkim` of email) cannot be made: {0}")]
    Dkim(&'static str),
    /// No connection allowed.
    #[error("`connections_max` of email must be at least 1")]
    ConnectionsMax,
    /// TLS or the HTTP client.
    #[error("the client's TLS could not be set up: {0}")]
    Client(String),
}
