//! Broadcast channels on a simulated clock: an alert for everyone is told once for all who listen, and what one person does is theirs alone.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use watchbell::domain::{
    Alert, Audience, Channel, Device, Policy, PolicyStep, PushService, ReceiptState, policy::Policies,
    restraint::Restraint,
};
use watchbell_fallback::channel::{
    Accepted, ActivityEvent, Blame, Broadcast, BroadcastAct, Broadcaster, Provider, PushContent, PushJob,
    PushSender, SendError,
};
use watchbell_tests::builders::{AlertBuilder, acme, alert, device};

use super::world::{World, secs};

/// What Apple was asked for, in a few words.
type Asked = Mutex<Vec<String>>;
type Answer = Box<dyn Fn(&str) -> Option<SendError> + Send + Sync>;

/// Apple, who says what the test says about channels, and takes every push.
struct Apple {
    asked: Asked,
    made: AtomicUsize,
    refuses: Mutex<Answer>,
}

impl Apple {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            asked: Mutex::default(),
            made: AtomicUsize::default(),
            refuses: Mutex::new(Box::new(|_| None)),
        })
    }

    fn refuse(&self, refuses: impl Fn(&str) -> Option<SendError> + Send + Sync + 'static) {
        *self.refuses.lock().unwrap() = Box::new(refuses);
    }

    fn take(&self, what: &str) -> Result<(), SendError> {
        let refused = (self.refuses.lock().unwrap())(what);
        let mark = if refused.is_some() { " REFUSED" } else { "" };
        self.asked.lock().unwrap().push(format!("{what}{mark}"));
        refused.map_or(Ok(()), Err)
    }

    /// What it was asked for since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn event(event: ActivityEvent) -> &'static str {
    match event {
        ActivityEvent::Start => "start",
        ActivityEvent::Update { is_urgent: true } => "urgent update",
        ActivityEvent::Update { is_urgent: false } => "update",
        ActivityEvent::End { stays: true } => "end that stays",
        ActivityEvent::End { stays: false } => "end",
    }
}

#[async_trait]
impl PushSender for Apple {
    async fn send(&self, job: &PushJob, _: Timestamp) -> Result<Accepted, SendError> {
        let token = job.target.token.expose();
        match &job.content {
            PushContent::Activity(activity) => {
                let channel = activity.channel.as_deref().map(|channel| format!(" on {channel}"));
                let what = event(activity.event);
                self.take(&format!("{what} {} by {token}{}", activity.version, channel.unwrap_or_default()))?;
            }
            PushContent::Withdrawal { .. } => self.take(&format!("withdrawal to {token}"))?,
            PushContent::Alert(_) => {}
        }
        Ok(Accepted::default())
    }

    fn broadcaster(&self) -> Option<&dyn Broadcaster> {
        Some(self)
    }
}

#[async_trait]
impl Broadcaster for Apple {
    fn app_of<'a>(&'a self, device: &'a Device) -> Option<&'a str> {
        (device.service == PushService::Apns).then_some("app")
    }

    fn provider_of(&self, _: &Broadcast) -> Provider {
        Provider::named("apns")
    }

    async fn broadcast(&self, broadcast: &Broadcast, _: Timestamp) -> Result<Accepted, SendError> {
        match &broadcast.act {
            BroadcastAct::Look => self.take("look")?,
            BroadcastAct::Make => {
                self.take("make")?;
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                return Ok(Accepted { provider_id: Some(format!("c{number}")) });
            }
            BroadcastAct::Tell { channel, message } => {
                let shown = message.content.as_ref().map_or("nothing", |alert| alert.title.as_str());
                self.take(&format!("{} {} to {channel}: {shown}", event(message.event), message.version))?;
            }
            BroadcastAct::Delete { channel } => self.take(&format!("delete {channel}"))?,
        }
        Ok(Accepted::default())
    }
}

/// Ana and ben have an iPhone each, and every alert is pushed at once and is a Live Activity.
async fn world() -> anyhow::Result<(World, Arc<Apple>)> {
    let steps = vec![PolicyStep::new(Channel::Push, secs(0))];
    let policy = Policy { steps, live_activity: true, ..Policy::default() };
    let by_name = ["default", "critical"].map(|name| (name.to_owned(), policy.clone()));
    let policies = Policies::with_defaults(BTreeMap::from(by_name));
    let mut world = World::with(policies, Restraint::default()).await?;
    let apple = Apple::new();
    world.push_by([(PushService::Apns, apple.clone() as Arc<dyn PushSender>)]);
    for user in ["ana", "ben"] {
        let phone = device("phone").token(user).start_token(&format!("{user}'s")).registered_at(world.now());
        world.store.put_device(&acme(user), &phone.build(), 20).await?;
    }
    Ok((world, apple))
}

fn for_everyone(alert: AlertBuilder) -> Alert {
    alert.audience(Audience { everyone: true, ..Audience::default() }).build()
}

const BOTH: &[&str] = &["ana", "ben"];

/// Everything that is due happens, and a second passes.
async fn a_moment(world: &World) -> anyhow::Result<()> {
    world.pass(secs(0)).await?;
    while world.fallback().activities.step().await > 0 {}
    world.pass(secs(1)).await
}

fn sorted(mut asked: Vec<String>) -> Vec<String> {
    asked.sort();
    asked
}

