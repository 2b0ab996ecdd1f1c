-- Whoever has an alert may give it back by passing it on: then it is anybody's again, and everybody is shown that and told again.
ALTER TABLE group_receipts ADD COLUMN releases BIGINT NOT NULL DEFAULT 0;
