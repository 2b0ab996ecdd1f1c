-- The last events of each topic, for whoever subscribes later. Times are microseconds here, because events come
-- thick: `at_us` is when it happened (never after it came), `recorded_us` when it came, one apart within a batch.
CREATE TABLE topic_events (
    tenant      TEXT NOT NULL,
    topic       TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    -- How many of its topic are kept once it is the last one.
    keep        BIGINT NOT NULL,
    content     TEXT NOT NULL,
    at_us       BIGINT NOT NULL,
    recorded_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, topic, event_id)
);
CREATE INDEX topic_events_by_time ON topic_events (tenant, topic, at_us, recorded_us);

-- Tokens issued up to then let nobody in as this user any more.
ALTER TABLE users ADD COLUMN sessions_revoked_at_ms BIGINT;
