//! The messages about one alert as they would be made now, for an operator to look at.
//!
//! What holds here:
//! - The text is made by the code that sends. Nothing is sent, and nothing is written.
//! - No link acts for the person: neither those of buttons that answer nor the one that unsubscribes is in it.
//! - What was sent is not kept. Where the alert, a template or the configuration has changed since, what is made now differs from it.

use jiff::Timestamp;
use watchbell::domain::{AlertId, UserKey};

use super::content::content_for;
use crate::channel::{AlertContent, Channels, RenderedMessage};

/// Whose messages about which alert.
#[derive(Debug, Clone, Copy)]
pub struct MessagesOf<'a> {
    /// Whose.
    pub user: &'a UserKey,
    /// About which alert.
    pub alert: &'a AlertId,
    /// What it says, as it is stored.
    pub content: &'a str,
    /// Whether its policy is mandatory.
    pub is_mandatory: bool,
    /// The person's language.
    pub locale: Option<&'a str>,
    /// Until when they are told of it.
    pub expires_at: Timestamp,
    /// What their badge shows.
    pub unread: u64,
}

/// What each provider that is configured would be given; of channels that do not say so, nothing. `None`: the stored alert cannot be
/// read by this version.
pub fn rendered_messages(
    channels: &Channels,
    of: &MessagesOf<'_>,
    now: Timestamp,
) -> Option<Vec<RenderedMessage>> {
    let &MessagesOf { user, alert, content, is_mandatory, locale, expires_at, unread } = of;
    let content = content_for(alert.to_string(), user, content, (expires_at, unread))?;
    let content = AlertContent { is_mandatory, ..content };
    let senders = channels.all();
    let rendered = senders.iter().flat_map(|sender| {
        let content = sender.markdown().applied(content.clone());
        sender.rendered(&content, locale, now)
    });
    Some(rendered.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::HashMap, sync::Arc, time::Duration};

    use async_trait::async_trait;
    use serde_json::{Value, json};
    use watchbell::domain::{PushService, Secret, Tenant, UserId};

    use super::*;
    use crate::channel::{
        Accepted, EmailConfig, EmailTls, PushChannel, PushJob, PushSender, RenderedForm, SendError,
        SmtpSender,
    };

    /// A service that is configured, and must not be called.
    struct NotCalled;

    #[async_trait]
    impl PushSender for NotCalled {
        async fn send(&self, _: &PushJob, _: Timestamp) -> Result<Accepted, SendError> {
            panic!("nothing is sent")
        }
    }

    fn mail() -> SmtpSender {
        let config = EmailConfig {
            host: "127.0.0.1".into(),
            port: 25,
            tls: EmailTls::None,
            username: None,
            password: None,
            from: "alerts@example.org".into(),
            link_base: Some("https://app.example.org".into()),
            unsubscribe_secret: Some(Secret::from("a-secret-of-tests")),
            templates_dir: None,
            trust_root_pem: None,
            timeout: Duration::from_secs(5),
            connections_max: 1,
            message_id_domain: "example.org".into(),
            bounce_domain: None,
            reply_acknowledges: false,
            dkim: None,
        };
        SmtpSender::new(&config).unwrap()
    }

    fn rendered(channels: &Channels, content: &str) -> Option<Vec<RenderedMessage>> {
        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());
        let alert = AlertId::parse("disk-7").unwrap();
        let of = MessagesOf {
            user: &user,
            alert: &alert,
            content,
            is_mandatory: false,
            locale: Some("de"),
            expires_at: "2026-06-02T00:00:00Z".parse().unwrap(),
            unread: 3,
        };
        rendered_messages(channels, &of, "2026-06-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn each_provider_that_is_configured_has_its_message_and_none_has_a_link_that_acts() {
        let services = [PushService::Fcm, PushService::Apns].map(|service| {
            let sender: Arc<dyn PushSender> = Arc::new(NotCalled);
            (service, sender)
        });
        let channels = Channels::default()
            .with(Arc::new(mail()))
            .with(Arc::new(PushChannel::new(HashMap::from(services))));
        let content = json!({
            "title": "Disk full", "body": "on **db-7**", "body_format": "markdown", "severity": "critical",
            "occurred_at": "2026-06-01T00:00:00Z", "actions": [{"id": "grow", "title": "Grow it", "answer": "yes"}],
        });
        let all = rendered(&channels, &content.to_string()).unwrap();
        let providers: Vec<&str> = all.iter().map(|message| message.provider).collect();
        assert_eq!(providers, ["apns", "fcm", "email"]);
        let payload = |at: usize| -> Value {
            let Ok(RenderedForm::Payload(payload)) = &all[at].form else { panic!("{:?}", all[at]) };
            serde_json::from_str(payload).unwrap()
        };
        assert_eq!(payload(0)["aps"]["alert"]["body"], "on db-7", "as a phone is given it");
        assert_eq!(payload(1)["android"]["ttl"], "86400s", "from now on");
        let Ok(RenderedForm::Mail { subject, text, html }) = &all[2].form else { panic!("{:?}", all[2]) };
        assert_eq!(subject, "[Kritisch] Disk full");
        assert!(html.contains("<strong>db-7</strong>") && text.contains("db-7"), "{html} {text}");
        assert!(!html.contains("unsubscribe") && !html.contains("/v1/answers"), "{html}");
        assert!(!format!("{all:?}").contains("Disk"), "what it says does not belong in a log");
    }

    #[test]
    fn nothing_is_made_up_where_nothing_is_configured_or_the_alert_cannot_be_read() {
        let content =
            json!({"title": "Disk full", "severity": "info", "occurred_at": "2026-06-01T00:00:00Z"});
        assert_eq!(rendered(&Channels::default(), &content.to_string()), Some(Vec::new()));
        assert_eq!(rendered(&Channels::default().with(Arc::new(mail())), "{"), None);
    }
}
