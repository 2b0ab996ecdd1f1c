//! Alerts: as a producer publishes them, and as dispatch gives them to the store.

use std::sync::Arc;

use jiff::civil::date;
use jiff::tz::TimeZone;
use watchbell::domain::{
    Alert, Audience, GroupRule, Severity, Status, Tenant, Timestamp, UserId,
    publication::{Maker, Publication},
};
use watchbell::store::{NewAlert, Rest};
use watchbell::wire::content_of;

use super::{alert_id, at, tenant, users};

/// An alert in the making. Without a [`Recording`] it becomes an `Alert`, with one a `NewAlert`.
#[derive(Debug, Clone)]
pub struct AlertBuilder<R = ()> {
    alert: Alert,
    recording: R,
}

/// For whom an alert is recorded, and what follows from it.
#[derive(Debug, Clone)]
pub struct Recording {
    recipients: Vec<UserId>,
    content: Content,
    policy: Arc<str>,
    group: GroupRule,
    first_due_at: Option<Timestamp>,
    absent_due_at: Option<Timestamp>,
    expires_at: Timestamp,
    returns: bool,
    rest: Option<Rest>,
    /// Whether it is compared with what is recorded.
    is_published: bool,
    maker: Option<Maker>,
}

/// What clients are given.
#[derive(Debug, Clone)]
enum Content {
    /// A text that depends on id, version and status, with every character that a format in between could trip over.
    Awkward,
    /// What dispatch would write.
    OnTheWire,
    Given(Arc<str>),
}

/// A firing warning of `acme`, version 1, about which nothing else is said. It happened on 2026-06-01, a Monday morning.
pub fn alert(id: &str) -> AlertBuilder {
    let occurred_at = date(2026, 6, 1).at(8, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp();
    let alert = Alert {
        id: alert_id(id),
        version: 1,
        tenant: tenant("acme"),
        to: Audience::default(),
        source: None,
        category: None,
        severity: Severity::Warning,
        status: Status::Firing,
        title: format!("about {id}"),
        body: None,
        url: None,
        labels: Default::default(),
        data: Default::default(),
        policy: None,
        collapse_key: None,
        group_key: None,
        body_format: Default::default(),
        image: None,
        actions: Vec::new(),
        occurred_at,
        is_dated: true,
        expires_at: None,
        dismissed_until: None,
    };
    AlertBuilder { alert, recording: () }
}

/// The same alert for the same people, to be changed and recorded again.
pub fn changed(new: &NewAlert) -> AlertBuilder<Recording> {
    let recording = Recording {
        recipients: new.recipients.clone(),
        content: Content::Awkward,
        policy: Arc::clone(&new.policy),
        group: new.group,
        first_due_at: new.first_due_at,
        absent_due_at: new.absent_due_at,
        expires_at: new.expires_at,
        returns: new.returns,
        rest: new.rest.clone(),
        is_published: new.publication.is_some(),
        maker: new.publication.as_ref().and_then(|publication| publication.by.clone()),
    };
    AlertBuilder { alert: Alert::clone(&new.alert), recording }
}

/// The same, a version later.
pub fn later_version(new: &NewAlert) -> AlertBuilder<Recording> {
    changed(new).version(new.alert.version + 1)
}

/// What the alert says.
impl<R> AlertBuilder<R> {
    pub fn id(mut self, id: &str) -> Self {
        self.alert.id = alert_id(id);
        self
    }

    pub fn version(mut self, version: u32) -> Self {
        self.alert.version = version;
        self
    }

    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.alert.tenant = tenant;
        self
    }

    /// Whom its producer named: nobody is looked up, so whom it is recorded for is up to the test.
    pub fn audience(mut self, audience: Audience) -> Self {
        self.alert.to = audience;
        self
    }

    pub fn category(mut self, category: &str) -> Self {
        self.alert.category = Some(category.to_owned());
        self
    }

    pub fn severity(mut self, severity: Severity) -> Self {
        self.alert.severity = severity;
        self
    }

    pub fn critical(self) -> Self {
        self.severity(Severity::Critical)
    }

    pub fn status(mut self, status: Status) -> Self {
        self.alert.status = status;
        self
    }

    pub fn firing(self) -> Self {
        self.status(Status::Firing)
    }

    pub fn resolved(self) -> Self {
        self.status(Status::Resolved)
    }

    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.alert.title = title.into();
        self
    }

    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.alert.body = Some(body.into());
        self
    }

    /// The policy that its producer named. Under which one it is recorded is [`AlertBuilder::under_policy`].
    pub fn policy(mut self, policy: impl Into<String>) -> Self {
        self.alert.policy = Some(policy.into());
        self
    }

    /// When it happened, of which its producer said nothing.
    pub fn undated(mut self, occurred_at: Timestamp) -> Self {
        self.alert.occurred_at = occurred_at;
        self.alert.is_dated = false;
        self
    }

    /// When it expires, as its producer says. When its escalation does is [`AlertBuilder::escalated_until`].
    pub fn expires_at(mut self, expires_at: Timestamp) -> Self {
        self.alert.expires_at = Some(expires_at);
        self
    }

    /// Until when it is suppressed.
    pub fn dismissed_until(mut self, until: Option<Timestamp>) -> Self {
        self.alert.dismissed_until = until;
        self
    }
}

