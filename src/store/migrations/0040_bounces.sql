-- Why an address takes no messages any more, and how often mail to it came back lately without saying that it never will.
ALTER TABLE addresses ADD COLUMN refused_because TEXT;
ALTER TABLE addresses ADD COLUMN soft_bounces BIGINT NOT NULL DEFAULT 0;
-- When the first of those came back.
ALTER TABLE addresses ADD COLUMN soft_since_ms BIGINT;
