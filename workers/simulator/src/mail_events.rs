//! `POST /mail-events`: a mail provider tells of a mail that arrived, as Amazon SES (through SNS), SendGrid, Mailgun and Postmark do.
//!
//! What holds here:
//! - An event is signed as the provider signs it; `GET /sns/certificate.pem` of the TLS listener is what Amazon's can be checked with.
//! - It repeats of the mail what the provider repeats, and nothing else by which it could be known.
//!
//! Elsewhere: what each provider writes, in `mail_event_bodies`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, KeyPair};
use reqwest::{Client, redirect::Policy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Shared;
use crate::http::problem;
use crate::mail_event_bodies::{MailEventKind, MailProvider, ReportedMail, body_of};
use crate::tls::Keys;

/// How long the receiver may take.
const POST_MAX: Duration = Duration::from_secs(30);
const CERTIFICATE_PATH: &str = "/sns/certificate.pem";
const SUBSCRIBE_PATH: &str = "/sns/subscribe";
const TOPIC: &str = "arn:aws:sns:eu-central-1:000000000001:mail";

/// What providers sign with.
pub(crate) struct MailProviders {
    /// Posts to receivers.
    client: Client,
    sns: RsaKeyPair,
    sns_certificate_pem: String,
    /// Where the certificate is: the TLS listener.
    origin: String,
    sendgrid: EcdsaKeyPair,
    mailgun: hmac::Key,
    /// Subscriptions that were confirmed.
    confirmed: AtomicU64,
}

impl MailProviders {
    pub(crate) fn new(keys: &Keys) -> anyhow::Result<Self> {
        // The RSA key that is kept anyway: making one takes a second.
        let rsa = KeyPair::from_pem(&keys.rsa_pem)?;
        let mut params = CertificateParams::new(vec!["sns.amazonaws.com".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "sns.amazonaws.com");
        let certificate = params.self_signed(&rsa)?;
        let ec = KeyPair::from_pem(&keys.sendgrid_pem)?;
        let sendgrid = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &ec.serialize_der());
        let mailgun = keys.credentials.mailgun_signing_key.as_bytes();
        let client = Client::builder().timeout(POST_MAX).redirect(Policy::none()).no_proxy();
        Ok(Self {
            client: client.build()?,
            sns: RsaKeyPair::from_pkcs8(&rsa.serialize_der()).ok().context("the RSA key is not usable")?,
            sns_certificate_pem: certificate.pem(),
            origin: keys.origin.clone(),
            sendgrid: sendgrid.ok().context("the key of SendGrid is not usable")?,
            mailgun: hmac::Key::new(hmac::HMAC_SHA256, mailgun),
            confirmed: AtomicU64::new(0),
        })
    }

    /// A message of SNS, signed (version 2).
    fn sns_message(&self, kind: &str, message: &str, now: Timestamp) -> Option<Value> {
        let id = Uuid::new_v4().to_string();
        let mut envelope = json!({
            "Type": kind, "MessageId": id, "TopicArn": TOPIC, "Message": message,
            "Timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(), "SignatureVersion": "2",
            "SigningCertURL": format!("{}{CERTIFICATE_PATH}", self.origin),
        });
        let mut fields = vec!["Message", "MessageId"];
        if kind != "Notification" {
            envelope["Token"] = json!(id);
            envelope["SubscribeURL"] = json!(format!("{}{SUBSCRIBE_PATH}?Token={id}", self.origin));
            fields.push("SubscribeURL");
        }
        fields.push("Timestamp");
        fields.extend((kind != "Notification").then_some("Token"));
        fields.extend(["TopicArn", "Type"]);
        let mut signed = String::new();
        for field in fields {
            signed.extend([field, "\n", envelope[field].as_str()?, "\n"]);
        }
        let mut signature = vec![0; self.sns.public_modulus_len()];
        self.sns.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        envelope["Signature"] = json!(BASE64_STANDARD.encode(signature));
        Some(envelope)
    }

    /// The headers beside a body of SendGrid's.
    fn sendgrid_headers(&self, body: &str, now: Timestamp) -> Option<[(&'static str, String); 2]> {
        let timestamp = now.as_second().to_string();
        let signed = format!("{timestamp}{body}");
        let signature = self.sendgrid.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        Some([
            ("X-Twilio-Email-Event-Webhook-Signature", BASE64_STANDARD.encode(signature)),
            ("X-Twilio-Email-Event-Webhook-Timestamp", timestamp),
        ])
    }

    /// What stands beside an event of Mailgun's.
    fn mailgun_signature(&self, now: Timestamp) -> Value {
        let (timestamp, token) = (now.as_second().to_string(), Uuid::new_v4().simple().to_string());
        let tag = hmac::sign(&self.mailgun, format!("{timestamp}{token}").as_bytes());
        let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"timestamp": timestamp, "token": token, "signature": signature})
    }
}

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedEvent {
    /// Who tells of it.
    provider: MailProvider,
    /// Where it is posted to. A name and a password in it are given as HTTP basic, as Postmark does.
    url: String,
    /// What happened.
    event: MailEventKind,
    /// To the newest mail about this alert. A subscription needs none.
    alert: Option<String>,
    /// Without the signature, or with one that is not good: as somebody else would post it.
    #[serde(default)]
    forged: bool,
}

