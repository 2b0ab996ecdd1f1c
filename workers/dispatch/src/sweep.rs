//! What nobody will ask for again: kept events of topics that nobody publishes to any more.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watchbell::store::StoreError;

use crate::Dispatch;

/// How often to look.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

impl Dispatch {
    /// Looks at start and then every [`SWEEP_EVERY`]. Several that do so at once take nothing from each other.
    pub(crate) async fn sweep(&self, shutdown: &CancellationToken) {
        let work = async {
            loop {
                match self.sweep_once(self.clock.now()).await {
                    Ok(0) => {}
                    Ok(events) => {
                        info!(events, "Forgot {events} kept events of topics that nobody publishes to");
                    }
                    // The next look finds the same. Readiness tells of a store that is away.
                    Err(error) if error.is_unavailable() => {}
                    Err(error) => warn!(%error, "Kept events could not be swept"),
                }
                sleep(SWEEP_EVERY).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    }

    /// Step by bounded step until nothing is left; answers how many events were forgotten.
    pub(crate) async fn sweep_once(&self, now: Timestamp) -> Result<u64, StoreError> {
        let before = now.checked_sub(self.config.topics_kept).unwrap_or(Timestamp::MIN);
        let mut all = 0;
        loop {
            match self.store.sweep_topics(before).await? {
                0 => break Ok(all),
                events => {
                    metrics::counter!("watchbell_dispatch_swept_events_total").increment(events);
                    all += events;
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use watchbell::{
        broker::embedded::EmbeddedBroker,
        domain::policy::Policies,
        runtime::Clock,
        store::{NewEvent, Store, StoreConfig},
        wire::{event::EventDefaults, event_content_of, parse_event},
    };

    use super::*;

    #[tokio::test]
    async fn a_topic_is_forgotten_once_nobody_has_published_to_it_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let url = Store::sqlite_url(&dir.path().join("store.db"));
        let store = Store::open(&StoreConfig { url, connections_max: 1 }).unwrap();
        store.migrate().await.unwrap();
        let dispatch = Dispatch {
            broker: EmbeddedBroker::open(None).unwrap(),
            store: store.clone(),
            policies: Arc::new(Policies::with_defaults([].into())),
            producers: Arc::default(),
            clock: Clock::system(),
            config: crate::DispatchConfig::default(),
            memory: watchbell::runtime::MemoryBudgets::default(),
        };
        let day = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        let json = json!({"tenant": "acme", "topic": "t", "id": "e", "type": "t", "keep": 1}).to_string();
        let nothing = EventDefaults { tenant: None, topic: None, id: None, now: day(1) };
        let event = parse_event(json.as_bytes(), &nothing).unwrap();
        let new = NewEvent { content: event_content_of(&event).into(), event: Arc::new(event) };
        store.record_events(&[new], day(1)).await.unwrap();
        for (why, now, expected) in
            [("not yet", day(31), 0), ("now", day(32), 1), ("and only once", day(32), 0)]
        {
            assert_eq!(dispatch.sweep_once(now).await.unwrap(), expected, "{why}");
        }
    }
}
