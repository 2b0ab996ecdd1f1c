-- What comes back: alerts that a person put off, and alerts whose producer suppressed them until a time.

-- Until when a person put this alert off. Such a row has the state `dismissed` besides: a program that knows no snooze
-- keeps it off the screen and out of the badge, as it should be.
ALTER TABLE inbox ADD COLUMN snoozed_until_ms BIGINT;
-- What is snoozed, in the order of its time.
CREATE INDEX inbox_snoozed ON inbox (snoozed_until_ms) WHERE snoozed_until_ms IS NOT NULL;

-- One version of an alert opens another walk for a person with each snooze that ends: which of them, from 0.
ALTER TABLE escalations ADD COLUMN opening BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN opening BIGINT NOT NULL DEFAULT 0;

-- When a suppressed alert fires again by itself, and when it last did.
ALTER TABLE alerts ADD COLUMN returns_at_ms BIGINT;
ALTER TABLE alerts ADD COLUMN returned_at_ms BIGINT;
-- What is to fire again, in the order of its time.
CREATE INDEX alerts_returning ON alerts (returns_at_ms) WHERE returns_at_ms IS NOT NULL;
