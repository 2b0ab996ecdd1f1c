//! Fallback: an alert that nobody has looked at goes out by the next channel of its policy (by default push, then email),
//! once by each, and stops when it is seen.
//!
//! Six parts run side by side, in one process or in many:
//!
//! | part | what it does |
//! |---|---|
//! | [`Escalator`] | finds the escalations that are due and publishes them as work |
//! | [`Senders`] | take that work, decide on the present state of the store, write attempts, call providers and record what they answered |
//! | [`Auditor`] | finds open escalations that have no timer |
//! | [`ActivityRunner`] | starts, changes and ends Live Activities on Apple's devices |
//! | [`DeviceTester`] | sends the tests of devices that people ask for |
//! | [`DevicePruner`] | removes devices that were not heard of for months |
//!
//! [`OutcomeRelay`] runs beside them. It tells producers what became of their alerts, and shares only the HTTP client.
//! [`IncomingMailServer`] does too, where it is configured: it takes mails that come back, and replies.
//!
//! What holds here:
//! - Every decision is made by a pure function, in `escalation/decide.rs` and in `watchbell::domain::next_step`.
//! - State is read in the same transaction that writes the attempts (I5), and attempts are written before a provider
//!   is called (I6).
//! - Nothing waits in memory: a retry is a time in the store, so a restart forgets nothing.
//! - An open escalation always has a timer (I4).
//! - A process that dies costs at most one lease; the next one repeats its calls with the same ids.
//! - A provider in trouble is not called, and is taken up slowly when it recovers; other providers do not notice (`guard`).
//!
//! Modules import each other downwards only: `escalation` uses `delivery`, which uses `guard`, which uses [`channel`].
//! Elsewhere: what is particular to a channel in [`channel`], timers in `watchbell::store`.

pub mod channel;
mod config;
mod delivery;
mod escalation;
mod guard;
mod incoming_mail;
mod metric_table;
mod outcomes;
mod randomness;
mod rates;
mod trace;
mod upkeep;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use watchbell::{broker::SharedBroker, runtime::Clock, store::Store};

pub use channel::{ChannelSections, Channels};
pub use config::FallbackConfig;
pub use delivery::{ActivityRunner, DeviceTester, MessagesOf, WithdrawalBatches, rendered_messages};
use delivery::{AttemptRunner, MessageSender};
use escalation::{DeadLetters, Decider, StepBatches};
pub use escalation::{EscalationRules, EscalationRunner, Escalator, PreviewLine, Senders, preview};
pub use guard::Guard;
pub use incoming_mail::{IncomingMailParts, IncomingMailServer};
pub use metric_table::METRICS;
pub use outcomes::{OutcomeAddresses, OutcomeRelay};
pub use randomness::Randomness;
pub use rates::Rates;
pub use upkeep::{Auditor, DevicePruner};

/// What the worker is put together from. Only [`Fallback::new`] sees all of it.
#[derive(Clone)]
pub struct FallbackParts {
    /// Carries work from the escalator to the senders.
    pub broker: SharedBroker,
    /// Holds the timers and attempts.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The section `[fallback]`.
    pub config: FallbackConfig,
    /// What decisions go by.
    pub rules: EscalationRules,
    /// How providers are called.
    pub providers: ProviderAccess,
    /// Ids of attempts and the jitter of retries.
    pub randomness: Randomness,
}

/// How providers are called.
#[derive(Clone)]
pub struct ProviderAccess {
    /// The channels that are configured.
    pub channels: Arc<Channels>,
    /// Which provider may be called now.
    pub guard: Arc<Guard>,
    /// Gathers the withdrawals for one device.
    pub withdrawals: Arc<WithdrawalBatches>,
}

/// The worker, put together.
pub struct Fallback {
    /// Finds what is due.
    pub escalator: Escalator,
    /// Carries it out.
    pub senders: Senders,
    /// Runs one escalation, for the escalator and the senders.
    pub runner: Arc<EscalationRunner>,
    /// Looks after the timers.
    pub auditor: Auditor,
    /// Looks after Live Activities.
    pub activities: ActivityRunner,
    /// Sends tests of devices.
    pub tester: DeviceTester,
    /// Removes silent devices.
    pub pruner: DevicePruner,
}

impl Fallback {
    /// Puts the parts together; nothing runs yet.
    pub fn new(parts: FallbackParts) -> Self {
        let FallbackParts { broker, store, clock, config, rules, providers, randomness } = parts;
        let ProviderAccess { channels, guard, withdrawals } = providers;
        let Randomness { attempt_ids, jitter } = randomness;
        let sender = Arc::new(MessageSender::new(
            channels.clone(),
            guard,
            withdrawals,
            jitter.clone(),
            rules.policies.clone(),
        ));
        let runner = Arc::new(EscalationRunner::new(
            StepBatches::new(store.clone(), config.lease),
            Decider::new(rules, channels, attempt_ids),
            AttemptRunner::new(sender.clone(), store.clone(), clock.clone(), jitter.clone()),
            clock.clone(),
            config.lease,
        ));
        let dead_letters = DeadLetters::new(broker.clone(), store.clone(), clock.clone());
        Self {
            auditor: Auditor::new(store.clone(), clock.clone()),
            activities: ActivityRunner::new(
                store.clone(),
                sender.clone(),
                clock.clone(),
                jitter.clone(),
                config.lease,
            ),
            tester: DeviceTester::new(store.clone(), sender, clock.clone(), jitter, config.lease),
            pruner: DevicePruner::new(store.clone(), clock.clone()),
            senders: Senders::new(broker.clone(), config.clone(), runner.clone(), dead_letters),
            escalator: Escalator::new(broker, store, clock, config, runner.clone()),
            runner,
        }
    }

    /// Runs every part until `shutdown`, then waits for calls that have begun.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { escalator, senders, auditor, activities, tester, pruner, .. } = self;
        tokio::join!(
            escalator.run(shutdown.clone()),
            senders.run(shutdown.clone()),
            auditor.run(shutdown.clone()),
            activities.run(shutdown.clone()),
            tester.run(shutdown.clone()),
            pruner.run(shutdown),
        );
    }
}
