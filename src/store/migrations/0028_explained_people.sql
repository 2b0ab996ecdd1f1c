-- What became of a person's alerts is told without the id of one.

-- When the alert last came to this person while it was firing: with its first version, with a later one, or back from a snooze.
-- Null: a program of the version before wrote the row; then `recorded_at_ms` says it.
ALTER TABLE inbox ADD COLUMN came_at_ms BIGINT;
-- The alerts of one person, newest first. The condition names the index: nothing else can use it (migration 6 says why).
CREATE INDEX inbox_by_arrival ON inbox (tenant, (user_id || ''), (coalesce(came_at_ms, recorded_at_ms)), alert_id)
    WHERE recorded_at_ms > 0;

-- Whom the alert was for besides those it named: groups and everyone, as JSON. Null: nobody, or it is not known.
ALTER TABLE alerts ADD COLUMN audience TEXT;
-- Such alerts of a tenant, newest first.
CREATE INDEX alerts_for_many ON alerts (tenant, (coalesce(latest_at_ms, recorded_at_ms)), alert_id)
    WHERE audience IS NOT NULL AND deleted_at_ms IS NULL;
