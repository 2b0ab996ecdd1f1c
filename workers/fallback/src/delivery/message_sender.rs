//! Puts the message of an attempt together and sends it past the guard of its provider.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{Timestamp, tz::TimeZone};
use watchbell::{
    domain::{
        AttemptId, AttemptKind, Channel, Device, GroupRule, Status, StopReason, Tenant, UserKey,
        channel::{Addressing, Removal},
        policy::Policies,
    },
    store::{Escalation, EscalationKey, NewAttempt, TakenActivity, TakenTest},
    wire::preferences::PreferencesV1,
};

use super::{
    content::{alert_content, content_to_show},
    not_sent::NotSent,
    withdrawal_batches::{WithdrawalBatches, WithdrawnAlerts},
};
use crate::{
    channel::{
        Accepted, ActivityMessage, AlertContent, Blame, Broadcast, BroadcastAct, ChannelSender, Channels,
        Disposition, Job, Message, NotConfigured, Recipient, SendError, Withdrawal,
    },
    guard::{CallOutcome, Guard},
    metric_table::provider_word,
    randomness::Jitter,
};

/// Whether what the person turned off holds it back: by what the alert says now, and of a summary by its worst alert.
fn is_mandatory(policies: &Policies, key: &EscalationKey, escalation: &Escalation) -> bool {
    match &escalation.bundle {
        Some(bundle) => bundle.mandatory,
        None => {
            let shown = escalation.policy_shown.as_ref().unwrap_or(&escalation.policy);
            policies.get_or_default(&key.user.tenant, shown).mandatory
        }
    }
}

/// Whether somebody is to take the alert on: by the policy of what is shown, while it fires. Once somebody has it, nobody is told any more.
/// A mail asks everybody, and says what its policy makes of it when the button is pressed.
fn is_to_acknowledge(
    policies: &Policies,
    key: &EscalationKey,
    escalation: &Escalation,
    content: &AlertContent,
) -> bool {
    let shown = escalation.policy_shown.as_ref().unwrap_or(&escalation.policy);
    let group = policies.get_or_default(&key.user.tenant, shown).group;
    group == GroupRule::FirstAcknowledges && content.status == Status::Firing
}

/// Sends messages.
pub(crate) struct MessageSender {
    channels: Arc<Channels>,
    guard: Arc<Guard>,
    withdrawals: Arc<WithdrawalBatches>,
    jitter: Jitter,
    policies: Arc<Policies>,
}

impl MessageSender {
    pub(crate) fn new(
        channels: Arc<Channels>,
        guard: Arc<Guard>,
        withdrawals: Arc<WithdrawalBatches>,
        jitter: Jitter,
        policies: Arc<Policies>,
    ) -> Self {
        Self { channels, guard, withdrawals, jitter, policies }
    }

    /// Sends the message of one attempt.
    pub(super) async fn send(
        &self,
        key: &EscalationKey,
        escalation: &Escalation,
        attempt: &NewAttempt,
        now: Timestamp,
    ) -> Result<Accepted, NotSent> {
        let channel = attempt.channel;
        let sender = self.channels.get(channel).ok_or(NotConfigured(channel.as_str()))?;
        let sender = sender.as_ref();
        let to = recipient_of(sender, key, escalation, attempt)?;
        if let (AttemptKind::Withdrawal, Some(why)) = (attempt.kind, sender.why_kept(&to)) {
            return Err(NotSent::Nowhere(format!("not withdrawn: {why}")));
        }
        let shown = shown_to(escalation, attempt);
        let (locale, zone) = (escalation.locale.as_deref(), zone_of(escalation));
        let job = |message| Job {
            attempt: attempt.id,
            user: &key.user,
            to,
            message,
            shown,
            locale,
            zone,
            acknowledge_at: None,
            receipt: None,
        };
        let (alert, unread) = (key.alert.to_string(), escalation.unread);
        let is_retry = attempt.tries > 1;
        let because = escalation.progress.stopped.unwrap_or(StopReason::Expired);
        match (attempt.kind, channel.facts().removal) {
            (AttemptKind::Alert, _) => {
                let content = content_to_show(key, escalation, channel)?;
                let is_mandatory = is_mandatory(&self.policies, key, escalation);
                // Several alerts are acknowledged one by one.
                let is_one = escalation.bundle.as_ref().is_none_or(|bundle| bundle.open == 1);
                let is_to_acknowledge = channel == Channel::Push
                    && is_one
                    && is_to_acknowledge(&self.policies, key, escalation, &content);
                let content = AlertContent { is_mandatory, is_to_acknowledge, ..content };
                let content = self.channels.with_answer_links(content, &key.user, now);
                let content = sender.markdown().applied(content);
                let link = || self.channels.acknowledge_link(&content.alert, &key.user, now);
                let acknowledge_at = is_one.then(link).flatten();
                let receipt = match channel.facts().addressing {
                    Addressing::Devices => self.channels.push_receipt(attempt.id, content.expires_at, now),
                    Addressing::Address(_) => None,
                };
                let job = Job { acknowledge_at, receipt, ..job(Message::Alert(content)) };
                self.send_guarded(sender, is_retry, &job, now).await
            }
            (AttemptKind::Withdrawal, Removal::ByMessage) => {
                let content = alert_content(alert.clone(), key, &escalation.content, escalation);
                let content = content.map(|content| Box::new(sender.markdown().applied(content)));
                let alerts = vec![alert];
                let message = Message::Withdrawal(Withdrawal { alerts, unread, because, content });
                self.send_guarded(sender, is_retry, &job(message), now).await
            }
            (AttemptKind::Withdrawal, Removal::ByDevice) => {
                let device = attempt.device.clone().ok_or_else(|| nothing_shown(channel))?;
                let send = async |WithdrawnAlerts { alerts, unread }| {
                    let message = Message::Withdrawal(Withdrawal { alerts, unread, because, content: None });
                    self.send_guarded(sender, is_retry, &job(message), now).await
                };
                self.withdrawals.send((key.user.clone(), device), alert, unread, send).await
            }
            (AttemptKind::Withdrawal, Removal::Never) => Err(nothing_shown(channel)),
        }
    }

