-- A person can have a test sent to one of their devices.

-- The last test of a device: the attempt that providers know it by, how often one was called, when it was asked for, when somebody has
-- to look at it next (null: nobody), where it stands, what came of it as a word, and when it ended. Null: there was none.
ALTER TABLE devices ADD COLUMN test_attempt TEXT;
ALTER TABLE devices ADD COLUMN test_tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN test_asked_at_ms BIGINT;
ALTER TABLE devices ADD COLUMN test_due_at_ms BIGINT;
ALTER TABLE devices ADD COLUMN test_state TEXT;
ALTER TABLE devices ADD COLUMN test_outcome TEXT;
ALTER TABLE devices ADD COLUMN test_ended_at_ms BIGINT;
-- What is due; empty but for a moment.
CREATE INDEX devices_tests_due ON devices (test_due_at_ms) WHERE test_due_at_ms IS NOT NULL;

-- When the person last asked for one.
ALTER TABLE users ADD COLUMN device_test_asked_at_ms BIGINT;
