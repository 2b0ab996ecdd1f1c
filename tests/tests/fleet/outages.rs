//! The broker, the store and every worker go away under load: nothing accepted is lost, and nobody gets anything twice.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use watchbell_tests::{
    fleet::{Engine, Fleet, Urls},
    postgres::Postgres,
    rabbit::RabbitNode,
    requests::answer,
    scratch::Scratch,
    services,
    session::Follower,
    until::until,
};

/// How long a service stays away: the scenario itself, not a wait for something.
const OUTAGE: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(40);
const USERS: [&str; 4] = ["ana", "ben", "cleo", "dan"];
/// Alerts of one run at the least, however slow the machine is: fewer are no load.
const ACCEPTED_MIN: usize = 100;
/// One alert in this time.
const PACE: Duration = Duration::from_millis(20);
/// Nobody is pushed to in the time of a test.
const QUIET: (u64, u64) = (600_000, 600_000);
/// Sessions are asked to move quickly: the tests restart every pod.
const ENV: [(&str, &str); 1] = [("WATCHBELL__SOCKET__DRAIN_WINDOW", "2s")];

/// A producer that sends each alert again, with the same id, until it hears 202.
struct Producer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Answer>>,
}

/// What a producer heard and when.
struct Answer {
    /// 0: no answer at all.
    status: u16,
    asked_at: Instant,
    heard_at: Instant,
}

impl Producer {
    fn start(fleet: &Fleet) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (url, key, http) = (fleet.url("ingest")?, fleet.key().to_owned(), fleet.http().clone());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let (mut answers, mut accepted) = (Vec::new(), 0);
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // An alert that was begun is seen through, so that those accepted are numbered without a gap.
            while !stopped.load(Ordering::Relaxed)
                || accepted < ACCEPTED_MIN
                || answers.last().is_some_and(|last: &Answer| last.status != 202)
            {
                pace.tick().await;
                let alert = json!({"to": {"users": USERS}, "id": format!("load-{accepted}"), "title": "t"});
                let asked_at = Instant::now();
                let asked =
                    answer(http.post(format!("{url}/v1/alerts")).bearer_auth(&key).json(&alert)).await;
                let status = asked.map_or(0, |(status, _)| status);
                answers.push(Answer { status, asked_at, heard_at: Instant::now() });
                accepted += usize::from(status == 202);
            }
            answers
        });
        Ok(Self { stop, task })
    }

    /// Sees the last alert through and gives everything that was heard.
    async fn finish(self) -> anyhow::Result<Vec<Answer>> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.task.await?)
    }
}

async fn followers(fleet: &Fleet) -> anyhow::Result<Vec<Follower>> {
    let mut followers = Vec::new();
    for user in USERS {
        followers.push(fleet.follower(user).await?);
    }
    Ok(followers)
}

/// Waits until that time has passed.
async fn pass(time: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    until("time to pass", time * 2, async || (began.elapsed() >= time).then_some(())).await
}

/// I1 and I2: each accepted alert is once in each inbox and was once on each screen, in order, without a hole.
async fn everybody_got_everything_once(
    fleet: &Fleet,
    followers: &[Follower],
    answers: &[Answer],
) -> anyhow::Result<()> {
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert!(accepted >= ACCEPTED_MIN, "only {accepted} alerts were accepted: that is no load");
    let ids: BTreeSet<String> = (0..accepted).map(|number| format!("load-{number}")).collect();
    for (user, follower) in USERS.iter().zip(followers) {
        let changes = until(&format!("{user} to be told of {accepted} alerts"), DEADLINE, async || {
            let changes = follower.changes();
            (changes.len() >= accepted).then_some(changes)
        })
        .await?;
        let seqs: Vec<u64> = changes.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=accepted as u64).collect::<Vec<_>>(), "{user}: every change once, in order");
        assert_eq!(ids_of(&changes), ids, "{user}'s screen");
        let inbox = fleet.inbox(user).await?;
        assert_eq!((inbox.len(), ids_of(&inbox)), (accepted, ids.clone()), "{user}'s inbox");
    }
    Ok(())
}

