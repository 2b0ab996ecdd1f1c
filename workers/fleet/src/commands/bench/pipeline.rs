//! The durable floor: the durable work that no alert can do without, and nothing else.
//!
//! What is done for an alert: one message to a quorum queue, confirmed before the request is answered; one commit of four
//! rows (the alert, what its version said, the inbox row, the escalation) and the person's change number, for all
//! alerts that are there at that moment, in one statement over arrays; one live message; one frame to each session.
//! Nothing is checked, nobody is known beforehand, and one process does all of it.
//!
//! It uses lapin and sqlx by itself: a floor that shared the broker and the store of the fleet would share their cost.
//! Its queue is deleted and its tables are dropped when it ends in order. A run that was killed leaves them behind; their
//! names begin with `watchbell_bench_`.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use futures_util::{FutureExt as _, StreamExt as _, future::try_join_all};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};
use sqlx::{
    PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::floor_sessions::Sessions;

/// Batches that are committed at once, each by a consumer with a connection of its own.
const COMMITTERS: usize = 4;
/// Deliveries that a consumer may hold, and so the most that it commits at once.
const PREFETCH: u16 = 256;
/// How long a connection to the broker or the database may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Before the escalation is due, in milliseconds: long enough that it never is.
const DUE_AFTER_MS: i64 = 3_600_000;

/// One table for each row of the store that an alert cannot do without, with the indexes that its readers need.
const TABLES: [&str; 7] = [
    "CREATE TABLE users (user_id TEXT PRIMARY KEY, seq BIGINT NOT NULL)",
    "CREATE TABLE alerts (alert_id TEXT PRIMARY KEY, version BIGINT NOT NULL, content TEXT NOT NULL)",
    "CREATE TABLE versions (alert_id TEXT NOT NULL, version BIGINT NOT NULL, content TEXT NOT NULL, \
     PRIMARY KEY (alert_id, version))",
    "CREATE TABLE inbox (user_id TEXT NOT NULL, alert_id TEXT NOT NULL, seq BIGINT NOT NULL, version BIGINT NOT NULL, \
     state TEXT NOT NULL, recorded_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (user_id, alert_id))",
    "CREATE UNIQUE INDEX inbox_by_seq ON inbox (user_id, seq)",
    "CREATE TABLE escalations (user_id TEXT NOT NULL, alert_id TEXT NOT NULL, step BIGINT NOT NULL, \
     due_at_ms BIGINT NOT NULL, PRIMARY KEY (user_id, alert_id))",
    "CREATE INDEX escalations_by_time ON escalations (due_at_ms)",
];

/// Everything of a batch in one statement, and so in one commit and one round trip. The rows of one person get the numbers
/// after the one that the person has.
const COMMIT: &str = "
    WITH batch AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS t (alert_id, user_id, content, place)
    ), heads AS (
        INSERT INTO users AS u (user_id, seq) SELECT user_id, count(*) FROM batch GROUP BY user_id ORDER BY user_id
        ON CONFLICT (user_id) DO UPDATE SET seq = u.seq + excluded.seq
        RETURNING u.user_id, u.seq
    ), new_alerts AS (
        INSERT INTO alerts SELECT alert_id, 1, content FROM batch
    ), new_versions AS (
        INSERT INTO versions SELECT alert_id, 1, content FROM batch
    ), new_escalations AS (
        INSERT INTO escalations SELECT user_id, alert_id, 0, $4 FROM batch
    )
    INSERT INTO inbox
    SELECT user_id, alert_id,
           heads.seq - count(*) OVER (PARTITION BY user_id) + row_number() OVER (PARTITION BY user_id ORDER BY place),
           1, 'new', now()
    FROM batch JOIN heads USING (user_id)
    RETURNING alert_id, seq";

/// Where the durable floor keeps what it keeps: the fleet's own broker and database.
pub(super) struct Services {
    pub(super) broker_url: String,
    pub(super) store_url: String,
}

/// The durable way of an alert. Made by [`Pipeline::start`], ended by [`Pipeline::stop`].
pub(super) struct Pipeline {
    /// Queue, exchange and database schema: of this run alone.
    name: String,
    /// Kept open: its channels end with it.
    connection: Connection,
    publishing: Channel,
    pool: PgPool,
}

impl Pipeline {
    /// Makes the queue and the tables, and begins to consume. What consumes ends with `tasks`.
    pub(super) async fn start(
        services: &Services,
        sessions: Sessions,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let name = format!("watchbell_bench_{:08x}", rand::random::<u32>());
        let pool = tables(&services.store_url, &name).await.context("store.url")?;
        let connecting = Connection::connect(&services.broker_url, ConnectionProperties::default());
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await??;
        let publishing = connection.create_channel().await?;
        publishing.confirm_select(ConfirmSelectOptions::default()).await?;
        declare(&publishing, &name).await.context("broker.url")?;
        let pipeline = Self { name, connection, publishing, pool };
        for _ in 0..COMMITTERS {
            let (channel, consumer) = pipeline.consumer(false).await?;
            let (pool, name) = (pipeline.pool.clone(), pipeline.name.clone());
            tasks.spawn(until_stopped(stop.clone(), async move {
                commit_all(&channel, consumer, &pool, &name).await
            }));
        }
        let (_, consumer) = pipeline.consumer(true).await?;
        tasks.spawn(until_stopped(stop.clone(), deliver_all(consumer, sessions)));
        Ok(pipeline)
    }

