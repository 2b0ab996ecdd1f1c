-- What became of alerts, on its way to producers. Written in the commit that makes it so, deleted once it was told: the
-- table holds what is under way and no history. Nothing is written while nobody wants to hear of it.
CREATE TABLE outbox (
    -- `queue`, or `webhook:TENANT`.
    route       TEXT NOT NULL,
    -- From when it may be told: when it happened, and later after a try that failed. Those that wait longest come first.
    ready_at_ms BIGINT NOT NULL,
    -- Follows from what it tells, so that it is the same when the same is told twice.
    outcome_id  TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    alert_id    TEXT NOT NULL,
    version     BIGINT NOT NULL,
    outcome     TEXT NOT NULL,
    channel     TEXT,
    reason      TEXT,
    attempt_id  TEXT,
    -- Who acknowledged it: `user:NAME`, `key:ID` or `amqp`.
    by_whom     TEXT,
    -- Until when it is snoozed.
    until_ms    BIGINT,
    at_ms       BIGINT NOT NULL,
    -- How often telling it has failed.
    tries       BIGINT NOT NULL,
    PRIMARY KEY (route, ready_at_ms, outcome_id)
);

-- Who published the version that acknowledged an alert, if its current version does. Everybody who has the alert is told
-- of it, and those of a large audience later than the first.
ALTER TABLE alerts ADD COLUMN acknowledged_by TEXT;

-- Who tells what of one route, and until when nobody else does. Also how long a route rests whose other end does not
-- answer: then it is held by nobody.
CREATE TABLE outbox_routes (
    route           TEXT PRIMARY KEY,
    holder          TEXT NOT NULL,
    leased_until_ms BIGINT NOT NULL
);