fn ids_of(told: &[Value]) -> BTreeSet<String> {
    told.iter().filter_map(|told| Some(told["alert"]["id"].as_str()?.to_owned())).collect()
}

fn statuses(answers: &[Answer]) -> BTreeSet<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

#[tokio::test]
async fn nothing_is_lost_while_the_broker_is_away() {
    let dir = Scratch::new("outage").unwrap();
    let mut rabbit = RabbitNode::start(dir.path()).await.unwrap();
    let store = services::postgres().await.unwrap().fresh_database("outage").await.unwrap();
    let urls = Urls { broker: rabbit.url(), store };
    let fleet = Fleet::start_services(urls, QUIET, &ENV).await.unwrap();
    let followers = followers(&fleet).await.unwrap();
    let producer = Producer::start(&fleet).unwrap();
    pass(Duration::from_secs(3)).await.unwrap();

    rabbit.stop().await.unwrap();
    let away_from = Instant::now();
    pass(OUTAGE).await.unwrap();
    let away_to = Instant::now();
    rabbit.start_again().await.unwrap();
    pass(Duration::from_secs(3)).await.unwrap();

    let answers = producer.finish().await.unwrap();
    let away = |at: Instant| at > away_from && at < away_to;
    let false_ones = answers.iter().filter(|answer| answer.status == 202 && away(answer.heard_at)).count();
    assert_eq!(false_ones, 0, "accepted with no broker to keep it");
    assert!(answers.iter().any(|answer| away(answer.asked_at)), "nobody asked while it was away");
    assert_eq!(statuses(&answers), [202, 503].into(), "202, 503, or a wait");
    everybody_got_everything_once(&fleet, &followers, &answers).await.unwrap();
}

#[tokio::test]
async fn nothing_is_lost_while_the_store_is_away() {
    let dir = Scratch::new("outage").unwrap();
    let mut postgres = Postgres::start(dir.path()).await.unwrap();
    let broker = services::rabbit().await.unwrap().fresh_vhost("outage").await.unwrap();
    let urls = Urls { broker, store: postgres.fresh_database("outage").await.unwrap() };
    let fleet = Fleet::start_services(urls, QUIET, &ENV).await.unwrap();
    let followers = followers(&fleet).await.unwrap();
    let producer = Producer::start(&fleet).unwrap();
    pass(Duration::from_secs(3)).await.unwrap();

    postgres.stop().await.unwrap();
    pass(OUTAGE).await.unwrap();
    postgres.start_again().await.unwrap();
    pass(Duration::from_secs(3)).await.unwrap();

    let answers = producer.finish().await.unwrap();
    // What was accepted meanwhile waits in the broker; whoever has to be looked up is asked to come back.
    assert!(statuses(&answers).is_subset(&[202, 503].into()), "{:?}", statuses(&answers));
    everybody_got_everything_once(&fleet, &followers, &answers).await.unwrap();
    assert!(
        followers.iter().all(|follower| follower.told().ends.is_empty()),
        "no session is ended by a store that is away"
    );
}

/// I10.
async fn rolling_restart_loses_nothing(engine: Engine) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(engine, QUIET, &ENV).await?;
    let followers = followers(&fleet).await?;
    let producer = Producer::start(&fleet)?;
    pass(Duration::from_secs(2)).await?;
    for name in fleet.names() {
        if name == "simulator" {
            continue;
        }
        fleet.restart(name).await?;
        fleet.ready(name).await?;
        pass(Duration::from_secs(1)).await?;
    }
    let answers = producer.finish().await?;
    everybody_got_everything_once(&fleet, &followers, &answers).await?;
    for follower in &followers {
        let ends = follower.told().ends;
        assert!(!ends.is_empty(), "its pod was restarted");
        assert!(ends.iter().all(|end| end.contains("closed 4200")), "asked to move, not cut off: {ends:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_rolling_restart_under_load_loses_nothing_in_one_process() {
    rolling_restart_loses_nothing(Engine::Embedded).await.unwrap();
}

#[tokio::test]
async fn a_rolling_restart_under_load_loses_nothing_through_real_services() {
    rolling_restart_loses_nothing(Engine::Services).await.unwrap();
}
