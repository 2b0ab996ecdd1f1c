//! Email: the message, and the sender that hands it to a relay.
//!
//! What holds here:
//! - `Message-ID` is made of the attempt, so a repeated email is the same email (I6); `References` name a
//!   root made of the alert, so what concerns one alert is one thread.
//! - No header value carries a line break or another control character, whoever wrote it, and each reads in a mail program
//!   as it was written (`header`).
//! - Automatic answers are asked not to come (RFC 3834), and nobody else's address is in the message.
//!
//! | module | what it is |
//! |---|---|
//! | `smtp`, `smtp_reply` | the connections to the relay, what its replies mean |
//! | `header` | how headers are written |
//! | `dkim` | signatures of our own |
//! | `template` | text and HTML |
//! | `config` | the sender from `[email]` |

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use jiff::{Timestamp, tz::TimeZone};
use lettre::{
    Address, Message, address,
    message::{Mailbox, MultiPart},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, TlsParameters},
    },
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use watchbell::{
    domain::{
        Channel, Secret, Tenant, UserId, UserKey, alert::bounds::TITLE_CHARS_MAX, email::email_address,
        text::closed,
    },
    wire::{
        mail_ticket::{MAIL_TICKET_HEADER, MailTicket},
        reply_ticket::ReplyTickets,
        return_ticket::ReturnTickets,
        unsubscribe::Unsubscribe,
    },
};

use super::{
    dry_run::DryRun,
    error::{SendError, SetupError},
    link,
    message::{self, AlertContent, Job, MarkdownUse},
    reason,
    rendered::{RenderedForm, RenderedMessage},
    sender::{Accepted, ChannelSender, NotConfigured, Provider},
    text,
};
use dkim::{DkimConfig, DkimSigner};
use smtp::{Connections, Encryption, Envelope, Relay};
use template::{EmailParts, Links, Reader, Templates};

pub(super) mod config;
pub mod dkim;
mod header;
mod smtp;
mod smtp_reply;
mod template;

/// Calls of the mail relay at once, however many senders there are: a relay takes one mail a connection, and who waits
/// for a connection waits within the call's own deadline.
pub(crate) const CALLS_MAX: usize = 48;

/// A subject line, in bytes: the longest title there can be, whatever its script, and what a template writes around it.
const SUBJECT_BYTES_MAX: usize = 4 * TITLE_CHARS_MAX + 256;

/// Any other header's value, in bytes.
const HEADER_BYTES_MAX: usize = 500;

/// Whose events repeat no header of a mail, but what it carries as metadata.
const POSTMARK: &str = "postmarkapp.com";

/// One email to one address.
#[derive(Debug, Clone)]
pub struct EmailJob {
    /// Kept on every retry of the same attempt; the `Message-ID` is made of it (I6).
    pub attempt: Uuid,
    /// The address.
    pub to: Secret,
    /// What it says.
    pub content: AlertContent,
    /// The reader's language as a BCP 47 tag, for `Content-Language` and the HTML's `lang`.
    pub locale: Option<String>,
    /// The zone in which times are told; UTC without one.
    pub zone: Option<TimeZone>,
    /// Where they acknowledge the alert without a login.
    pub acknowledge_at: Option<String>,
}

/// How the connection to the mail relay is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailTls {
    /// Not at all: for a relay on the same host or in the same pod.
    None,
    /// From plain to TLS by `STARTTLS` (usually port 587). A relay without it is refused.
    #[default]
    StartTls,
    /// TLS from the first byte (usually port 465).
    Implicit,
}

