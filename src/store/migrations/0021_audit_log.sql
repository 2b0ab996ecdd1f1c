-- Who changed what. An entry is written in the commit of its change, is never changed, and ends by its age.
CREATE TABLE audit_log (
    entry_id TEXT PRIMARY KEY,
    -- Empty: it concerns the whole installation.
    tenant   TEXT NOT NULL,
    at_ms    BIGINT NOT NULL,
    -- `key:ID`, `cli:NAME`, `user:NAME` or `system`.
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    -- `user:NAME`, `group:NAME`, `key:ID`, …: see `domain/audit.rs`.
    object   TEXT NOT NULL,
    -- What came of it, in a few words.
    outcome  TEXT NOT NULL
);
-- All of it, newest first; and the oldest, which are deleted.
CREATE INDEX audit_by_time ON audit_log (at_ms, entry_id);
-- One tenant's, newest first.
CREATE INDEX audit_of_tenant ON audit_log (tenant, at_ms, entry_id);
-- What was done to one person, when they are erased.
CREATE INDEX audit_of_object ON audit_log (tenant, object);
