-- People and alerts can be listed, and a backend says what holds for a person who has not said it.

-- The time zone of a person, by its IANA name, and their preferences (JSON), as their backend knows them. What the person
-- says (`preferences`) comes first, field by field.
ALTER TABLE users ADD COLUMN time_zone TEXT;
ALTER TABLE users ADD COLUMN preference_defaults TEXT;

-- The alerts of a tenant, newest first. The condition names the index: nothing else can use it.
CREATE INDEX alerts_in_order ON alerts (tenant, recorded_at_ms, alert_id)
    WHERE recorded_at_ms > 0 AND deleted_at_ms IS NULL;

-- In the order in which an export reads them.
DROP INDEX alerts_taken;
CREATE INDEX alerts_taken ON alerts (tenant, taken_by, alert_id) WHERE taken_by IS NOT NULL;
DROP INDEX outbox_of_person;
CREATE INDEX outbox_of_person ON outbox (tenant, (user_id || ''), outcome_id, route) WHERE user_id || '' > '';
DROP INDEX audit_of_object;
CREATE INDEX audit_of_object ON audit_log (tenant, object, entry_id);
