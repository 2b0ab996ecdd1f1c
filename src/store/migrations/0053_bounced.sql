-- The gravest report of a mail that was counted: 1 that it came back for a while or because of us, 2 for good, 3 that it was called spam. Null: none,
-- or one of before this was noted.
ALTER TABLE attempts ADD COLUMN bounced BIGINT;
