-- When the device of a push said that it has it. Null: it did not, which proves nothing.
ALTER TABLE attempts ADD COLUMN reached_at_ms BIGINT;