#[tokio::test]
async fn one_call_tells_all_who_listen_and_the_channel_goes_when_nobody_waits_for_it() -> anyhow::Result<()> {
    let (world, apple) = world().await?;
    let say = |version: u32| alert("a").version(version).title(format!("v{version}"));
    world.publish(for_everyone(say(1).expires_at(world.now() + secs(600))), BOTH).await?;
    a_moment(&world).await?;
    assert_eq!(sorted(apple.asked()), ["make", "start 1 by ana's on c0", "start 1 by ben's on c0"]);
    world.publish(for_everyone(say(2)), BOTH).await?;
    a_moment(&world).await?;
    assert_eq!(apple.asked(), ["update 2 to c0: v2"]);
    world.publish(for_everyone(say(3).critical()), BOTH).await?;
    a_moment(&world).await?;
    assert_eq!(apple.asked(), ["urgent update 3 to c0: v3"]);

    world.say("ana", "a", ReceiptState::Seen).await?;
    a_moment(&world).await?;
    assert_eq!(apple.asked(), ["withdrawal to ana"], "her app ends it; nobody else's does");

    world.publish(for_everyone(say(4).resolved()), BOTH).await?;
    a_moment(&world).await?;
    assert_eq!(sorted(apple.asked()), ["end that stays 4 to c0: v4", "withdrawal to ben"]);
    world.pass(Duration::from_secs(7 * 3_600)).await?;
    a_moment(&world).await?;
    assert_eq!(apple.asked(), [""; 0], "who was off may still hear the end");
    world.pass(Duration::from_secs(3_600)).await?;
    a_moment(&world).await?;
    assert_eq!(apple.asked(), ["delete c0"]);
    let line = "live activity on phone: started with version 1, and listens to the channel of its alert";
    assert!(world.says("ben", "a", line).await?);
    Ok(())
}

#[tokio::test]
async fn an_alert_for_some_has_no_channel() -> anyhow::Result<()> {
    let (world, apple) = world().await?;
    world.publish(alert("a").build(), BOTH).await?;
    a_moment(&world).await?;
    assert_eq!(sorted(apple.asked()), ["start 1 by ana's", "start 1 by ben's"]);
    Ok(())
}

#[tokio::test]
async fn it_ends_by_expiry_and_a_new_life_has_another_channel() -> anyhow::Result<()> {
    let (world, apple) = world().await?;
    let until = |after| world.now() + secs(after);
    world.publish(for_everyone(alert("a").expires_at(until(600))), BOTH).await?;
    a_moment(&world).await?;
    apple.asked();
    world.pass(secs(600)).await?;
    a_moment(&world).await?;
    let asked = sorted(apple.asked());
    assert!(asked.contains(&"end 1 to c0: about a".to_owned()), "{asked:?}");
    world.publish(for_everyone(alert("a").version(2).critical().expires_at(until(600))), BOTH).await?;
    a_moment(&world).await?;
    assert_eq!(sorted(apple.asked()), ["make", "start 2 by ana's on c1", "start 2 by ben's on c1"]);
    Ok(())
}

#[tokio::test]
async fn activities_do_without_when_apple_makes_no_channel() -> anyhow::Result<()> {
    let (world, apple) = world().await?;
    let fault = || SendError::ConfigFault { blame: Blame::Device, reason: "FeatureNotEnabled".to_owned() };
    apple.refuse(move |what| (what == "make").then(fault));
    world.publish(for_everyone(alert("a")), BOTH).await?;
    a_moment(&world).await?;
    assert_eq!(sorted(apple.asked()), ["make REFUSED", "start 1 by ana's", "start 1 by ben's"]);
    Ok(())
}

#[tokio::test]
async fn a_channel_that_takes_a_while_is_waited_for_and_not_for_long() -> anyhow::Result<()> {
    let (world, apple) = world().await?;
    let silent = || SendError::Unreachable { reason: "no answer".to_owned() };
    apple.refuse(move |what| (what == "make").then(silent));
    world.publish(for_everyone(alert("a")), &["ana"]).await?;
    a_moment(&world).await?;
    assert_eq!(apple.asked(), ["make REFUSED"], "it waits for a second try");
    apple.refuse(|_| None);
    for _ in 0..20 {
        a_moment(&world).await?;
    }
    assert_eq!(apple.asked(), ["make", "start 1 by ana's on c0"]);

    let (world, apple) = self::world().await?;
    apple.refuse(move |what| (what == "make").then(silent));
    world.publish(for_everyone(alert("a")), &["ana"]).await?;
    for _ in 0..40 {
        a_moment(&world).await?;
    }
    let asked = apple.asked();
    assert!(asked.contains(&"start 1 by ana's".to_owned()), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn a_channel_that_apple_has_lost_is_forgotten_and_an_end_is_tried_again() -> anyhow::Result<()> {
    let (world, apple) = world().await?;
    world.publish(for_everyone(alert("a")), BOTH).await?;
    a_moment(&world).await?;
    apple.asked();
    let silent = || SendError::Unreachable { reason: "no answer".to_owned() };
    apple.refuse(move |what| what.starts_with("end").then(silent));
    world.publish(for_everyone(alert("a").version(2).resolved()), BOTH).await?;
    a_moment(&world).await?;
    apple.refuse(|_| None);
    world.pass(secs(60)).await?;
    a_moment(&world).await?;
    let ends: Vec<_> = apple.asked().into_iter().filter(|asked| asked.starts_with("end")).collect();
    assert_eq!(ends, ["end that stays 2 to c0: about a REFUSED", "end that stays 2 to c0: about a"]);

    let (world, apple) = self::world().await?;
    world.publish(for_everyone(alert("a")), BOTH).await?;
    a_moment(&world).await?;
    apple.asked();
    let lost = || SendError::BadToken { reason: "ChannelNotRegistered".to_owned() };
    apple.refuse(move |what| what.starts_with("update").then(lost));
    for version in 2..4 {
        world.publish(for_everyone(alert("a").version(version)), BOTH).await?;
        a_moment(&world).await?;
    }
    assert_eq!(apple.asked(), ["update 2 to c0: about a REFUSED"], "and nothing is sent to it any more");
    Ok(())
}