    /// Publishes alerts, and returns when the broker has every one.
    pub(super) async fn publish(&self, alerts: &[Value]) -> anyhow::Result<()> {
        let publish = async |alert: &Value| {
            let (body, options) = (alert.to_string(), BasicPublishOptions::default());
            let persistent = BasicProperties::default().with_delivery_mode(2);
            let queue = self.name.as_str().into();
            let sent =
                self.publishing.basic_publish("".into(), queue, options, body.as_bytes(), persistent).await?;
            anyhow::Ok(sent.await?)
        };
        try_join_all(alerts.iter().map(publish)).await?;
        Ok(())
    }

    /// Deletes the queue and drops the tables.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.publishing.queue_delete(self.name.as_str().into(), QueueDeleteOptions::default()).await?;
        self.publishing.exchange_delete(self.name.as_str().into(), ExchangeDeleteOptions::default()).await?;
        self.connection.close(200, "done".into()).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!("DROP SCHEMA {} CASCADE", self.name)))
            .execute(&self.pool)
            .await?;
        self.pool.close().await;
        Ok(())
    }

    /// A consumer of the durable queue, or of a live one of its own.
    async fn consumer(&self, is_live: bool) -> anyhow::Result<(Channel, Consumer)> {
        let channel = self.connection.create_channel().await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        if !is_live {
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
            let queue = self.name.as_str().into();
            let consumer = channel.basic_consume(queue, "".into(), options, arguments).await?;
            return Ok((channel, consumer));
        }
        let own =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, FieldTable::default()).await?.name().clone();
        let (exchange, binding) = (self.name.as_str().into(), QueueBindOptions::default());
        channel.queue_bind(queue.clone(), exchange, "".into(), binding, FieldTable::default()).await?;
        let unacknowledged = BasicConsumeOptions { no_ack: true, ..options };
        let consumer = channel.basic_consume(queue, "".into(), unacknowledged, arguments).await?;
        Ok((channel, consumer))
    }
}

/// Ends with `stop`, whatever it is doing.
async fn until_stopped(
    stop: CancellationToken,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    stop.run_until_cancelled(work).await.unwrap_or(Ok(()))
}

async fn tables(store_url: &str, schema: &str) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = store_url.parse()?;
    let options = options.options([("search_path", schema)]);
    let pool = PgPoolOptions::new().max_connections(COMMITTERS as u32).acquire_timeout(CONNECT_TIMEOUT);
    let pool = pool.connect_with(options).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&pool).await?;
    for table in TABLES {
        sqlx::query(table).execute(&pool).await?;
    }
    Ok(pool)
}

async fn declare(channel: &Channel, name: &str) -> anyhow::Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), durable, arguments).await?;
    let (kind, options) = (ExchangeKind::Fanout, ExchangeDeclareOptions::default());
    channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await?;
    Ok(())
}

/// Commits what comes, batch by batch.
async fn commit_all(
    channel: &Channel,
    mut consumer: Consumer,
    pool: &PgPool,
    exchange: &str,
) -> anyhow::Result<()> {
    while let Some(first) = consumer.next().await {
        let mut batch = vec![first?];
        while let Some(Some(more)) = consumer.next().now_or_never() {
            batch.push(more?);
        }
        commit(channel, &batch, pool, exchange).await?;
    }
    Ok(())
}

/// One commit, the live messages, and one acknowledgement for all.
async fn commit(channel: &Channel, batch: &[Delivery], pool: &PgPool, exchange: &str) -> anyhow::Result<()> {
    let (mut ids, mut users, mut contents) = (Vec::new(), Vec::new(), Vec::new());
    let mut alerts = HashMap::with_capacity(batch.len());
    for delivery in batch {
        let alert: Value = serde_json::from_slice(&delivery.data)?;
        let (id, user) = (&alert["id"], &alert["to"]["users"][0]);
        let (id, user) =
            (id.as_str().context("id")?.to_owned(), user.as_str().context("to.users")?.to_owned());
        ids.push(id.clone());
        users.push(user.clone());
        contents.push(std::str::from_utf8(&delivery.data)?.to_owned());
        alerts.insert(id, (user, alert));
    }
    let due_at_ms = jiff::Timestamp::now().as_millisecond() + DUE_AFTER_MS;
    let commit = sqlx::query(COMMIT).bind(&ids).bind(&users).bind(&contents).bind(due_at_ms);
    for row in commit.fetch_all(pool).await? {
        let (id, seq): (String, i64) = (row.try_get("alert_id")?, row.try_get("seq")?);
        let (user, alert) = alerts.remove(&id).context("an alert that was not sent")?;
        let frame = json!({"type": "alert", "seq": seq, "alert": alert});
        let live = json!([user, frame.to_string()]).to_string();
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel.basic_publish(exchange.into(), "".into(), options, live.as_bytes(), properties).await?;
    }
    if let Some(last) = batch.last() {
        last.acker.ack(BasicAckOptions { multiple: true }).await?;
    }
    Ok(())
}

/// Hands what is live to the sessions.
async fn deliver_all(mut consumer: Consumer, sessions: Sessions) -> anyhow::Result<()> {
    while let Some(delivery) = consumer.next().await {
        let (user, frame): (String, String) = serde_json::from_slice(&delivery?.data)?;
        sessions.put(&user, &frame.into());
    }
    Ok(())
}
