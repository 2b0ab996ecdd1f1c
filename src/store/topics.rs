//! The last events of each topic.
//!
//! They stand in the order in which they happened, so a late one does not pass for the latest state. An event of
//! the future happened when it came: a wrong clock must not hold a place for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Failure, Store, StoreError, Tx, int,
    row_batch::{Batch, Statement, batch_row},
    text,
};
use crate::domain::{Event, EventId, Timestamp, TopicKey};

/// An event to be kept.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What decides.
    pub event: Arc<Event>,
    /// What subscribers are given, encoded.
    pub content: Arc<str>,
}

/// Topics that one sweep forgets at the most, so that it holds nobody up.
pub const SWEEP_TOPICS_MAX: i64 = 100;
/// Bytes of one topic's events that are kept, however many `keep` allows; the newest event is kept whatever its size.
pub const TOPIC_BYTES_MAX: usize = 1024 * 1024;

/// The newest event of a topic says how many are kept, and all of them together have a bound in bytes. The length of a
/// text is known to both engines without reading it.
static TRIM: Statement<TopicRow<'_>> = Statement::new(
    "DELETE FROM topic_events WHERE (tenant, topic, event_id) IN (
    SELECT tenant, topic, event_id FROM (
        SELECT e.tenant, e.topic, e.event_id, row_number() OVER newest_first AS place,
            first_value(e.keep) OVER newest_first AS keep_max,
            sum(octet_length(e.content)) OVER newest_first AS bytes
        FROM {batch} JOIN topic_events e USING (tenant, topic)
        WINDOW newest_first AS (PARTITION BY e.tenant, e.topic ORDER BY e.at_us DESC, e.recorded_us DESC, e.event_id DESC)
    ) AS ranked WHERE place > keep_max OR (bytes > $1 AND place > 1))",
);

batch_row! {
    struct TopicRow<'a> {
        tenant: &'a str,
        topic: &'a str,
    }
}

batch_row! {
    struct EventValues<'a> {
        tenant: &'a str,
        topic: &'a str,
        event_id: &'a str,
        keep: u32,
        content: &'a str,
        at_us: i64,
        recorded_us: i64,
    }
}

impl Store {
    /// Keeps these events, and of each of their topics no more than its newest event says and [`TOPIC_BYTES_MAX`] holds.
    /// An event that is there already stays as it is. Those with `keep` 0 are passed over.
    ///
    /// # Errors
    /// [`StoreError`]; none of them was kept, or nobody knows: record them again.
    pub async fn record_events(&self, batch: &[NewEvent], now: Timestamp) -> Result<(), StoreError> {
        if batch.iter().all(|new| new.event.keep == 0) {
            return Ok(());
        }
        writing!(self, "record_events", |tx| {
            tx.is_batch_of(batch.len());
            self.record_events_in(tx, batch, now).await
        })
        .await
    }

    async fn record_events_in(&self, tx: &mut Tx, batch: &[NewEvent], now: Timestamp) -> Result<(), Failure> {
        static INSERT: Statement<EventValues<'_>> = Statement::new(
            "INSERT INTO topic_events ({columns}) SELECT {columns} FROM {batch} WHERE true
             ON CONFLICT (tenant, topic, event_id) DO NOTHING",
        );
        let now_us = now.as_microsecond();
        // Each event once, in one order everywhere, so that no two transactions wait for each other.
        let mut events: BTreeMap<(&TopicKey, &EventId), EventValues<'_>> = BTreeMap::new();
        let mut topics: BTreeSet<&TopicKey> = BTreeSet::new();
        for (recorded_us, new) in (now_us..).zip(batch).filter(|(_, new)| new.event.keep > 0) {
            let Event { key, id, keep, occurred_at, .. } = &*new.event;
            topics.insert(key);
            events.entry((key, id)).or_insert_with(|| EventValues {
                tenant: key.tenant.as_str(),
                topic: key.topic.as_str(),
                event_id: id.as_str(),
                keep: u32::from(*keep),
                content: &new.content,
                at_us: occurred_at.as_microsecond().min(now_us),
                recorded_us,
            });
        }
        INSERT.over(&Batch::of(self.engine, events.into_values())?).execute(&mut **tx).await?;
        let topics =
            topics.into_iter().map(|key| TopicRow { tenant: key.tenant.as_str(), topic: key.topic.as_str() });
        TRIM.over(&Batch::of(self.engine, topics)?).bind(TOPIC_BYTES_MAX as i64).execute(&mut **tx).await?;
        Ok(())
    }

    /// Forgets the kept events of topics that nobody has published to since `before`, at most [`SWEEP_TOPICS_MAX`]
    /// topics at a time; answers how many events those were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_topics(&self, before: Timestamp) -> Result<u64, StoreError> {
        writing!(self, "sweep_topics", |tx| {
            let swept = sqlx::query(
                "DELETE FROM topic_events WHERE (tenant, topic) IN (
                    SELECT tenant, topic FROM topic_events GROUP BY tenant, topic
                    HAVING max(recorded_us) < $1 LIMIT $2)",
            )
            .bind(before.as_microsecond())
            .bind(SWEEP_TOPICS_MAX)
            .execute(&mut **tx)
            .await?;
            Ok(swept.rows_affected())
        })
        .await
    }

    /// The last kept events of a topic, oldest first, each as its subscribers are given it: at most `limit`, and of those
    /// the newest that have `bytes_max` together, but at least one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn topic_events(
        &self,
        key: &TopicKey,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Arc<str>>, StoreError> {
        self.in_time("topic_events", async {
            let store = self;
            let rows = sqlx::query(
                "SELECT keep, content FROM (
                     SELECT keep, content, row_number() OVER newest_first AS place,
                         sum(octet_length(content)) OVER newest_first AS bytes
                     FROM (
                         SELECT keep, content, at_us, recorded_us, event_id FROM topic_events
                         WHERE tenant = $1 AND topic = $2 AND recorded_us > 0
                         ORDER BY at_us DESC, recorded_us DESC, event_id DESC LIMIT $3
                     ) AS newest
                     WINDOW newest_first AS (ORDER BY at_us DESC, recorded_us DESC, event_id DESC)
                 ) AS measured
                 WHERE bytes <= $4 OR place = 1 ORDER BY place",
            )
            .bind(key.tenant.as_str())
            .bind(key.topic.as_str())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(bytes_max).unwrap_or(i64::MAX))
            .fetch_all(&store.read)
            .await?;
            // Two writers at once do not see each other's events and may leave one too many until the next.
            let keep = rows.first().map(|newest| int(newest, "keep")).transpose()?.unwrap_or_default();
            let kept = rows.iter().take(usize::try_from(keep).unwrap_or_default()).rev();
            kept.map(|row| Ok(text(row, "content")?.into())).collect()
        })
        .await
    }
}
