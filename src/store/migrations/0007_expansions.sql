-- What is left of large audiences: one row while there are people whom an alert has not reached yet. Whoever takes a turn
-- records the next page and the new place in one commit. `alerts.reached` did this before and is written no more.
CREATE TABLE expansions (
    tenant       TEXT NOT NULL,
    alert_id     TEXT NOT NULL,
    version      BIGINT NOT NULL,
    -- SHA-256 of whom the alert is for: a place in one audience means nothing in another.
    audience     TEXT NOT NULL,
    -- The alert as it was published, with its audience.
    published    TEXT NOT NULL,
    -- Where the people begin who are left; null when nobody is.
    next_page    TEXT,
    -- The page that was recorded last, as long as nobody knows whether the pods were told of it.
    untold_page  TEXT,
    began_at_ms  BIGINT NOT NULL,
    -- Whose turn it is: the one that waits longest. In the future while somebody holds it.
    ready_at_ms  BIGINT NOT NULL,
    -- Counts holders: what an earlier one still writes does not count.
    claim        BIGINT NOT NULL,
    PRIMARY KEY (tenant, alert_id, version, audience)
);
CREATE INDEX expansions_by_turn ON expansions (tenant, ready_at_ms);
