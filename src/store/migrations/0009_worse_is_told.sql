-- What a person was told, so that what is worse is told anew and what is not rings nobody twice. The defaults are for
-- what was recorded before: taken for told of something, and for less than it was, so that one is told once too often
-- rather than once too rarely. A version before this one writes the defaults, too.

-- How bad the alert was when the person last looked at it, since it last began to fire.
ALTER TABLE inbox ADD COLUMN looked TEXT;

-- The worst that was sent, since the alert last began to fire or the person last looked; and of that what earlier rounds
-- sent, and what a summary told.
ALTER TABLE escalations ADD COLUMN sent TEXT DEFAULT 'info';
ALTER TABLE escalations ADD COLUMN sent_before TEXT;
ALTER TABLE escalations ADD COLUMN summarized TEXT;
-- 1: this round has sent something, or tried to.
ALTER TABLE escalations ADD COLUMN begun BIGINT NOT NULL DEFAULT 1;

-- How bad the alert was that this attempt told of.
ALTER TABLE attempts ADD COLUMN severity TEXT;

-- The rules of the stored version, for whoever only an earlier version names: its policy, how long its first step waits
-- (null: it has none), how long when nobody is there, and when it expires.
ALTER TABLE alerts ADD COLUMN chased_under TEXT;
ALTER TABLE alerts ADD COLUMN first_wait_ms BIGINT;
ALTER TABLE alerts ADD COLUMN absent_wait_ms BIGINT;
ALTER TABLE alerts ADD COLUMN expires_at_ms BIGINT;
