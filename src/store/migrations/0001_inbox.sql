-- One schema for PostgreSQL and SQLite: only types and clauses both have. Times are milliseconds since 1970, UTC.

-- Facts about this store as a whole: `epoch` is part of every cursor, so a restored backup is noticed.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Producers. Only a hash of each key is kept.
CREATE TABLE api_keys (
    key_hash      TEXT PRIMARY KEY,
    tenant        TEXT NOT NULL,
    name          TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);

-- People, with the head of their inbox: `seq` is its change number (I3), `unread` its badge.
CREATE TABLE users (
    tenant              TEXT NOT NULL,
    user_id             TEXT NOT NULL,
    seq                 BIGINT NOT NULL,
    unread              BIGINT NOT NULL,
    email               TEXT,
    email_refused_at_ms BIGINT,
    locale              TEXT,
    created_at_ms       BIGINT NOT NULL,
    PRIMARY KEY (tenant, user_id)
);

CREATE TABLE group_members (
    tenant   TEXT NOT NULL,
    group_id TEXT NOT NULL,
    user_id  TEXT NOT NULL,
    PRIMARY KEY (tenant, group_id, user_id)
);

CREATE TABLE devices (
    tenant           TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    device_id        TEXT NOT NULL,
    service          TEXT NOT NULL,
    environment      TEXT NOT NULL,
    token            TEXT NOT NULL,
    -- SHA-256 of the token: PostgreSQL does not index a text as long as a token may be.
    token_hash       TEXT NOT NULL,
    registered_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, user_id, device_id)
);
CREATE UNIQUE INDEX devices_by_token ON devices (service, token_hash);

-- The latest version of each alert, as clients are given it. The store does not look inside `content`.
CREATE TABLE alerts (
    tenant         TEXT NOT NULL,
    alert_id       TEXT NOT NULL,
    version        BIGINT NOT NULL,
    content        TEXT NOT NULL,
    policy         TEXT,
    -- The page of a large audience that was recorded last, so that a crash goes on from there.
    reached        TEXT,
    recorded_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, alert_id)
);

-- The truth: one row an alert and recipient (I2), stamped with the change number of its last change (I3).
CREATE TABLE inbox (
    tenant          TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    alert_id        TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    version         BIGINT NOT NULL,
    state           TEXT NOT NULL,
    severity        TEXT NOT NULL,
    status          TEXT NOT NULL,
    recorded_at_ms  BIGINT NOT NULL,
    delivered_at_ms BIGINT,
    seen_at_ms      BIGINT,
    read_at_ms      BIGINT,
    dismissed_at_ms BIGINT,
    said_by         TEXT,
    PRIMARY KEY (tenant, user_id, alert_id)
);
CREATE INDEX inbox_by_seq ON inbox (tenant, user_id, seq);
CREATE INDEX inbox_by_alert ON inbox (tenant, alert_id, user_id);

-- Time: the walk of one alert for one user through its policy. `due_at_ms` is when somebody has to look at it
-- next, null when nobody has to. `claim` counts handings-out, `fence` counts holders: a zombie has an old one.
-- `ready_at_ms` is when it may be handed out: due, and no longer leased.
CREATE TABLE escalations (
    tenant          TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    alert_id        TEXT NOT NULL,
    round           BIGINT NOT NULL,
    policy          TEXT NOT NULL,
    step            BIGINT NOT NULL,
    step_due_at_ms  BIGINT NOT NULL,
    due_at_ms       BIGINT,
    leased_until_ms BIGINT NOT NULL,
    claim           BIGINT NOT NULL,
    fence           BIGINT NOT NULL,
    opened_at_ms    BIGINT NOT NULL,
    expires_at_ms   BIGINT NOT NULL,
    stopped         TEXT,
    pushed          BIGINT NOT NULL,
    ready_at_ms     BIGINT GENERATED ALWAYS AS
        (CASE WHEN leased_until_ms > due_at_ms THEN leased_until_ms ELSE due_at_ms END) STORED,
    PRIMARY KEY (tenant, user_id, alert_id)
);
CREATE INDEX escalations_ready ON escalations (ready_at_ms) WHERE ready_at_ms IS NOT NULL;

-- Written before the provider is called and answered after (I6).
CREATE TABLE attempts (
    attempt_id     TEXT PRIMARY KEY,
    tenant         TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    alert_id       TEXT NOT NULL,
    kind           TEXT NOT NULL,
    round          BIGINT NOT NULL,
    step           BIGINT NOT NULL,
    channel        TEXT NOT NULL,
    device_id      TEXT,
    state          TEXT NOT NULL,
    tries          BIGINT NOT NULL,
    next_try_at_ms BIGINT,
    maybe_shown    BIGINT NOT NULL,
    reason         TEXT,
    created_at_ms  BIGINT NOT NULL,
    answered_at_ms BIGINT
);
CREATE INDEX attempts_by_alert ON attempts (tenant, alert_id, user_id);

-- What the rows above do not show by themselves: skipped steps, dropped tokens, stops. For `explain`.
CREATE TABLE notes (
    tenant   TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    user_id  TEXT NOT NULL,
    at_ms    BIGINT NOT NULL,
    what     TEXT NOT NULL
);
CREATE INDEX notes_by_alert ON notes (tenant, alert_id, user_id);
