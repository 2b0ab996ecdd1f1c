-- Alerts whose policy wants one of their recipients to take them on, and what people say for the others.

-- 1: the first who acknowledges it has it (`taken_by`), and `taken_at_ms` says since when. It is set for that and for nothing
-- else: who merely looked at an alert with `first_stops_all` has none.
ALTER TABLE alerts ADD COLUMN first_acknowledges BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN taken_at_ms BIGINT;

-- The version that the person passed on last, so that they pass it on once.
ALTER TABLE inbox ADD COLUMN passed_on_version BIGINT;

-- What one recipient said that changes something for the others, until all of those were gone through: they are many, perhaps,
-- and whoever said it does not wait for that. `said` is acknowledged or passed_on; `after_user_id` is the last who was gone
-- through, in the order of their names.
CREATE TABLE group_receipts (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    said TEXT NOT NULL,
    version BIGINT NOT NULL,
    ready_at_ms BIGINT NOT NULL,
    after_user_id TEXT NOT NULL,
    PRIMARY KEY (tenant, user_id, alert_id, said, version)
);
CREATE INDEX group_receipts_ready ON group_receipts (ready_at_ms);
