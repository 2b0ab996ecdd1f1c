-- What the stored version of an alert says, for the row of somebody whom only an older version names. The defaults are
-- for alerts that reached nobody: taken for firing, one is told of too often, not too rarely.
ALTER TABLE alerts ADD COLUMN severity TEXT NOT NULL DEFAULT 'info';
ALTER TABLE alerts ADD COLUMN status TEXT NOT NULL DEFAULT 'firing';
UPDATE alerts SET
    severity = COALESCE((SELECT MAX(i.severity) FROM inbox i WHERE i.tenant = alerts.tenant
        AND i.alert_id = alerts.alert_id AND i.version = alerts.version), severity),
    status = COALESCE((SELECT MAX(i.status) FROM inbox i WHERE i.tenant = alerts.tenant
        AND i.alert_id = alerts.alert_id AND i.version = alerts.version), status);
