//! What is counted: the pure parts of an alert's way, each with an input as it comes every day.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json, value::RawValue};
use watchbell::{
    domain::{
        AlertId, PushService, Severity, Tenant, Topic, TopicKey, UserId, UserKey, policy::Policies,
        restraint::Restraint,
    },
    wire::{
        alert::{Defaults, parse_alert},
        content::{content_of, encode_alert},
    },
};
use watchbell_fallback::{
    MessagesOf,
    channel::{
        Accepted, Channels, EmailConfig, EmailTls, PushChannel, PushJob, PushSender, SendError, SmtpSender,
    },
    preview, rendered_messages,
};
use watchbell_socket::measuring::{Audience, follow, receipts};

/// Sessions that one event is for.
const SESSIONS: usize = 1_000;
/// Changes that one session follows.
const CHANGES: u64 = 1_000;

/// One part.
pub struct Case {
    /// What it is called in `counts.json`.
    pub name: &'static str,
    /// Does it once. What it returns depends on all that it did.
    pub run: Box<dyn Fn() -> usize>,
}

/// All of them.
pub fn all() -> anyhow::Result<Vec<Case>> {
    let tenant = Tenant::parse("acme")?;
    let mut cases = alerts(&tenant)?;
    cases.push(escalation(&tenant));
    cases.extend(sessions(&tenant)?);
    cases.extend(messages(&tenant)?);
    Ok(cases)
}

fn case(name: &'static str, run: impl Fn() -> usize + 'static) -> Case {
    Case { name, run: Box::new(run) }
}

/// From a producer to the inbox and to the queue.
fn alerts(tenant: &Tenant) -> anyhow::Result<Vec<Case>> {
    let json = alert().to_string().into_bytes();
    let defaults = Defaults { tenant: Some(tenant.clone()), id: None, now: now()? };
    let read = parse_alert(&json, &defaults)?;
    let shown = read.clone();
    Ok(vec![
        case("an alert is read and checked", move || {
            parse_alert(&json, &defaults).map_or(0, |alert| alert.title.len())
        }),
        case("an alert is encoded for the inbox", move || content_of(&shown).len()),
        case("an alert is encoded for the queue", move || encode_alert(&read).len()),
    ])
}

/// What the default policy does about an alert that nobody looks at.
fn escalation(tenant: &Tenant) -> Case {
    let policies = Policies::with_defaults(BTreeMap::new());
    let policy = policies.get_or_default(tenant, "default").clone();
    let restraint = Restraint::default();
    case("an escalation is planned to its end", move || {
        preview(&policy, Severity::Warning, &restraint, Duration::from_secs(86_400)).len()
    })
}

fn sessions(tenant: &Tenant) -> anyhow::Result<Vec<Case>> {
    let user = |name: String| anyhow::Ok(UserKey::new(tenant.clone(), UserId::parse(name)?));
    let users =
        (0..SESSIONS).map(|number| user(format!("user-{number}"))).collect::<anyhow::Result<Vec<_>>>()?;
    let audience = Audience::of(users.into_iter(), TopicKey::new(tenant.clone(), Topic::parse("monitor:7")?));
    let event = json!({"id": "e-1", "topic": "monitor:7", "type": "status_change", "data": alert()});
    let event = RawValue::from_string(event.to_string())?;
    let receipt = json!({"type": "receipt", "alerts": ["disk-7", "disk-8"], "state": "seen", "op": "7"});
    let (ana, receipt) = (user("ana".to_owned())?, masked(receipt.to_string().as_bytes()));
    Ok(vec![
        case("an event reaches the mailboxes of 1,000 sessions", move || audience.tell(&event)),
        case("a receipt is read from a WebSocket", move || receipts(&ana, &receipt)),
        case("a session follows 1,000 changes", || follow(CHANGES) as usize),
    ])
}

/// What providers are given.
fn messages(tenant: &Tenant) -> anyhow::Result<Vec<Case>> {
    let (user, id, now) =
        (UserKey::new(tenant.clone(), UserId::parse("ana")?), AlertId::parse("disk-7")?, now()?);
    let defaults = Defaults { tenant: Some(tenant.clone()), id: None, now };
    let stored = content_of(&parse_alert(alert().to_string().as_bytes(), &defaults)?);
    let rendered = move |channels: &Channels| {
        let of = MessagesOf {
            user: &user,
            alert: &id,
            content: &stored,
            is_mandatory: false,
            locale: Some("de"),
            expires_at: now + Duration::from_secs(86_400),
            unread: 3,
        };
        rendered_messages(channels, &of, now).map_or(0, |messages| messages.len())
    };
    let email = Channels::default().with(Arc::new(SmtpSender::new(&mail())?));
    let sender: Arc<dyn PushSender> = Arc::new(NotCalled);
    let apns = PushChannel::new(HashMap::from([(PushService::Apns, sender)]));
    let apns = Channels::default().with(Arc::new(apns));
    let by_mail = rendered.clone();
    Ok(vec![
        case("a mail is rendered", move || by_mail(&email)),
        case("a payload for APNs is rendered", move || rendered(&apns)),
    ])
}

fn now() -> anyhow::Result<Timestamp> {
    Ok("2026-06-01T00:00:00Z".parse()?)
}

fn alert() -> Value {
    json!({
        "id": "disk-7",
        "to": {"users": ["ana", "ben"], "groups": ["on-call"]},
        "source": "prometheus",
        "category": "disk",
        "severity": "warning",
        "title": "Disk of db-7 is 98 % full",
        "body": "**/var/lib** grows by 2 GB an hour; it is full at *14:30*.",
        "body_format": "markdown",
        "url": "https://grafana.example.org/d/disk?var-host=db-7",
        "labels": {"env": "prod", "host": "db-7", "team": "storage"},
        "actions": [{"id": "grow", "title": "Grow it", "answer": "yes"}],
        "occurred_at": "2026-06-01T00:00:00Z",
    })
}

/// A text message of a client, of less than 126 bytes (RFC 6455, section 5.2).
fn masked(text: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [7, 11, 13, 17];
    let mut message = vec![0x81, 0x80 | text.len() as u8];
    message.extend(MASK);
    message.extend(text.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    message
}

fn mail() -> EmailConfig {
    EmailConfig {
        host: "127.0.0.1".into(),
        port: 25,
        tls: EmailTls::None,
        username: None,
        password: None,
        from: "alerts@example.org".into(),
        link_base: Some("https://app.example.org".into()),
        unsubscribe_secret: None,
        templates_dir: None,
        trust_root_pem: None,
        timeout: Duration::from_secs(5),
        connections_max: 1,
        message_id_domain: "example.org".into(),
        bounce_domain: None,
        reply_acknowledges: false,
        dkim: None,
    }
}

/// A push service that is configured and not called.
struct NotCalled;

#[async_trait]
impl PushSender for NotCalled {
    async fn send(&self, _: &PushJob, _: Timestamp) -> Result<Accepted, SendError> {
        unreachable!("what is rendered is not sent")
    }
}
