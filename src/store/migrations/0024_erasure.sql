-- A person can be erased: every row about them is found by their name.
--
-- `user_id || ''` and the condition name these indexes (migration 6 says why): no other statement can use them, not even for
-- the tenant alone.
-- The tenant as well, because SQLite takes the table's own key for enough.
CREATE INDEX groups_of_person ON group_members ((tenant || ''), (user_id || ''), group_id);
CREATE INDEX attempts_of_person ON attempts (tenant, (user_id || ''), attempt_id) WHERE user_id || '' > '';
CREATE INDEX notes_of_person ON notes (tenant, (user_id || ''), at_ms) WHERE user_id || '' > '';
CREATE INDEX outbox_of_person ON outbox (tenant, (user_id || ''), outcome_id) WHERE user_id || '' > '';
-- Alerts that somebody took on for all.
CREATE INDEX alerts_taken ON alerts (tenant, taken_by) WHERE taken_by IS NOT NULL;

-- The sessions of people who were erased: tokens issued up to a time let nobody in any more, until it is forgotten. Nobody is
-- named here: `user_hash` is made with a key of this store (`pseudonym_key` in `meta`).
CREATE TABLE erased_sessions (
    tenant          TEXT NOT NULL,
    user_hash       TEXT NOT NULL,
    issued_until_ms BIGINT NOT NULL,
    forget_at_ms    BIGINT NOT NULL,
    PRIMARY KEY (tenant, user_hash)
);
CREATE INDEX erased_sessions_by_age ON erased_sessions (forget_at_ms);