/// What the receiver said.
#[derive(Debug, Serialize)]
struct PostedEvent {
    status: u16,
    body: String,
    /// Subscriptions of SNS that were confirmed so far.
    confirmed: u64,
}

/// On the simulator's own interface.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/mail-events", post(tell)).with_state(shared)
}

/// On the TLS listener: what Amazon serves.
pub(crate) fn sns_router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(CERTIFICATE_PATH, get(certificate))
        .route(SUBSCRIBE_PATH, get(subscribe))
        .with_state(shared)
}

async fn certificate(State(shared): State<Arc<Shared>>) -> Response {
    let pem = shared.mail_providers.sns_certificate_pem.clone();
    ([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response()
}

async fn subscribe(State(shared): State<Arc<Shared>>) -> Response {
    shared.mail_providers.confirmed.fetch_add(1, Ordering::Relaxed);
    ([(header::CONTENT_TYPE, "text/xml")], "<ConfirmSubscriptionResponse/>").into_response()
}

async fn tell(State(shared): State<Arc<Shared>>, asked: Result<Json<AskedEvent>, JsonRejection>) -> Response {
    const TITLE: &str = "That is no event of a mail provider";
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(rejection) => return problem(TITLE, &rejection.body_text()),
    };
    let mail = asked.alert.as_deref().and_then(|alert| shared.arrivals().newest_mail_about(alert));
    let (providers, now) = (&shared.mail_providers, Timestamp::now());
    let post = match (&mail, asked.event, asked.provider) {
        (_, MailEventKind::Subscription, MailProvider::Ses) => {
            providers.sns_message("SubscriptionConfirmation", "Please confirm.", now).map(|post| (post, None))
        }
        (_, MailEventKind::Subscription, _) => {
            return problem(TITLE, "event: only Amazon asks for subscriptions");
        }
        (None, ..) => return problem(TITLE, "alert: no mail about it arrived"),
        (Some(mail), event, provider) => {
            let body = body_of(provider, event, &ReportedMail::of(mail), now);
            signed(providers, provider, body, now)
        }
    };
    let Some((mut post, headers)) = post else { return problem(TITLE, "it cannot be signed") };
    if asked.forged {
        forge(&mut post);
    }
    let headers = headers.filter(|_| !asked.forged);
    match send(&providers.client, &asked.url, post, headers.into_iter().flatten()).await {
        Ok((status, body)) => {
            let confirmed = providers.confirmed.load(Ordering::Relaxed);
            Json(PostedEvent { status, body, confirmed }).into_response()
        }
        Err(error) => problem("The event was not taken", &error.without_url().to_string()),
    }
}

type Headers = Option<[(&'static str, String); 2]>;

/// The event in what the provider wraps it in, and the headers beside it.
fn signed(
    providers: &MailProviders,
    provider: MailProvider,
    body: Value,
    now: Timestamp,
) -> Option<(Value, Headers)> {
    Some(match provider {
        MailProvider::Ses => (providers.sns_message("Notification", &body.to_string(), now)?, None),
        MailProvider::Sendgrid => {
            let headers = providers.sendgrid_headers(&body.to_string(), now)?;
            (body, Some(headers))
        }
        MailProvider::Mailgun => {
            (json!({"signature": providers.mailgun_signature(now), "event-data": body}), None)
        }
        MailProvider::Postmark => (body, None),
    })
}

/// Makes the signature in a body another one's.
fn forge(post: &mut Value) {
    for signature in ["/Signature", "/signature/signature"] {
        if let Some(found) = post.pointer_mut(signature) {
            *found = json!(BASE64_STANDARD.encode([0; 256]));
        }
    }
}

async fn send(
    client: &Client,
    url: &str,
    post: Value,
    headers: impl Iterator<Item = (&'static str, String)>,
) -> reqwest::Result<(u16, String)> {
    // SNS calls its JSON plain text, and the others say what it is.
    let request =
        client.post(url).header(header::CONTENT_TYPE, "text/plain; charset=UTF-8").body(post.to_string());
    let request = headers.fold(request, |request, (name, value)| request.header(name, value));
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}
