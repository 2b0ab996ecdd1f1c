-- What is deleted in time, and what is remembered of it so that it does not come back.

-- The change number under which something was last deleted from this inbox; 0: nothing ever was. Whoever knows the inbox up to
-- a lower number may show what is gone, or may have missed what went, and fetches it anew.
ALTER TABLE users ADD COLUMN deleted_to BIGINT NOT NULL DEFAULT 0;
-- What was deleted was shown in a version that came no later than this. A version from then on or before that is published
-- once more does not come back.
ALTER TABLE users ADD COLUMN deleted_before_ms BIGINT NOT NULL DEFAULT 0;
-- `seq` less this is how many rows the inbox has at the most: a change of a row that is there takes a number, too. Counted anew
-- only where it matters, so nothing is written for it while alerts are recorded.
ALTER TABLE users ADD COLUMN vacant BIGINT NOT NULL DEFAULT 0;

-- When the version that is shown arrived. Null: it is the first one, see `recorded_at_ms`.
ALTER TABLE alerts ADD COLUMN latest_at_ms BIGINT;
UPDATE alerts SET latest_at_ms = latest.at_ms
FROM (SELECT tenant, alert_id, max(recorded_at_ms) AS at_ms FROM versions GROUP BY tenant, alert_id) AS latest
WHERE alerts.tenant = latest.tenant AND alerts.alert_id = latest.alert_id;
-- When the alert was deleted. Such a row has no text any more: it knows the version and what was said by its fingerprint, so
-- that what is delivered late does not begin anew, and it goes after a while.
ALTER TABLE alerts ADD COLUMN deleted_at_ms BIGINT;

-- What is oldest, tenant by tenant. Each index is for statements that say its condition; see migration 6.
CREATE INDEX alerts_by_age ON alerts (tenant, (coalesce(latest_at_ms, recorded_at_ms)), alert_id) WHERE deleted_at_ms IS NULL;
CREATE INDEX alerts_deleted ON alerts (deleted_at_ms) WHERE deleted_at_ms IS NOT NULL;
CREATE INDEX attempts_by_age ON attempts (tenant, created_at_ms) WHERE created_at_ms > 0;
CREATE INDEX notes_by_age ON notes (tenant, at_ms) WHERE at_ms > 0;
CREATE INDEX versions_by_age ON versions (tenant, recorded_at_ms) WHERE recorded_at_ms > 0;

-- What one process does for all of them from time to time: who is at it, until when nobody else is, and when it is next due.
CREATE TABLE sweeps (
    name            TEXT PRIMARY KEY,
    holder          TEXT NOT NULL,
    leased_until_ms BIGINT NOT NULL,
    next_at_ms      BIGINT NOT NULL
);
