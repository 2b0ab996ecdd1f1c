-- Channels are rows, not columns.
--
-- Pods of the version before run on meanwhile, so what they read and write stays: `escalations.told_push` and `told_email`
-- with their indexes, which this version neither reads nor writes, and `users.email` with its refusal, which this version
-- writes as well, and reads where an older pod has changed it. They go in a release after this one.

-- Which walks a summary told of, by channel. It counts for the walk that was opened then: one that was
-- opened again was not told of.
CREATE TABLE told (
    tenant        TEXT NOT NULL,
    user_id       TEXT NOT NULL,
    alert_id      TEXT NOT NULL,
    channel       TEXT NOT NULL,
    opened_at_ms  BIGINT NOT NULL,
    -- The round of the summary that told of it.
    summary_round BIGINT NOT NULL,
    PRIMARY KEY (tenant, user_id, alert_id, channel)
);
INSERT INTO told (tenant, user_id, alert_id, channel, opened_at_ms, summary_round)
    SELECT tenant, user_id, alert_id, 'push', opened_at_ms, told_push FROM escalations WHERE told_push > 0;
INSERT INTO told (tenant, user_id, alert_id, channel, opened_at_ms, summary_round)
    SELECT tenant, user_id, alert_id, 'email', opened_at_ms, told_email FROM escalations WHERE told_email > 0;
-- What a summary told a person of, by its round; never one walk (migration 6 says why it is written so).
CREATE INDEX told_in_summary ON told (tenant, (user_id || ''), channel, summary_round) WHERE summary_round > 0;

-- What the provider calls a message: where one is replaced or taken away by that.
ALTER TABLE attempts ADD COLUMN message_id TEXT;

-- Where a person can be written to by the channels that go to an address.
CREATE TABLE addresses (
    tenant           TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    channel          TEXT NOT NULL,
    address          TEXT NOT NULL,
    -- When it refused messages for good; nothing is sent to it until it is registered anew.
    refused_at_ms    BIGINT,
    registered_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, user_id, channel)
);
INSERT INTO addresses (tenant, user_id, channel, address, refused_at_ms, registered_at_ms)
    SELECT tenant, user_id, 'email', email, email_refused_at_ms, created_at_ms FROM users WHERE email IS NOT NULL;