    /// Sends a test to one device, as the push of an alert is sent.
    pub(super) async fn send_test(
        &self,
        test: &TakenTest,
        content: AlertContent,
        now: Timestamp,
    ) -> Result<Accepted, NotSent> {
        let sender = self.channels.get(Channel::Push).ok_or(NotConfigured(Channel::Push.as_str()))?;
        let job = Job {
            attempt: test.attempt,
            user: &test.user,
            to: Recipient::Device(&test.device),
            message: Message::Alert(content),
            shown: Vec::new(),
            locale: test.locale.as_deref(),
            zone: None,
            acknowledge_at: None,
            // Nobody asks whether a test arrived: whoever asked for it looks at the phone.
            receipt: None,
        };
        self.send_guarded(sender.as_ref(), test.tries > 1, &job, now).await
    }

    /// Tells a Live Activity something. `device` is its device, known by the token that this is sent to.
    pub(super) async fn send_activity(
        &self,
        user: &UserKey,
        device: &Device,
        attempt: AttemptId,
        message: ActivityMessage,
        taken: &TakenActivity,
        now: Timestamp,
    ) -> Result<Accepted, NotSent> {
        let sender = self.channels.get(Channel::Push).ok_or(NotConfigured(Channel::Push.as_str()))?;
        let content = message.content.map(|content| sender.markdown().applied(content));
        let job = Job {
            attempt,
            user,
            to: Recipient::Device(device),
            message: Message::Activity(ActivityMessage { content, ..message }),
            shown: Vec::new(),
            locale: taken.locale.as_deref(),
            zone: None,
            acknowledge_at: None,
            // A Live Activity starts no extension that could say that it arrived.
            receipt: None,
        };
        self.send_guarded(sender.as_ref(), taken.tries > 1, &job, now).await
    }

    /// Makes a call about a broadcast channel, which is for nobody in particular.
    pub(super) async fn send_broadcast(
        &self,
        tenant: &Tenant,
        broadcast: Broadcast,
        is_retry: bool,
        now: Timestamp,
    ) -> Result<Accepted, NotSent> {
        let sender = self.channels.get(Channel::Push).ok_or(NotConfigured(Channel::Push.as_str()))?;
        let broadcaster = sender.broadcaster().ok_or(NotConfigured("`broadcast` of apns"))?;
        let (act, address) = match broadcast.act {
            BroadcastAct::Tell { channel, message } => {
                let content = message.content.clone().map(|content| sender.markdown().applied(content));
                let message = Box::new(ActivityMessage { content, ..*message });
                (BroadcastAct::Tell { channel: channel.clone(), message }, channel)
            }
            BroadcastAct::Delete { channel } => (BroadcastAct::Delete { channel: channel.clone() }, channel),
            BroadcastAct::Make | BroadcastAct::Look => (broadcast.act, broadcast.app.clone()),
        };
        let broadcast = Broadcast { act, ..broadcast };
        let provider = broadcaster.provider_of(&broadcast);
        let label = provider.label;
        let call = self.guard.call_for_all(provider, tenant, &address);
        let permit = self.guard.admit(call, is_retry, (self.jitter)()).await?;
        let begun = Instant::now();
        let sent = broadcaster.broadcast(&broadcast, now).await;
        count_call(label, sent.as_ref().err(), begun.elapsed());
        match CallOutcome::of(&sent) {
            Some(outcome) => permit.end(outcome),
            None => drop(permit),
        }
        Ok(sent?)
    }

    /// The app in whose channel a Live Activity on this device can listen, where there are channels.
    pub(super) fn channel_app(&self, device: &Device) -> Option<String> {
        let sender = self.channels.get(Channel::Push)?;
        Some(sender.broadcaster()?.app_of(device)?.to_owned())
    }