/// How to reach the relay, and what emails say of us.
#[derive(Debug, Clone)]
pub struct EmailConfig {
    /// Name or address of the relay.
    pub host: String,
    /// 465, 587 or 25.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: EmailTls,
    /// With `password`, for `AUTH PLAIN` or `LOGIN`.
    pub username: Option<Secret>,
    /// See `username`.
    pub password: Option<Secret>,
    /// Such as `Watchbell <alerts@example.org>`.
    pub from: String,
    /// Where relative links of alerts lead, and the button of an alert without a link.
    pub link_base: Option<String>,
    /// For one-click unsubscribing under `link_base`; without it, mails do not offer it. Signs return paths as well.
    pub unsubscribe_secret: Option<Secret>,
    /// A team's own templates: see `template`.
    pub templates_dir: Option<PathBuf>,
    /// A root certificate trusted besides the system's.
    pub trust_root_pem: Option<String>,
    /// For one email: from asking for a connection to the relay's last reply.
    pub timeout: Duration,
    /// Connections to the relay at once.
    pub connections_max: usize,
    /// What follows the `@` in our message ids and ends our `List-Id`.
    pub message_id_domain: String,
    /// The domain of return paths, one for each mail; without it, or without `unsubscribe_secret`, what comes back goes to `from`.
    pub bounce_domain: Option<String>,
    /// Whether mails about one alert have an address in that domain to which a reply acknowledges it. Signed with
    /// `unsubscribe_secret`.
    pub reply_acknowledges: bool,
    /// Signs every mail; without it that is left to the relay.
    pub dkim: Option<DkimConfig>,
}

/// Sends by SMTP.
pub struct SmtpSender {
    relay: Relay,
    from: Mailbox,
    domain: String,
    link_base: Option<Url>,
    unsubscribe: Option<Unsubscribe>,
    templates: Templates,
    bounce_domain: Option<String>,
    /// Signs return paths. Without it mails have none of their own, and their tickets are not signed.
    returns: Option<ReturnTickets>,
    replies: Option<ReplyTickets>,
    dkim: Option<DkimSigner>,
}

