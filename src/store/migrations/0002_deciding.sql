-- What escalation decides on besides time: who is there, what people want, and what they got lately.

-- What the person wants, as JSON that the store does not look into; null is everything, always.
ALTER TABLE users ADD COLUMN preferences TEXT;

-- One group rule: whoever sees the alert first has it, from that version on.
ALTER TABLE alerts ADD COLUMN first_stops_all BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN taken_by TEXT;
ALTER TABLE alerts ADD COLUMN taken_version BIGINT;

-- Why a walk that is due waits all the same, and how it goes on when a summary has told of it: how long to wait for
-- the next step (null: there is none), whether it may break a silence, the summary's round that counts it.
ALTER TABLE escalations ADD COLUMN held TEXT;
ALTER TABLE escalations ADD COLUMN held_after_ms BIGINT;
ALTER TABLE escalations ADD COLUMN held_mandatory BIGINT NOT NULL DEFAULT 0;
ALTER TABLE escalations ADD COLUMN bundled_round BIGINT NOT NULL DEFAULT 0;
-- The round of the summary that told of it, by channel; 0 when none did.
ALTER TABLE escalations ADD COLUMN told_push BIGINT NOT NULL DEFAULT 0;
ALTER TABLE escalations ADD COLUMN told_email BIGINT NOT NULL DEFAULT 0;
-- 1: nobody was there when it began, so the first wait was skipped.
ALTER TABLE escalations ADD COLUMN absent BIGINT NOT NULL DEFAULT 0;
CREATE INDEX escalations_held ON escalations (tenant, user_id, held) WHERE held IS NOT NULL;
-- Empty, or the auditor alarms: an open walk that nobody will ever look at.
CREATE INDEX escalations_lost ON escalations (opened_at_ms) WHERE stopped IS NULL AND due_at_ms IS NULL;
-- Until now a walk that had used every channel was not told from a lost one.
UPDATE escalations SET stopped = 'exhausted' WHERE stopped IS NULL AND due_at_ms IS NULL;

-- What one person got by one channel lately.
CREATE TABLE lately (
    tenant          TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    channel         TEXT NOT NULL,
    window_began_ms BIGINT,
    sent            BIGINT NOT NULL,
    hour_began_ms   BIGINT,
    sent_in_hour    BIGINT NOT NULL,
    PRIMARY KEY (tenant, user_id, channel)
);

-- Who has a session, and on which pod. A row counts while its pod renews its lease, so a pod may vanish.
CREATE TABLE pods (
    pod             TEXT PRIMARY KEY,
    leased_until_ms BIGINT NOT NULL
);
CREATE TABLE presence (
    tenant  TEXT NOT NULL,
    user_id TEXT NOT NULL,
    pod     TEXT NOT NULL,
    PRIMARY KEY (tenant, user_id, pod)
);
CREATE INDEX presence_by_pod ON presence (pod);
