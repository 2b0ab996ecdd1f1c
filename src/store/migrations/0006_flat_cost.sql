-- What an alert costs does not depend on what is behind it, nor on whether the database has statistics (I15).
--
-- A planner that has none takes the first columns of any index for as good as all columns of the right one, and then
-- reads a person's whole inbox for each new row of it. So each index here answers one kind of question and can be used for
-- no other: `user_id || ''` is the same as `user_id`, but only a statement that writes it so may use the index, and such a
-- statement cannot use the primary key, which begins with the plain column. And an index that could be taken for its first
-- columns alone is made for a part of the table, which is all of it: only who says `seq > 0` may use it.
--
-- The new ones come first and the old ones go last, so that readers wait only for the end of the migration; writers wait
-- for all of it.

-- Everything of a person that changed after a number; never one row by its alert.
CREATE INDEX inbox_by_change ON inbox (tenant, (user_id || ''), seq) WHERE seq > 0;
-- What a person's screens are waited for: looked at when their last session closes. It is `stopped IS NULL AND step = 0
-- AND held IS NULL`, said so that a planner without statistics takes each for a third of the rows, not for one in 200:
-- for so few it would read all of them in place of one person's.
CREATE INDEX escalations_first_wait ON escalations (tenant, (user_id || ''))
    WHERE coalesce(stopped, '') <= '' AND step <= 0 AND coalesce(held, '') <= '';
-- What waits for a person's next summary, or for the end of their silence.
CREATE INDEX escalations_waiting ON escalations (tenant, (user_id || ''), held) WHERE held IS NOT NULL;
-- What a summary told a person of, by its round.
CREATE INDEX escalations_told_push ON escalations (tenant, (user_id || ''), told_push) WHERE told_push > 0;
CREATE INDEX escalations_told_email ON escalations (tenant, (user_id || ''), told_email) WHERE told_email > 0;
-- The oldest of a service; never one device by its token.
CREATE INDEX devices_by_registration ON devices (service, registered_at_ms) WHERE registered_at_ms > 0;
-- The people of a dead pod; never one of them.
CREATE INDEX presence_of_pod ON presence (pod) WHERE user_id <> '';
-- The last events of a topic; never one by its id.
CREATE INDEX topic_events_in_order ON topic_events (tenant, topic, at_us, recorded_us) WHERE recorded_us > 0;

DROP INDEX inbox_by_seq;
DROP INDEX escalations_held;
DROP INDEX devices_by_age;
DROP INDEX presence_by_pod;
DROP INDEX topic_events_by_time;
