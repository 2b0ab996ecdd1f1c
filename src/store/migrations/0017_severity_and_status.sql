-- `alerts.severity` and `alerts.status` are what decides about the next report of an alert; its content is not looked into for
-- them. Migration 5 took them from inbox rows and left its defaults where an alert reached nobody, and programs from before
-- it wrote none. Those are read from the content here. They are the alerts without `said`: every program since migration 11
-- has written it. The content names both words side by side, before anything a producer could have written so; where a
-- producer's own data repeats the same three names, both readings match and the columns stay as they are.
WITH severities(severity) AS (VALUES ('info'), ('warning'), ('critical')),
     statuses(status) AS (VALUES ('firing'), ('acknowledged'), ('suppressed'), ('resolved'))
UPDATE alerts SET
    severity = COALESCE((SELECT CASE WHEN count(*) = 1 THEN MAX(s.severity) END FROM severities s CROSS JOIN statuses t
        WHERE alerts.content LIKE '%"severity":"' || s.severity || '","status":"' || t.status || '","title":%'), severity),
    status = COALESCE((SELECT CASE WHEN count(*) = 1 THEN MAX(t.status) END FROM severities s CROSS JOIN statuses t
        WHERE alerts.content LIKE '%"severity":"' || s.severity || '","status":"' || t.status || '","title":%'), status)
WHERE said IS NULL;
