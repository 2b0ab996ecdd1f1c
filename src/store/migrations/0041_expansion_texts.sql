-- What an audience is gone through for: the alert as it was published, of up to 64 KiB. It is read once by whoever takes a turn, while
-- its row of `expansions` is written with each page, and SQLite writes a row whole. `expansions.published` is empty from now on; what
-- a version before this one opened still has its text there.
CREATE TABLE expansion_texts (
    tenant       TEXT NOT NULL,
    alert_id     TEXT NOT NULL,
    version      BIGINT NOT NULL,
    audience     TEXT NOT NULL,
    published    TEXT NOT NULL,
    PRIMARY KEY (tenant, alert_id, version, audience),
    FOREIGN KEY (tenant, alert_id, version, audience) REFERENCES expansions ON DELETE CASCADE
);
