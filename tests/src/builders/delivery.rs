//! Devices, attempts to reach somebody, and what providers answer.

use watchbell::domain::{
    AttemptId, AttemptKind, AttemptState, Channel, Device, DeviceId, PushEnvironment, PushService, Secret,
    Timestamp,
};
use watchbell::store::{NewAttempt, ProviderAnswer};

use super::at;

/// A device in the making.
#[derive(Debug, Clone)]
pub struct DeviceBuilder(Device);

/// A phone that Apple's production service knows by the token `token-of-ID`, registered at 0 s.
pub fn device(id: &str) -> DeviceBuilder {
    DeviceBuilder(Device {
        id: DeviceId::parse(id).unwrap(),
        service: PushService::Apns,
        token: Secret::from(format!("token-of-{id}")),
        environment: PushEnvironment::Production,
        bound_to: None,
        start_token: None,
        registered_at: at(0),
        issued_at: None,
    })
}

impl DeviceBuilder {
    pub fn service(mut self, service: PushService) -> Self {
        self.0.service = service;
        self
    }

    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.0.token = token.into();
        self
    }

    pub fn environment(mut self, environment: PushEnvironment) -> Self {
        self.0.environment = environment;
        self
    }

    /// The sender that its token is bound to.
    pub fn bound_to(mut self, sender: &str) -> Self {
        self.0.bound_to = Some(sender.to_owned());
        self
    }

    /// Live Activities start on it by this token.
    pub fn start_token(mut self, token: &str) -> Self {
        self.0.start_token = Some(Secret::from(token));
        self
    }

    pub fn sandbox(self) -> Self {
        self.environment(PushEnvironment::Sandbox)
    }

    /// When the token of its session was issued.
    pub fn issued_at(mut self, issued_at: Timestamp) -> Self {
        self.0.issued_at = Some(issued_at);
        self
    }

    pub fn registered_at(mut self, registered_at: Timestamp) -> Self {
        self.0.registered_at = registered_at;
        self
    }

    pub fn build(self) -> Device {
        self.0
    }
}

/// An attempt in the making.
#[derive(Debug, Clone)]
pub struct AttemptBuilder(NewAttempt);

/// The first try to show an alert by this channel, at the person's address.
pub fn attempt(id: AttemptId, channel: Channel) -> AttemptBuilder {
    AttemptBuilder(NewAttempt { id, kind: AttemptKind::Alert, channel, device: None, tries: 1 })
}

/// The first try of attempt `number`: a push to the device `phone`.
pub fn push_attempt(number: u128) -> AttemptBuilder {
    attempt(AttemptId::from_u128(number), Channel::Push).device("phone")
}

impl AttemptBuilder {
    /// It takes away what is shown.
    pub fn withdrawal(mut self) -> Self {
        self.0.kind = AttemptKind::Withdrawal;
        self
    }

    pub fn device(mut self, id: &str) -> Self {
        self.0.device = Some(DeviceId::parse(id).unwrap());
        self
    }

    /// Which try it is, from 1.
    pub fn tries(mut self, tries: u32) -> Self {
        self.0.tries = tries;
        self
    }

    pub fn build(self) -> NewAttempt {
        self.0
    }
}

/// A provider's answer in the making.
#[derive(Debug, Clone)]
pub struct AnswerBuilder(ProviderAnswer);

/// The answer of a provider that was called. What it accepted may be shown.
pub fn answer(id: AttemptId, state: AttemptState) -> AnswerBuilder {
    AnswerBuilder(ProviderAnswer {
        id,
        state,
        next_try_at: None,
        maybe_shown: state == AttemptState::Accepted,
        reason: None,
        message_id: None,
        was_called: true,
    })
}

/// The provider took it.
pub fn accepted(id: AttemptId) -> ProviderAnswer {
    answer(id, AttemptState::Accepted).build()
}

impl AnswerBuilder {
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    pub fn next_try_at(mut self, next_try_at: Timestamp) -> Self {
        self.0.next_try_at = Some(next_try_at);
        self
    }

    /// What the provider calls the message.
    pub fn message_id(mut self, id: &str) -> Self {
        self.0.message_id = Some(id.to_owned());
        self
    }

    pub fn build(self) -> ProviderAnswer {
        self.0
    }
}
