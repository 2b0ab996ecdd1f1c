-- A token belongs to one device of a tenant: the same phone may be signed in to two tenants. `devices_by_token` is unique by
-- service and `token_hash`, and the hash names its tenant from here on. So pods of the version before go on registering:
-- what they write has no tenant in it yet, and is replaced when its phone registers again.
UPDATE devices SET token_hash = tenant || ':' || token_hash;

-- When the token was issued by which somebody registered the device, in seconds; null where it did not say, as for all
-- devices from before. A device ends with the sessions that it was registered in.
ALTER TABLE devices ADD COLUMN issued_at_s BIGINT;

-- When the devices of a person were last taken out together with their sessions, and how many those were.
ALTER TABLE users ADD COLUMN devices_ended_at_ms BIGINT;
ALTER TABLE users ADD COLUMN devices_ended BIGINT;
