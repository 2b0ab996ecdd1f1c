-- When each later version of an alert arrived, and what it changed: `explain` tells it. The first is in `alerts`. Nothing is
-- decided by it.
CREATE TABLE versions (
    tenant          TEXT NOT NULL,
    alert_id        TEXT NOT NULL,
    version         BIGINT NOT NULL,
    severity        TEXT NOT NULL,
    status          TEXT NOT NULL,
    severity_before TEXT NOT NULL,
    status_before   TEXT NOT NULL,
    recorded_at_ms  BIGINT NOT NULL,
    PRIMARY KEY (tenant, alert_id, version)
);
