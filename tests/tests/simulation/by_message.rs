//! Channels whose messages are replaced and taken away by the id that the provider gave them: quiet hours, restraint, and
//! what is said once nobody needs to be told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use watchbell::{
    domain::{
        Channel, Policy, PolicyStep, ReceiptState, Secret, StopReason, UserKey, channel::Removal,
        policy::Policies, restraint::Restraint,
    },
    store::{Contact, Escalation},
};
use watchbell_fallback::channel::{
    Accepted, ChannelSender, Job, Message, NotConfigured, Provider, SendError,
};
use watchbell_tests::builders::{acme, alert};

use super::world::{DAY, World, secs};

const HOUR: Duration = Duration::from_secs(3600);

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Post {
    id: String,
    to: String,
    /// The title, or why the message before is over and what it says by then.
    what: String,
    /// The messages before, by their ids.
    shown: Vec<String>,
}

/// A provider that gives each message an id, and refuses what the test wants refused.
struct Posts {
    channel: Channel,
    sent: Mutex<Vec<Post>>,
    refuses: Mutex<Option<SendError>>,
    /// Where whoever has no address of their own is written to.
    of_tenant: Option<Secret>,
}

#[async_trait]
impl ChannelSender for Posts {
    fn channel(&self) -> Channel {
        self.channel
    }

    fn address(&self, _: &UserKey, escalation: &Escalation) -> Option<Secret> {
        escalation.addresses[self.channel].clone().or_else(|| self.of_tenant.clone())
    }

    fn provider(&self, _: &Job<'_>) -> Result<Provider, NotConfigured> {
        Ok(Provider::named(self.channel.as_str()))
    }

    async fn send(&self, job: &Job<'_>, _: Timestamp) -> Result<Accepted, SendError> {
        if let Some(refused) = self.refuses.lock().unwrap().clone() {
            return Err(refused);
        }
        let what = match &job.message {
            Message::Alert(alert) => alert.title.clone(),
            Message::Activity(_) => panic!("it is no device: {job:?}"),
            Message::Withdrawal(withdrawal) => {
                let says =
                    withdrawal.content.as_ref().map(|alert| format!("{} {}", alert.title, alert.status));
                format!("{}: {}", withdrawal.because, says.unwrap_or_default())
            }
        };
        let mut sent = self.sent.lock().unwrap();
        let id = format!("m-{}", sent.len());
        let to = job.to.secret().expose().to_owned();
        sent.push(Post { id: id.clone(), to, what, shown: job.shown.clone() });
        Ok(Accepted { provider_id: Some(id) })
    }
}

impl Posts {
    fn new(channel: Channel) -> Self {
        Self { channel, sent: Mutex::default(), refuses: Mutex::default(), of_tenant: None }
    }

    fn told(&self) -> Vec<(String, Vec<String>)> {
        self.sent.lock().unwrap().iter().map(|post| (post.what.clone(), post.shown.clone())).collect()
    }
}

fn told(what: &str, shown: &[&str]) -> (String, Vec<String>) {
    (what.to_owned(), shown.iter().map(|id| (*id).to_owned()).collect())
}

/// A world in which ana, and nobody else, has an address by this channel, and every alert goes there at once.
async fn world_of(posts: Posts, restraint: Restraint) -> anyhow::Result<(World, Arc<Posts>)> {
    let policy = || Policy { steps: vec![PolicyStep::new(posts.channel, secs(0))], ..Policy::default() };
    let by_name = ["default", "critical"].map(|name| (name.to_owned(), policy()));
    let mut world = World::with(Policies::with_defaults(BTreeMap::from(by_name)), restraint).await?;
    let contact = Contact::default().with(posts.channel, "ana's".to_owned());
    world.store.put_user(&acme("ana"), &contact, world.now()).await?;
    let posts = Arc::new(posts);
    world.send_by(posts.clone());
    Ok((world, posts))
}

fn by_message() -> impl Iterator<Item = Channel> {
    Channel::ALL.into_iter().filter(|channel| channel.facts().removal == Removal::ByMessage)
}

#[tokio::test]
async fn what_became_of_an_alert_is_said_by_the_id_of_its_message() -> anyhow::Result<()> {
    assert!(by_message().count() > 0);
    for channel in by_message() {
        let (world, posts) = world_of(Posts::new(channel), Restraint::default()).await?;
        for id in ["seen", "over", "taken"] {
            world.publish(alert(id).build(), &["ana"]).await?;
            world.pass(secs(1)).await?;
        }
        world.say("ana", "seen", ReceiptState::Seen).await?;
        world.pass(secs(1)).await?;
        let over = alert("over").version(2).resolved().build();
        world.publish(over, &["ana"]).await?;
        world.pass(secs(1)).await?;
        world.say("ana", "taken", ReceiptState::Dismissed).await?;
        world.pass(DAY).await?;
        let seen = format!("{}: about seen firing", StopReason::Seen);
        let expected = [
            told("about seen", &[]),
            told("about over", &[]),
            told("about taken", &[]),
            told(&seen, &["m-0"]),
            told("resolved: about over resolved", &["m-1"]),
            told("dismissed: about taken firing", &["m-2"]),
        ];
        assert_eq!(posts.told(), expected, "{channel}");
    }
    Ok(())
}

