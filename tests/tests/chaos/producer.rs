//! Producers: publish until they hear 202, as a producer has to.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::time::{Interval, MissedTickBehavior, interval};
use watchbell_tests::until::until;

use crate::plan::{Plan, Planned, Then};

/// Producers at work at once.
const PRODUCERS: usize = 8;
/// How long an alert may take until it is accepted, with its worker killed again and again.
const ACCEPT_DEADLINE: Duration = Duration::from_secs(60);

/// Who publishes.
pub struct Producers {
    pub http: reqwest::Client,
    /// Of ingest.
    pub url: String,
    pub key: String,
    /// Alerts taken up so far, and publishes that had to be repeated.
    pub begun: AtomicUsize,
    pub repeated: AtomicUsize,
}

impl Producers {
    /// Publishes the plan, `per_second` alerts at the most. Returns when all of it was accepted.
    pub async fn publish_all(&self, plan: &Plan, per_second: usize) -> anyhow::Result<()> {
        let pace = Duration::from_secs_f64(PRODUCERS as f64 / per_second as f64);
        let producers = (0..PRODUCERS).map(|_| async move {
            let mut ticks: Interval = interval(pace);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while let Some(alert) = plan.alerts.get(self.begun.fetch_add(1, Ordering::Relaxed)) {
                ticks.tick().await;
                self.see_through(alert).await.with_context(|| format!("publishing {}", alert.id))?;
            }
            Ok(())
        });
        futures_util::future::try_join_all(producers).await.map(drop)
    }

    async fn see_through(&self, alert: &Planned) -> anyhow::Result<()> {
        self.publish(&alert.body(1)).await?;
        if alert.twice {
            self.publish(&alert.body(1)).await?;
        }
        if alert.then != Then::Nothing {
            // So that each version is a change of its own: a second one that overtakes the first replaces it.
            self.recorded(alert).await?;
            self.publish(&alert.body(2)).await?;
        }
        Ok(())
    }

    /// The same alert again and again, until somebody has taken it.
    async fn publish(&self, body: &Value) -> anyhow::Result<()> {
        let url = format!("{}/v1/alerts", self.url);
        let status = until("an alert to be accepted", ACCEPT_DEADLINE, async || {
            let sent = self.http.post(&url).bearer_auth(&self.key).json(body).send().await;
            match sent.map(|answer| answer.status().as_u16()) {
                Ok(503) | Err(_) => {
                    self.repeated.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Ok(status) => Some(status),
            }
        })
        .await?;
        ensure!(status == 202, "answered {status}");
        Ok(())
    }

    async fn recorded(&self, alert: &Planned) -> anyhow::Result<()> {
        let url = format!("{}/v1/alerts/{}", self.url, alert.id);
        until("an alert to be recorded", ACCEPT_DEADLINE, async || {
            let answer = self.http.get(&url).bearer_auth(&self.key).send().await.ok()?;
            let shown: Value = answer.json().await.ok()?;
            (shown["recipients"].as_u64() == Some(alert.recipients.len() as u64)).then_some(())
        })
        .await
    }
}
