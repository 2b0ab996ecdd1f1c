//! Escalations: the way of one alert for one person through the steps of its policy.
//!
//! ```text
//! Escalator ──claims what is due──▶ [watchbell.undelivered] ──▶ Senders
//!     │ while the broker is away                                  │
//!     └────────────────────▶ EscalationRunner ◀───────────────────┘
//!                            │ Decider: what to do       ▲
//!                            ▼ StepBatches: write it     │ what each provider answered
//!                            AttemptRunner (delivery) ───┘
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `escalator.rs` | finds the escalations that are due and hands them out |
//! | `senders.rs` | takes them from the queue, a bounded number at a time |
//! | `dead_letters.rs` | keeps work that cannot be done for the operator |
//! | `runner.rs` | steps one escalation until it rests |
//! | `decide.rs` | decides what the next step does |
//! | `rules.rs` | what decisions go by: policies, bounds for a person, the rate of a tenant |
//! | `step_batches.rs` | writes many steps in one commit |
//! | `preview.rs` | what a policy would do about one alert, for whoever writes it |
//! | `timeline.rs` | the sentences that a timeline says of decisions |

mod dead_letters;
mod decide;
mod escalator;
mod preview;
mod rules;
mod runner;
mod senders;
mod step_batches;
mod timeline;

pub(crate) use dead_letters::DeadLetters;
pub(crate) use decide::Decider;
pub use escalator::Escalator;
pub use preview::{PreviewLine, preview};
pub use rules::EscalationRules;
pub use runner::EscalationRunner;
pub use senders::Senders;
pub(crate) use step_batches::StepBatches;