#[tokio::test]
async fn a_worse_version_names_the_message_before_and_the_end_names_both() -> anyhow::Result<()> {
    for channel in by_message() {
        let (world, posts) = world_of(Posts::new(channel), Restraint::default()).await?;
        world.publish(alert("a").build(), &["ana"]).await?;
        world.pass(secs(1)).await?;
        let worse = alert("a").version(2).critical().title("worse").build();
        world.publish(worse, &["ana"]).await?;
        world.pass(secs(1)).await?;
        world.say("ana", "a", ReceiptState::Read).await?;
        world.pass(HOUR).await?;
        let expected =
            [told("about a", &[]), told("worse", &["m-0"]), told("read: worse firing", &["m-0", "m-1"])];
        assert_eq!(posts.told(), expected, "{channel}");
    }
    Ok(())
}

#[tokio::test]
async fn quiet_hours_hold_it_back_and_what_is_seen_meanwhile_is_never_sent() -> anyhow::Result<()> {
    for channel in by_message() {
        let (world, posts) = world_of(Posts::new(channel), Restraint::default()).await?;
        world.prefer("ana", r#"{"quiet":{"until":"2026-06-01T20:00:00Z"}}"#).await?;
        for id in ["a", "b"] {
            world.publish(alert(id).build(), &["ana"]).await?;
        }
        world.pass(6 * HOUR).await?;
        world.say("ana", "b", ReceiptState::Seen).await?;
        world.pass(5 * HOUR).await?;
        assert_eq!(posts.told(), [], "{channel}");
        assert!(world.says("ana", "a", "the user's quiet hours").await?);
        world.pass(2 * HOUR).await?;
        assert_eq!(posts.told(), [told("about a", &[])], "{channel}");
    }
    Ok(())
}

#[tokio::test]
async fn beyond_an_hours_bound_the_rest_is_told_in_one() -> anyhow::Result<()> {
    for channel in by_message() {
        let mut restraint = Restraint::default();
        restraint[channel].window = Duration::ZERO;
        restraint[channel].per_hour_max = 3;
        let (world, posts) = world_of(Posts::new(channel), restraint).await?;
        for n in 0..5 {
            world.publish(alert(&format!("a{n}")).build(), &["ana"]).await?;
            world.pass(secs(1)).await?;
        }
        assert_eq!(posts.told().len(), 3, "{channel}: nothing is gathered, until the hour is full");
        world.pass(2 * HOUR).await?;
        assert_eq!(posts.told()[3..], [told("2 new alerts", &[])], "{channel}");
        assert!(world.says("ana", "a4", channel.facts().phrases.summary).await?, "{channel}");
    }
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_gone_is_left_alone_until_another_is_given() -> anyhow::Result<()> {
    for channel in by_message() {
        let (world, posts) = world_of(Posts::new(channel), Restraint::default()).await?;
        *posts.refuses.lock().unwrap() = Some(SendError::AddressRefused { reason: "HTTP 410".to_owned() });
        world.publish(alert("a").build(), &["ana"]).await?;
        world.pass(HOUR).await?;
        *posts.refuses.lock().unwrap() = None;
        world.publish(alert("b").build(), &["ana"]).await?;
        world.pass(HOUR).await?;
        assert_eq!(posts.told(), [], "{channel}");
        assert!(world.says("ana", "b", channel.facts().phrases.nobody).await?, "{channel}");
        let contact = Contact::default().with(channel, "another".to_owned());
        world.store.put_user(&acme("ana"), &contact, world.now()).await?;
        world.publish(alert("c").build(), &["ana"]).await?;
        world.pass(HOUR).await?;
        assert_eq!(posts.told(), [told("about c", &[])], "{channel}");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_has_no_address_is_written_to_at_their_tenants() -> anyhow::Result<()> {
    let tenants = Some(Secret::from("the tenant's"));
    let posts = Posts { of_tenant: tenants, ..Posts::new(Channel::Webhook) };
    let (world, posts) = world_of(posts, Restraint::default()).await?;
    world.publish(alert("a").build(), &["ana", "ben"]).await?;
    world.pass(secs(1)).await?;
    let mut to: Vec<String> = posts.sent.lock().unwrap().iter().map(|post| post.to.clone()).collect();
    to.sort();
    assert_eq!(to, ["ana's", "the tenant's"]);
    Ok(())
}
