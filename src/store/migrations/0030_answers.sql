-- What a person answered to an alert, by one of its buttons: the first answer stays.
ALTER TABLE inbox ADD COLUMN answer_action TEXT;
ALTER TABLE inbox ADD COLUMN answer_title TEXT;
ALTER TABLE inbox ADD COLUMN answer_text TEXT;
ALTER TABLE inbox ADD COLUMN answered_at_ms BIGINT;

-- The same in what its producer is told.
ALTER TABLE outbox ADD COLUMN action TEXT;
ALTER TABLE outbox ADD COLUMN action_title TEXT;
ALTER TABLE outbox ADD COLUMN answer TEXT;
