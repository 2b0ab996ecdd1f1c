-- What each alert's versions said, so that a publication that says something else under the same id and version is
-- noticed: see `domain/publication.rs`. Null: recorded by an earlier version of this program, which can be read from
-- `content`.
ALTER TABLE alerts ADD COLUMN said TEXT;
-- Which API key made the alert. Null: none that is known; it came over AMQP, or before this migration.
ALTER TABLE alerts ADD COLUMN maker TEXT;
-- 1: the key may change only what it made.
ALTER TABLE api_keys ADD COLUMN own_alerts BIGINT NOT NULL DEFAULT 0;

-- 1: a producer named them, and nothing else is known of them. 0 is the default, because programs of the version before
-- do not know the column: whom they add counts as known, as it always did.
ALTER TABLE users ADD COLUMN named_only BIGINT NOT NULL DEFAULT 0;
-- Of the people there are, those who began with an alert and have shown no sign since.
UPDATE users SET named_only = 1
WHERE email IS NULL AND locale IS NULL AND preferences IS NULL AND sessions_revoked_at_ms IS NULL
    AND EXISTS (SELECT 1 FROM inbox i WHERE i.tenant = users.tenant AND i.user_id = users.user_id
        AND i.recorded_at_ms = users.created_at_ms)
    AND NOT EXISTS (SELECT 1 FROM inbox i WHERE i.tenant = users.tenant AND i.user_id = users.user_id
        AND coalesce(i.delivered_at_ms, i.seen_at_ms, i.read_at_ms, i.dismissed_at_ms) IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.tenant = users.tenant AND d.user_id = users.user_id)
    AND NOT EXISTS (SELECT 1 FROM presence p WHERE p.tenant = users.tenant AND p.user_id = users.user_id)
    AND (tenant, user_id) NOT IN (SELECT tenant, user_id FROM group_members);
-- Members of groups are people who are there, though nobody ever registered them.
INSERT INTO users (tenant, user_id, seq, unread, created_at_ms)
SELECT DISTINCT tenant, user_id, 0, 0, 0 FROM group_members WHERE true
ON CONFLICT (tenant, user_id) DO NOTHING;

-- Everyone, page by page. `user_id || ''` and `named_only < 1` are said by that statement alone: see migration 6.
CREATE INDEX users_everyone ON users (tenant, (user_id || '')) WHERE named_only < 1;
