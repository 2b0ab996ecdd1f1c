//! What a provider says when it is asked whether it would take messages, and is sent none.

use watchbell::domain::PushEnvironment;

use super::error::SendError;

/// What became of one dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The provider's name, as in logs and metrics.
    pub provider: &'static str,
    /// One of its environments, where it has several.
    pub environment: Option<PushEnvironment>,
    /// What was found out, or why the provider would not take a message.
    pub outcome: Result<&'static str, SendError>,
}

impl DryRun {
    pub(super) fn of(provider: &'static str, outcome: Result<&'static str, SendError>) -> Self {
        Self { provider, environment: None, outcome }
    }
}