impl SmtpSender {
    /// Checks the configuration; connects with the first email.
    ///
    /// # Errors
    /// [`SetupError`] names the setting.
    pub fn new(config: &EmailConfig) -> Result<Self, SetupError> {
        let from = sender_of(&config.from)?;
        let domain = config.message_id_domain.clone();
        if domain.is_empty() || !domain.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b)) {
            return Err(SetupError::MessageIdDomain);
        }
        if config.connections_max == 0 {
            return Err(SetupError::ConnectionsMax);
        }
        let link_base = match config.link_base.as_deref().map(link::web_url) {
            Some(None) => return Err(SetupError::Endpoint("`link_base` of email")),
            known => known.flatten(),
        };
        let credentials = match (&config.username, &config.password) {
            (Some(name), Some(password)) => {
                Some(Credentials::new(name.expose().to_owned(), password.expose().to_owned()))
            }
            _ => None,
        };
        let tls = || tls_parameters(&config.host, config.trust_root_pem.as_deref());
        let encryption = match config.tls {
            EmailTls::None => Encryption::None,
            EmailTls::StartTls => Encryption::StartTls(tls()?),
            EmailTls::Implicit => Encryption::Implicit(tls()?),
        };
        let relay = Relay {
            encryption,
            host: config.host.clone(),
            port: config.port,
            credentials,
            timeout: config.timeout,
            connections: Connections::at_most(config.connections_max),
        };
        let unsubscribe = config.unsubscribe_secret.as_ref().map(Unsubscribe::new);
        let templates = Templates::load(config.templates_dir.as_deref())?;
        let bounce_domain = config.bounce_domain.clone();
        let returns = config.unsubscribe_secret.as_ref().map(ReturnTickets::new);
        let secret = config.unsubscribe_secret.as_ref().filter(|_| config.reply_acknowledges);
        let replies = secret.map(ReplyTickets::new);
        let dkim = config.dkim.as_ref().map(DkimSigner::new).transpose()?;
        Ok(Self {
            relay,
            from,
            domain,
            link_base,
            unsubscribe,
            templates,
            bounce_domain,
            returns,
            replies,
            dkim,
        })
    }

    /// Hands one email to the relay once, under the contract of [`ChannelSender`].
    ///
    /// # Errors
    /// [`SendError`] says why the relay did not take it.
    pub async fn send_mail(&self, job: &EmailJob, now: Timestamp) -> Result<Accepted, SendError> {
        let (alert, to) = (&job.content, job.to.expose());
        let secrets = [to, &alert.title, alert.body.as_deref().unwrap_or_default()];
        match self.deliver(job, now).await {
            // Most relays name their queue id here: "2.0.0 Ok: queued as 4F2A".
            Ok(reply) => Ok(Accepted { provider_id: Some(reason::tidy(&reply, &secrets)) }),
            Err(error) => Err(error.without(&secrets)),
        }
    }

    async fn deliver(&self, job: &EmailJob, now: Timestamp) -> Result<String, SendError> {
        let to = address_of(&job.to)?;
        let mut message = self.compose(job, &to, now)?;
        if let Some(dkim) = &self.dkim {
            message = dkim
                .signed(&message, now)
                .ok_or_else(|| SendError::Rejected { reason: "the message cannot be signed".to_owned() })?;
        }
        let return_path = self.return_path(job);
        let from = return_path.as_ref().unwrap_or(&self.from.email);
        self.relay.deliver(Envelope { from, to: &to, message: &message }).await
    }

    /// Where this mail comes back to, and no other one.
    fn return_path(&self, job: &EmailJob) -> Option<Address> {
        let (domain, returns) = (self.bounce_domain.as_deref()?, self.returns.as_ref()?);
        Address::new(returns.local_part(&MailTicket::of(job.attempt, &job.to)), domain).ok()
    }

    /// What the mail carries so that a report which encloses it is known.
    fn ticket(&self, job: &EmailJob) -> String {
        let ticket = MailTicket::of(job.attempt, &job.to);
        self.returns.as_ref().map_or_else(|| ticket.to_string(), |returns| returns.local_part(&ticket))
    }

    /// Where a reply acknowledges the alert: of the mails that have the button. Several alerts are acknowledged one by one.
    fn reply_address(&self, job: &EmailJob) -> Option<String> {
        let (domain, replies) = (self.bounce_domain.as_deref()?, self.replies.as_ref()?);
        job.acknowledge_at.as_ref()?;
        Some(format!("{}@{domain}", replies.local_part(&MailTicket::of(job.attempt, &job.to))))
    }

    /// Head and body, ready to be handed over.
    fn compose(&self, job: &EmailJob, to: &Address, now: Timestamp) -> Result<String, SendError> {
        let alert = &job.content;
        let lang = language_of(job.locale.as_deref());
        let (unsubscribe, reply_to) = (self.unsubscribe_link(job), self.reply_address(job));
        let reader = Reader { lang, zone: job.zone.clone().unwrap_or(TimeZone::UTC) };
        let links = Links {
            unsubscribe: unsubscribe.as_ref().map(Url::as_str),
            acknowledge: job.acknowledge_at.as_deref(),
            reply_acknowledges: reply_to.is_some(),
            ..Links::default()
        };
        let parts = self.parts(alert, &reader, links)?;
        let domain = &self.domain;
        let thread = format!("<alert-{}@{domain}>", thread_id(alert));
        let (from, addressee) = (self.from.email.clone(), Mailbox::new(None, to.clone()));
        let mut builder = Message::builder()
            // lettre would read it out of the head again, and fails there on an address in quotes.
            .envelope(address::Envelope::new(Some(from), vec![to.clone()]).map_err(|_| uncomposable())?)
            .raw_header(header::mailbox("From", &self.from))
            .raw_header(header::mailbox("To", &addressee))
            .raw_header(header::text("Subject", &subject_of(&parts.subject)))
            .date(SystemTime::from(now))
            .message_id(Some(format!("<{}@{domain}>", job.attempt.hyphenated())))
            .in_reply_to(thread.clone())
            .references(thread);
        for (name, value) in [
            ("Auto-Submitted", "auto-generated".to_owned()),
            ("X-Auto-Response-Suppress", "All".to_owned()),
            ("List-Id", format!("<{}.alerts.{domain}>", label(&alert.tenant))),
            ("Content-Language", lang.to_owned()),
            ("Feedback-ID", feedback_id(alert)),
            (MAIL_TICKET_HEADER, self.ticket(job)),
        ] {
            builder = builder.raw_header(header::verbatim(name, value));
        }
        if self.relay.host.ends_with(POSTMARK) {
            builder = builder.raw_header(header::verbatim("X-PM-Metadata-watchbell", self.ticket(job)));
        }
        for (name, id) in [("X-Watchbell-Alert", &alert.alert), ("X-Watchbell-User", &alert.user)] {
            let id = text::shorten(&header::one_line(id), HEADER_BYTES_MAX).unwrap_or_default();
            builder = builder.raw_header(header::text(name, &id));
        }
        if let Some(address) = reply_to {
            builder = builder.raw_header(header::verbatim("Reply-To", format!("<{address}>")));
        }
        if let Some(link) = unsubscribe {
            builder = builder.raw_header(header::verbatim("List-Unsubscribe", format!("<{link}>")));
            // RFC 8058: a program presses the button with one POST, over https alone; a GET, as scanners make it, changes nothing.
            if link.scheme() == "https" {
                let one_click = "List-Unsubscribe=One-Click".to_owned();
                builder = builder.raw_header(header::verbatim("List-Unsubscribe-Post", one_click));
            }
        }
        // Clients show the last part they understand, so the text comes first.
        let message = builder.multipart(MultiPart::alternative_plain_html(parts.text, parts.html));
        let message = message.ok().and_then(|message| String::from_utf8(message.formatted()).ok());
        message.ok_or_else(uncomposable)
    }

    /// What the mailbox shows, with these links and the alert's own.
    fn parts(
        &self,
        alert: &AlertContent,
        reader: &Reader<'_>,
        links: Links<'_>,
    ) -> Result<EmailParts, SendError> {
        let open = self.link(alert.url.as_deref());
        self.templates.render(alert, Links { open: open.as_ref().map(Url::as_str), ..links }, reader)
    }

    /// None in a mail that it would not stop.
    fn unsubscribe_link(&self, job: &EmailJob) -> Option<Url> {
        if job.content.is_mandatory {
            return None;
        }
        let tenant = Tenant::parse(&job.content.tenant).ok()?;
        let user = UserKey::new(tenant, UserId::parse(&job.content.user).ok()?);
        let token = self.unsubscribe.as_ref()?.token(&user, &job.to);
        self.link_base.as_ref()?.join(&format!("/v1/unsubscribe/{token}")).ok()
    }

    /// Where the button leads: without a link of the alert's own to our front page.
    fn link(&self, url: Option<&str>) -> Option<Url> {
        let base = self.link_base.as_ref();
        link::of_alert(url, base).or_else(|| base.cloned())
    }
}

