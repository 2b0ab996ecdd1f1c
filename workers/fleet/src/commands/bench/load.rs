//! Throughput and latency: alerts in by HTTP, out at the sessions of their users.

use std::{future::ready, ops::Range, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{ledger::Ledger, session::Session, target::Target};
use crate::cli_bench::BenchArgs;

/// Floods of a run, of which the one in the middle counts.
pub(super) const ROUNDS: usize = 3;
/// Alerts sent before anything is measured, so that connections stand and plans are made.
const WARM_UP: usize = 200;
/// Sessions that are being opened at once.
const OPENING_MAX: usize = 32;
/// Requests of the latency part under way at once. More wait for a place, and the wait counts.
const REQUESTS_MAX: usize = 1_024;
/// How finely the timer wakes whoever sleeps. What it is late beyond that counts for the alert.
const TIMER_STEP: Duration = Duration::from_millis(2);
/// How long a second copy of an alert is waited for at the end.
const LINGER: Duration = Duration::from_secs(1);

/// A target under load, with a session for each bench user.
pub(super) struct Load<'a> {
    target: &'a Target,
    batch: usize,
    concurrency: usize,
    ledger: Arc<Ledger>,
    /// Alerts that were given a number.
    numbered: usize,
    /// Dropped, the sessions end.
    _sessions: JoinSet<()>,
}

/// Of one flood, in alerts a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Throughput {
    pub(super) accepted: f64,
    pub(super) delivered: f64,
}

/// Of each alert.
pub(super) struct Latency {
    /// Alerts a second.
    pub(super) rate: u32,
    pub(super) accepted: Vec<Duration>,
    pub(super) delivered: Vec<Duration>,
}

impl<'a> Load<'a> {
    /// Opens the sessions and warms up.
    pub(super) async fn start(args: &BenchArgs, target: &'a Target) -> anyhow::Result<Self> {
        let users = args.users as usize;
        let at_rates = args.rate.iter().map(|rate| (rate.most() * args.seconds) as usize).sum::<usize>();
        let alerts = WARM_UP + ROUNDS * args.alerts as usize + at_rates;
        let run = format!("{:08x}", rand::random::<u32>());
        let ledger = Arc::new(Ledger::new(run, users, alerts));
        let open = async |user: usize| {
            let token = target.token(&ledger.user(user))?;
            Ok::<_, anyhow::Error>((user, Session::open(target.ws_url(user), &token).await?))
        };
        let opened: Vec<_> =
            stream::iter(0..users).map(open).buffer_unordered(OPENING_MAX).try_collect().await?;
        let mut sessions = JoinSet::new();
        for (user, mut session) in opened {
            let ledger = Arc::clone(&ledger);
            sessions.spawn(async move {
                let error = session.read(|id, at| ledger.arrived(user, id, at)).await;
                ledger.fail(format!("the session of user {user}: {error:#}"));
            });
        }
        let (batch, concurrency) = (args.batch as usize, args.concurrency as usize);
        let mut load = Self { target, batch, concurrency, ledger, numbered: 0, _sessions: sessions };
        load.flood(WARM_UP).await?;
        Ok(load)
    }

    /// The alerts of one request of a flood.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// As many alerts as fast as they are taken.
    pub(super) async fn flood(&mut self, alerts: usize) -> anyhow::Result<Throughput> {
        let alerts = self.numbers(alerts);
        // Made beforehand: the bench shares its processors with the fleet.
        let numbers: Vec<usize> = alerts.clone().collect();
        let requests: Vec<Value> = numbers.chunks(self.batch).map(|numbers| self.request(numbers)).collect();
        let begun = Instant::now();
        let publishing = stream::iter(requests).map(|request| self.target.publish(request));
        publishing.buffer_unordered(self.concurrency).try_for_each(|()| ready(Ok(()))).await?;
        let accepted = begun.elapsed();
        self.ledger.wait_for(alerts.end).await?;
        let delivered = self.ledger.last_arrival(alerts.clone()) - begun;
        let per_s = |took: Duration| alerts.len() as f64 / took.as_secs_f64();
        Ok(Throughput { accepted: per_s(accepted), delivered: per_s(delivered) })
    }

    /// Requests at moments that come by chance and do not wait for any answer: `rate` alerts a second on average, and in
    /// each request the `batch`. The time of an alert runs from the moment it was planned for, so one that has to wait for a
    /// busy server counts all of it (an open loop, without coordinated omission).
    pub(super) async fn at_a_rate(
        &mut self,
        rate: u32,
        seconds: u32,
        batch: usize,
    ) -> anyhow::Result<Latency> {
        let requests = (rate * seconds) as usize / batch;
        let alerts = self.numbers(requests * batch);
        let numbers: Vec<usize> = alerts.clone().collect();
        let room = Arc::new(Semaphore::new(REQUESTS_MAX));
        let mut publishing = JoinSet::new();
        let mut planned = Instant::now();
        for numbers in numbers.chunks(batch) {
            planned += gap(f64::from(rate) / batch as f64, rand::random());
            let (target, room, request) = (self.target.clone(), Arc::clone(&room), self.request(numbers));
            if planned > Instant::now() {
                sleep_until(planned).await;
            }
            let begun = Instant::now().min(planned + TIMER_STEP);
            for alert in numbers {
                self.ledger.sent(*alert, begun);
            }
            publishing.spawn(async move {
                let _permit = room.acquire_owned().await?;
                target.publish(request).await.map(|()| begun.elapsed())
            });
        }
        let accepted = publishing.join_all().await.into_iter().collect::<anyhow::Result<_>>()?;
        self.ledger.wait_for(alerts.end).await?;
        Ok(Latency { rate, accepted, delivered: self.ledger.delays(alerts) })
    }

    /// Waits for what should not come.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        sleep(LINGER).await;
        self.ledger.check().context("after everything had arrived")?;
        ensure!(self.numbered > 0, "nothing was sent");
        Ok(())
    }

    fn numbers(&mut self, count: usize) -> Range<usize> {
        let first = self.numbered;
        self.numbered += count;
        first..self.numbered
    }

    fn request(&self, alerts: &[usize]) -> Value {
        let alert = |alert: &usize| {
            let (id, user) = self.ledger.alert(*alert);
            json!({
                "id": id,
                "to": {"users": [user]},
                "title": format!("Disk almost full on web-17 ({alert})"),
                "body": "Of 512 GB, 497 GB are used, and 2 GB more every hour: in about 7 hours nothing can be written.",
                "severity": "warning",
                "labels": {"env": "bench", "host": "web-17"},
            })
        };
        Value::Array(alerts.iter().map(alert).collect())
    }
}

/// How long after the last alert the next one comes, by a number in 0..1: the arrivals of many who do not know of each other
/// (a Poisson process, whose gaps are exponential).
fn gap(rate: f64, chance: f64) -> Duration {
    Duration::from_secs_f64(-(1.0 - chance).ln() / rate)
}

#[test]
fn arrivals_by_chance_have_the_rate_that_was_asked_for() {
    let gaps = (0..1_000).map(|step| gap(500.0, f64::from(step) / 1_000.0));
    let mean = gaps.sum::<Duration>() / 1_000;
    assert!((1_900..2_100).contains(&mean.as_micros()), "{mean:?}");
    assert_eq!(gap(500.0, 0.0), Duration::ZERO);
}
