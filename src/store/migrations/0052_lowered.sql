-- Whether the device said that Google had lowered the priority of the push: 1 that it had, 0 that it had not. Null: it did not say.
ALTER TABLE attempts ADD COLUMN priority_lowered BIGINT;
