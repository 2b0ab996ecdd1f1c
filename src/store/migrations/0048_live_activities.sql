-- What Apple devices show of alerts that change, on their lock screens: Live Activities.

-- What Apple starts an activity with on this device; null: its app registered none.
ALTER TABLE devices ADD COLUMN start_token TEXT;

-- An activity for one alert on one device, from when it is wanted until it has ended. `environment` and `bound_to` are the device's, so
-- that it can be ended after its device was taken out. `token` is the activity's own, null until the app registers it. `told_version`
-- and `told_severity` are what the phone shows. `due_at_ms` says when somebody has to look at it next, which is the end of the lease
-- while `leased` is 1; `woken` says that something changed since it was taken.
CREATE TABLE live_activities (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    environment TEXT NOT NULL,
    bound_to TEXT,
    token TEXT,
    token_at_ms BIGINT,
    begun_at_ms BIGINT NOT NULL,
    started BIGINT NOT NULL,
    told_version BIGINT,
    told_severity TEXT,
    tries BIGINT NOT NULL,
    leased BIGINT NOT NULL,
    woken BIGINT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, user_id, alert_id, device_id)
);
CREATE INDEX live_activities_due ON live_activities (due_at_ms);