#[async_trait]
impl ChannelSender for SmtpSender {
    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn markdown(&self) -> MarkdownUse {
        MarkdownUse::Kept
    }

    fn provider(&self, _: &Job<'_>) -> Result<Provider, NotConfigured> {
        Ok(Provider { calls_max: Some(CALLS_MAX), ..Provider::named(Channel::Email.facts().word) })
    }

    /// Without the link that unsubscribes: whoever looks at it is somebody else.
    fn rendered(&self, alert: &AlertContent, locale: Option<&str>, _: Timestamp) -> Vec<RenderedMessage> {
        let reader = Reader { lang: language_of(locale), zone: TimeZone::UTC };
        let parts = self.parts(alert, &reader, Links::default());
        let mail = parts.map(|EmailParts { subject, text, html }| RenderedForm::Mail {
            subject: subject_of(&subject),
            text,
            html,
        });
        let form = mail.map_err(|error| error.to_string());
        vec![RenderedMessage { provider: Channel::Email.facts().word, form }]
    }

    async fn dry_run(&self, _: Timestamp) -> Vec<DryRun> {
        let tried = self.relay.try_out().await.map_err(|error| error.without(&[]));
        let found = match (&self.relay.encryption, self.relay.credentials.is_some()) {
            (Encryption::None, false) => "the relay answers, without TLS and without signing in",
            (Encryption::None, true) => "the relay takes the user and the password, without TLS",
            (_, false) => "the relay answers over TLS, without signing in",
            (_, true) => "the relay takes the user and the password over TLS",
        };
        vec![DryRun::of(Channel::Email.facts().word, tried.map(|()| found))]
    }

