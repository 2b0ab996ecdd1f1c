-- A row of `api_keys` is one secret. A key that is rotated has two for a while, which share the rest.
--
-- Which key the secret is of; alerts remember it as their maker. Null: the beginning of this secret's own hash, as alerts
-- have remembered it since migration 11.
ALTER TABLE api_keys ADD COLUMN key_id TEXT;
-- What it may be used for, with commas between the words. Null: made before there were scopes, or by a program that does not
-- know them; then everything that such a key could do.
ALTER TABLE api_keys ADD COLUMN scopes TEXT;
-- When the key ends by itself.
ALTER TABLE api_keys ADD COLUMN expires_at_ms BIGINT;
-- When this secret ends because the key was given another one.
ALTER TABLE api_keys ADD COLUMN replaced_at_ms BIGINT;
-- When it was last used, to the minute.
ALTER TABLE api_keys ADD COLUMN last_used_at_ms BIGINT;