impl AlertBuilder {
    /// It is recorded for these people, under the policy `default`: first due at 30 s, expired after an hour.
    pub fn to_users(self, names: impl IntoIterator<Item = impl AsRef<str>>) -> AlertBuilder<Recording> {
        let recording = Recording {
            recipients: users(names),
            content: Content::Awkward,
            policy: "default".into(),
            group: GroupRule::Each,
            first_due_at: Some(at(30)),
            absent_due_at: None,
            expires_at: at(3_600),
            returns: false,
            rest: None,
            is_published: false,
            maker: None,
        };
        AlertBuilder { alert: self.alert, recording }
    }

    pub fn build(self) -> Alert {
        self.alert
    }
}

/// How it is recorded.
impl AlertBuilder<Recording> {
    /// It is recorded for these people and nobody else.
    pub fn to_users(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.recording.recipients = users(names);
        self
    }

    pub fn under_policy(mut self, name: &str) -> Self {
        self.recording.policy = name.into();
        self
    }

    /// The first who sees it stops it for all.
    pub fn first_stops_all(mut self) -> Self {
        self.recording.group = GroupRule::FirstStopsAll;
        self
    }

    /// The first who acknowledges it has it.
    pub fn first_acknowledges(mut self) -> Self {
        self.recording.group = GroupRule::FirstAcknowledges;
        self
    }

    pub fn first_due_at(mut self, due_at: Timestamp) -> Self {
        self.recording.first_due_at = Some(due_at);
        self
    }

    /// Its policy has no steps, so nobody is chased.
    pub fn without_steps(mut self) -> Self {
        self.recording.first_due_at = None;
        self
    }

    /// When it is due for somebody who has no session.
    pub fn absent_due_at(mut self, due_at: Timestamp) -> Self {
        self.recording.absent_due_at = Some(due_at);
        self
    }

    /// Nobody is told of it any more from then on.
    pub fn escalated_until(mut self, expires_at: Timestamp) -> Self {
        self.recording.expires_at = expires_at;
        self
    }

    /// It fires again by itself, because the time until which it was suppressed has passed.
    pub fn returns(mut self) -> Self {
        self.recording.returns = true;
        self
    }

    /// What is left of a large audience.
    pub fn rest(mut self, rest: Rest) -> Self {
        self.recording.rest = Some(rest);
        self
    }

    /// What clients are given.
    pub fn content(mut self, content: impl Into<Arc<str>>) -> Self {
        self.recording.content = Content::Given(content.into());
        self
    }

    /// Clients are given what dispatch would write for them.
    pub fn content_on_the_wire(mut self) -> Self {
        self.recording.content = Content::OnTheWire;
        self
    }

    /// It is compared with what is recorded; nobody knows who published it.
    pub fn published(mut self) -> Self {
        self.recording.is_published = true;
        self.recording.maker = None;
        self
    }

    /// It is compared with what is recorded; this key published it.
    pub fn published_by(mut self, key: &str, own_alerts: bool) -> Self {
        self.recording.is_published = true;
        self.recording.maker = Some(Maker { key: key.into(), own_alerts });
        self
    }

    pub fn build(self) -> NewAlert {
        let Self { alert, recording } = self;
        let content: Arc<str> = match recording.content {
            Content::Given(content) => content,
            Content::OnTheWire => content_of(&alert).into(),
            Content::Awkward => {
                let (id, version, status) = (&alert.id, alert.version, alert.status);
                format!("{id} v{version} {status} {{\"\\u0000\\n\": 'żółw' $1 %s}}").into()
            }
        };
        let publication = recording.is_published.then(|| Publication::of(&alert, &content, recording.maker));
        NewAlert {
            content,
            recipients: recording.recipients,
            policy: recording.policy,
            group: recording.group,
            first_due_at: recording.first_due_at,
            absent_due_at: recording.absent_due_at,
            expires_at: recording.expires_at,
            returns: recording.returns,
            rest: recording.rest,
            publication,
            trace: None,
            alert: Arc::new(alert),
        }
    }
}