    async fn send(&self, job: &Job<'_>, now: Timestamp) -> Result<Accepted, SendError> {
        let message::Message::Alert(content) = &job.message else {
            return Err(SendError::Rejected {
                reason: "a mail cannot be taken back, and is no Live Activity".to_owned(),
            });
        };
        let job = EmailJob {
            attempt: job.attempt,
            to: job.to.secret().clone(),
            content: content.clone(),
            locale: job.locale.map(str::to_owned),
            zone: job.zone.clone(),
            acknowledge_at: job.acknowledge_at.clone(),
        };
        self.send_mail(&job, now).await
    }
}

fn uncomposable() -> SendError {
    SendError::Rejected { reason: "the message cannot be composed".to_owned() }
}

/// Our own mailbox, its address in its one form.
fn sender_of(from: &str) -> Result<Mailbox, SetupError> {
    let mailbox: Mailbox = from.parse().map_err(|_| SetupError::From)?;
    let address = email_address(mailbox.email.as_ref()).map_err(|_| SetupError::From)?;
    let address = address.expose().parse().map_err(|_| SetupError::From)?;
    Ok(Mailbox::new(mailbox.name, address))
}

/// The address in its one form. One that was registered before addresses were checked may be anything; the relay is not
/// asked about what is none, so nobody refused it and it is kept.
fn address_of(to: &Secret) -> Result<Address, SendError> {
    let unusable = |why: &dyn fmt::Display| SendError::Unusable {
        reason: format!("the user's email address {why}; it is kept until another is given"),
    };
    let to = email_address(to.expose()).map_err(|why| unusable(&why))?;
    to.expose().parse().map_err(|_| unusable(&"cannot be written to"))
}

pub(super) fn tls_parameters(host: &str, trust_root_pem: Option<&str>) -> Result<TlsParameters, SetupError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = trust_root_pem {
        let root = Certificate::from_pem(pem.as_bytes()).map_err(|_| SetupError::TrustRoot)?;
        builder = builder.add_root_certificate(root);
    }
    builder.build().map_err(|error| SetupError::Client(error.to_string()))
}

/// The same for every email about one alert, and not to be guessed wrong by another tenant's ids.
fn thread_id(alert: &AlertContent) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}\n{}", alert.tenant, alert.alert).as_bytes())
}

/// A subject of bounded length that changes the direction of nothing beside it.
fn subject_of(rendered: &str) -> String {
    let line = text::shorten(&header::one_line(rendered), SUBJECT_BYTES_MAX).unwrap_or_default();
    closed(&line).into_owned()
}

/// By which mailbox providers tell complaints apart (https://support.google.com/mail/answer/6254652): the category, the tenant, the
/// severity, and the sender, which is always the same.
fn feedback_id(alert: &AlertContent) -> String {
    let category = alert.category.as_deref().map(label).filter(|category| !category.is_empty());
    let category = category.unwrap_or_else(|| "alert".to_owned());
    format!("{category}:{}:{}:watchbell", label(&alert.tenant), alert.severity)
}

/// `text` as one label of a domain name.
fn label(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    text.chars().take(63).map(plain).collect()
}

/// The language that a mail is written in.
fn language_of(locale: Option<&str>) -> &str {
    locale.filter(|tag| is_language_tag(tag)).unwrap_or("en")
}

/// The characters of BCP 47; whether the language exists is the reader's program's business.
fn is_language_tag(tag: &str) -> bool {
    (2..=35).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests;
