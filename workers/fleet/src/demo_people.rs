//! The people of the demo page, and the key of its producer.
//!
//! What holds here: whoever was there before keeps their place, and a key that still works is kept, so that a page that is open
//! goes on after a restart.

use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use watchbell::{
    domain::{
        Channel, Device, DeviceId, PushEnvironment, PushService, Scopes, Secret, Tenant, TopicPattern,
        UserId, UserKey, audit::Actor, device::DEVICES_PER_USER_MAX,
    },
    runtime::Config,
    store::{ApiKey, Contact, KeyRights, KeyStanding, Store},
};
use watchbell_ingest::key;
use watchbell_socket::token::{Grants, NewToken};

use crate::demo_file::{Demo, DemoUser};

/// The tenant of everything that the demo makes.
pub(crate) const TENANT: &str = "demo";
/// How long a demo token is good. Made anew at each start, and each time that the page asks.
const TOKEN_DAYS: i64 = 7;

/// Where things are, in this run.
pub(crate) struct Places {
    /// The one address.
    pub(crate) url: String,
    /// See [`Demo::reach`].
    pub(crate) reach: Option<String>,
    /// The simulator's own address.
    pub(crate) simulator: String,
    /// The simulator's programs that take webhooks.
    pub(crate) hooks: String,
}

/// Demo users with a phone, a mailbox, a program, a place in Slack, a chat in Telegram and a phone number each, and a key to publish
/// with. All but the first two are told by policies that name the channel, not by those of the demo.
pub(crate) async fn furnish(
    store: &Store,
    config: &Config,
    dir: &Path,
    places: Places,
) -> anyhow::Result<Demo> {
    let now = Timestamp::now();
    let tenant = Tenant::parse(TENANT)?;
    let producer_key = demo_key(store, &tenant, dir, now).await?;
    let mut users = Vec::new();
    let ana = ("ana", PushService::Apns, "1001", "+447700900101");
    let ben = ("ben", PushService::Fcm, "1002", "+447700900102");
    for (name, service, chat, number) in [ana, ben] {
        let user = UserKey::new(tenant.clone(), UserId::parse(name)?);
        let email = format!("{name}@watchbell.test");
        let contact = Contact { locale: Some("en".to_owned()), ..Contact::default() };
        let contact = contact.with(Channel::Email, email.clone());
        let contact = contact.with(Channel::Webhook, format!("{}/{name}", places.hooks));
        let contact = contact.with(Channel::Slack, format!("UDEMO{}", name.to_uppercase()));
        let contact = contact.with(Channel::Telegram, chat.to_owned());
        let contact = contact.with(Channel::Sms, number.to_owned());
        store.put_user(&user, &contact, now).await?;
        // Apple's tokens are hexadecimal; Google's are not.
        let token = match service {
            PushService::Apns => {
                format!("{:0>64}", name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            PushService::Fcm | PushService::WebPush => format!("demo-{name}:phone-{}", "0".repeat(32)),
        };
        let device = Device {
            id: DeviceId::parse(format!("{name}-phone"))?,
            service,
            token: Secret::from(token.clone()),
            environment: PushEnvironment::Production,
            bound_to: None,
            start_token: None,
            registered_at: now,
            // The demo registers it, and no session does.
            issued_at: None,
        };
        store.put_device(&user, &device, DEVICES_PER_USER_MAX).await?;
        let session = token_of(&user, config, now)?;
        users.push(DemoUser { user: name.to_owned(), token: session, email, device: token });
    }
    let Places { url, reach, simulator, .. } = places;
    let producer_key = producer_key.expose().to_owned();
    Ok(Demo { url, reach, page: String::new(), simulator, producer_key, users })
}

/// The same people, each with a token of this moment.
pub(crate) fn with_new_tokens(mut demo: Demo, config: &Config, now: Timestamp) -> anyhow::Result<Demo> {
    for one in &mut demo.users {
        let user = UserKey::new(Tenant::parse(TENANT)?, UserId::parse(&one.user)?);
        one.token = token_of(&user, config, now)?;
    }
    Ok(demo)
}

fn token_of(user: &UserKey, config: &Config, now: Timestamp) -> anyhow::Result<String> {
    let secret = config.auth.hs256_secret.as_ref().context("auth.hs256_secret")?;
    // The page shows a monitor, what was done about it, and figures.
    let topics = ["monitor:*", "remediation:*", "figures:*"].map(TopicPattern::parse);
    let topics = topics.into_iter().collect::<Result<_, _>>()?;
    let grants = Grants { topics, groups: Box::default() };
    let expires_at = now + jiff::SignedDuration::from_hours(24 * TOKEN_DAYS);
    NewToken { user, issued_at: now, expires_at, grants: &grants }.sign(secret, &config.auth)
}

/// The key of the demo and of the commands that work on this `up`: it may do everything. That of an earlier run, unless it was
/// revoked or is of a version whose keys could do less.
async fn demo_key(store: &Store, tenant: &Tenant, dir: &Path, now: Timestamp) -> anyhow::Result<Secret> {
    if let Ok(earlier) = Demo::read(dir) {
        let kept = store.api_key(&key::hash(&earlier.producer_key)).await?;
        let works = |key: ApiKey| key.standing(now) == KeyStanding::Works && key.rights.scopes == Scopes::ALL;
        if kept.is_some_and(works) {
            return Ok(Secret::from(earlier.producer_key));
        }
    }
    let made = key::generate(&mut rand::rng());
    let rights = KeyRights::of(tenant.clone()).with(Scopes::ALL);
    store.by(Actor::System).add_api_key(&key::hash(made.expose()), &rights, "demo", now).await?;
    Ok(made)
}