    /// The device on which this attempt's alert is to be a Live Activity, if it is.
    pub(super) fn activity_wanted<'a>(
        &self,
        key: &EscalationKey,
        escalation: &'a Escalation,
        attempt: &NewAttempt,
    ) -> Option<&'a Device> {
        if attempt.kind != AttemptKind::Alert || escalation.bundle.is_some() {
            return None;
        }
        let shown = escalation.policy_shown.as_ref().unwrap_or(&escalation.policy);
        let wants = self.policies.get_or_default(&key.user.tenant, shown).live_activity;
        device_of(escalation, attempt).filter(|device| wants && device.start_token.is_some())
    }

    /// Sends one message when the guard of its provider admits it, and tells the guard what came of it.
    async fn send_guarded(
        &self,
        sender: &dyn ChannelSender,
        is_retry: bool,
        job: &Job<'_>,
        now: Timestamp,
    ) -> Result<Accepted, NotSent> {
        let provider = sender.provider(job)?;
        let label = provider.label;
        let call = self.guard.call(provider, job.user, job.to.secret());
        let permit = self.guard.admit(call.clone(), is_retry, (self.jitter)()).await?;
        let begun = Instant::now();
        let mut sent = sender.send(job, now).await;
        count_call(label, sent.as_ref().err(), begun.elapsed());
        if let Recipient::Device(_) = job.to {
            let is_dead = sent
                .as_ref()
                .is_err_and(|error| matches!(error.disposition(), Disposition::ForgetToken { .. }));
            let may_drop = self.guard.may_drop_token(label, &call, is_dead);
            sent = sent.map_err(|error| if may_drop { error } else { with_token_kept(error) });
        }
        match CallOutcome::of(&sent) {
            Some(outcome) => permit.end(outcome),
            // The provider was not called, which says nothing of it.
            None => drop(permit),
        }
        Ok(sent?)
    }
}

/// The zone of the person's days.
fn zone_of(escalation: &Escalation) -> Option<TimeZone> {
    let wanted = PreferencesV1::decode(escalation.preferences.as_deref()?)?;
    TimeZone::get(wanted.quiet.zone.as_deref()?).ok()
}

/// Counts a call that was made, by what the provider answered.
fn count_call(label: &'static str, refusal: Option<&SendError>, took: Duration) {
    let provider = provider_word(label);
    let outcome = refusal.map_or("accepted", SendError::code);
    metrics::counter!("watchbell_fallback_provider_calls_total", "provider" => provider, "outcome" => outcome)
        .increment(1);
    metrics::histogram!("watchbell_fallback_provider_call_seconds", "provider" => provider)
        .record(took.as_secs_f64());
}

/// A refused token is kept while so many are refused that our configuration is probably at fault. A token that was never
/// good here waits for an operator. One that is gone does not hold up the next channel.
fn with_token_kept(error: SendError) -> SendError {
    let kept = |reason: &str| format!("{reason}; so many tokens are refused that none is dropped");
    match error {
        SendError::BadToken { reason } => {
            SendError::ConfigFault { blame: Blame::Device, reason: kept(&reason) }
        }
        SendError::Unregistered { reason, .. } => SendError::Rejected { reason: kept(&reason) },
        other => other,
    }
}

/// The device that an attempt is for, if it is still registered.
pub(super) fn device_of<'a>(escalation: &'a Escalation, attempt: &NewAttempt) -> Option<&'a Device> {
    escalation.devices.iter().find(|device| Some(&device.id) == attempt.device.as_ref())
}

/// Where the message goes.
fn recipient_of<'a>(
    sender: &dyn ChannelSender,
    key: &EscalationKey,
    escalation: &'a Escalation,
    attempt: &NewAttempt,
) -> Result<Recipient<'a>, NotSent> {
    let facts = attempt.channel.facts();
    let (recipient, gone) = match facts.addressing {
        Addressing::Devices => {
            let device = device_of(escalation, attempt).map(Recipient::Device);
            (device, "the device was unregistered meanwhile".to_owned())
        }
        Addressing::Address(_) => {
            let address = sender.address(&key.user, escalation).map(Recipient::Address);
            (address, format!("{} any more", facts.phrases.nobody))
        }
    };
    recipient.ok_or(NotSent::Nowhere(gone))
}

/// What the provider called the messages about this alert that the recipient may still see.
fn shown_to(escalation: &Escalation, attempt: &NewAttempt) -> Vec<String> {
    let shown = escalation.progress.shown_by(attempt.channel).into_iter();
    let to_them = shown.filter(|shown| shown.device == attempt.device);
    to_them.filter_map(|shown| shown.message_id.clone()).collect()
}

fn nothing_shown(channel: Channel) -> NotSent {
    NotSent::Nowhere(format!("nothing is taken away by {channel}"))
}
