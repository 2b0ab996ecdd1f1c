-- Apple's broadcast channels: what an alert for everyone says is sent once to its channel, in place of once to each Live Activity.

-- The app whose channel an activity listens to, or is to listen to; null: it has, or gets, a token of its own.
ALTER TABLE live_activities ADD COLUMN listens_in TEXT;
-- The channel that it was started with; null until it was.
ALTER TABLE live_activities ADD COLUMN channel TEXT;

-- A channel of one alert for one app in one of Apple's two environments, from when the first activity wants it until it was deleted at
-- Apple. `channel` is Apple's name for it, null until it was made; `refused` says that Apple did not make it, so that activities do
-- without. `told_version` and `told_severity` are what was sent to it last, and `missed` says that an activity was started with
-- something older meanwhile. `ended_at_ms` is when its activities were ended; the next one that is wanted gets another channel.
-- The last four columns are as in `live_activities`.
CREATE TABLE broadcast_channels (
    tenant TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    environment TEXT NOT NULL,
    app TEXT NOT NULL,
    begun_at_ms BIGINT NOT NULL,
    channel TEXT,
    refused BIGINT NOT NULL,
    told_version BIGINT,
    told_severity TEXT,
    missed BIGINT NOT NULL,
    ended_at_ms BIGINT,
    tries BIGINT NOT NULL,
    leased BIGINT NOT NULL,
    woken BIGINT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, alert_id, environment, app, begun_at_ms)
);
CREATE UNIQUE INDEX broadcast_channels_open ON broadcast_channels (tenant, alert_id, environment, app) WHERE ended_at_ms IS NULL;
CREATE INDEX broadcast_channels_due ON broadcast_channels (due_at_ms);
