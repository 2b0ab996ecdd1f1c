-- How many sessions each pod holds, so that pods can share them evenly. Null: a pod of an earlier version, which does
-- not say.
ALTER TABLE pods ADD COLUMN sessions BIGINT;
ALTER TABLE pods ADD COLUMN sessions_max BIGINT;
ALTER TABLE pods ADD COLUMN started_at_ms BIGINT;
-- When it said so: one that was killed says nothing any more, and its lease holds for a while.
ALTER TABLE pods ADD COLUMN told_at_ms BIGINT;
-- 1: it was told to leave.
ALTER TABLE pods ADD COLUMN leaving BIGINT NOT NULL DEFAULT 0;
