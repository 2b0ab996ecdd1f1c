//! A store with a past: one person with a long history, and many persons with a short one.

use crate::store::fixture::StoreFixture;

/// Every table that grows with use. Not `pods`, which are as many as run, and not `meta`.
pub const GROWS: [&str; 18] = [
    "addresses",
    "alerts",
    "api_keys",
    "attempts",
    "audit_log",
    "devices",
    "erased_sessions",
    "escalations",
    "group_members",
    "inbox",
    "lately",
    "notes",
    "outbox",
    "presence",
    "told",
    "topic_events",
    "users",
    "versions",
];

/// Fills a migrated, empty store: half of `rows` alerts were ana's and are over; of the others, ten went to each person,
/// and one of each ten is still open, due far in the future. PostgreSQL gathers no statistics on its own from here on.
pub async fn load(fixture: &StoreFixture, rows: usize) -> anyhow::Result<()> {
    let mut all = String::new();
    if fixture.dialect(true, false) {
        for table in GROWS {
            all.push_str(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off);\n"));
        }
    }
    all.push_str("BEGIN;\n");
    for statement in STATEMENTS {
        all.push_str(statement);
        all.push_str(";\n");
    }
    all.push_str("COMMIT;\n");
    let series = fixture.dialect(
        "generate_series(1, {n}) AS g(n)",
        "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {n}) SELECT n FROM s) AS g",
    );
    for (part, of) in [("{all}", 1), ("{half}", 2), ("{tenth}", 10), ("{people}", 20), ("{hundredth}", 100)] {
        let n = (rows / of).max(1).to_string();
        all = all.replace(&format!("FROM {part}"), &format!("FROM {}", series.replace("{n}", &n)));
        all = all.replace(part, &n);
    }
    fixture.execute(all).await
}

/// Has PostgreSQL and SQLite gather statistics, and then begins as a process does that finds them there.
pub async fn analyze(fixture: &StoreFixture) -> anyhow::Result<()> {
    fixture.execute("ANALYZE").await?;
    Ok(fixture.store.migrate().await?)
}

/// `{all}`, `{half}` and so on are numbers, and after FROM as many rows. Numbers become texts by being joined to one.
const STATEMENTS: &[&str] = &[
    "INSERT INTO users (tenant, user_id, seq, unread, email, created_at_ms)
     SELECT 'acme', 'p' || n, 10, 0, 'p' || n || '@example.com', 0 FROM {people}",
    "INSERT INTO users (tenant, user_id, seq, unread, created_at_ms) VALUES ('acme', 'ana', {half}, 0, 0)",
    // Names that a producer typed, before and among those of everyone.
    "INSERT INTO users (tenant, user_id, seq, unread, created_at_ms, named_only)
     SELECT 'acme', 'p1-typed-' || n, 0, 0, 0, 1 FROM {tenth}",
    "INSERT INTO addresses (tenant, user_id, channel, address, registered_at_ms)
     SELECT 'acme', 'p' || n, 'email', 'p' || n || '@example.com', 0 FROM {people}",
    "INSERT INTO alerts (tenant, alert_id, version, content, recorded_at_ms, audience)
     SELECT 'acme', 'h' || n, 1, '{\"id\":\"h' || n || '\",\"title\":\"A disk is nearly full, and it has been for a while\"}', n,
         CASE WHEN n % 2 = 0 THEN '{\"everyone\":true,\"groups\":[],\"more\":0}' END
     FROM {all}",
    "INSERT INTO inbox (tenant, user_id, alert_id, seq, version, state, severity, status, recorded_at_ms)
     SELECT 'acme', CASE WHEN n <= {half} THEN 'ana' ELSE 'p' || ((n - {half} - 1) / 10 + 1) END, 'h' || n,
         CASE WHEN n <= {half} THEN n ELSE (n - {half} - 1) % 10 + 1 END, 1, 'seen', 'warning', 'firing', n
     FROM {all}",
    "INSERT INTO escalations (tenant, user_id, alert_id, round, policy, step, step_due_at_ms, due_at_ms, leased_until_ms,
         claim, fence, opened_at_ms, expires_at_ms, stopped, pushed)
     SELECT 'acme', CASE WHEN n <= {half} THEN 'ana' ELSE 'p' || ((n - {half} - 1) / 10 + 1) END, 'h' || n, 1,
         'default', 0, 9000000000000, CASE WHEN n > {half} AND n % 10 = 0 THEN 9000000000000 END, 0, 1, 1, n,
         9900000000000,
         CASE WHEN n > {half} AND n % 10 = 0 THEN NULL WHEN n % 3 = 0 THEN 'exhausted' ELSE 'seen' END, 1
     FROM {all}",
    "INSERT INTO told (tenant, user_id, alert_id, channel, opened_at_ms, summary_round)
     SELECT tenant, user_id, alert_id, 'push', opened_at_ms, opened_at_ms / 25 + 10 FROM escalations WHERE opened_at_ms % 5 = 0",
    "INSERT INTO told (tenant, user_id, alert_id, channel, opened_at_ms, summary_round)
     SELECT tenant, user_id, alert_id, 'email', opened_at_ms, opened_at_ms / 35 + 10 FROM escalations WHERE opened_at_ms % 7 = 0",
    "INSERT INTO attempts (attempt_id, tenant, user_id, alert_id, kind, round, step, channel, device_id, state, tries,
         maybe_shown, created_at_ms)
     SELECT '00000000-0000-4000-8000-' || substr('000000000000' || n, length('' || n) + 1), 'acme',
         CASE WHEN n <= {half} THEN 'ana' ELSE 'p' || ((n - {half} - 1) / 10 + 1) END, 'h' || n, 'alert', 1, 0, 'push',
         'phone', 'accepted', 1, 1, n
     FROM {all}",
    "INSERT INTO notes (tenant, alert_id, user_id, at_ms, what)
     SELECT 'acme', 'h' || n, CASE WHEN n <= {half} THEN 'ana' ELSE 'p' || ((n - {half} - 1) / 10 + 1) END, n,
         'push step skipped: the user has no device'
     FROM {all}",
    "INSERT INTO group_members (tenant, group_id, user_id) SELECT 'acme', 'everyone', 'p' || n FROM {people}",
    "INSERT INTO devices (tenant, user_id, device_id, service, environment, token, token_hash, registered_at_ms)
     SELECT 'acme', 'p' || n, 'phone', 'fcm', 'production', 'token-' || n, 'hash-' || n, 1800000000000 + n FROM {people}",
    "INSERT INTO lately (tenant, user_id, channel, sent, sent_in_hour)
     SELECT 'acme', 'p' || n, 'push', 1, 1 FROM {people}",
    "INSERT INTO pods (pod, leased_until_ms) VALUES ('pod-0', 9000000000000), ('pod-1', 9000000000000)",
    "INSERT INTO presence (tenant, user_id, pod) SELECT 'acme', 'p' || n, 'pod-' || (n % 2) FROM {people}",
    "INSERT INTO topic_events (tenant, topic, event_id, keep, content, at_us, recorded_us)
     SELECT 'acme', 'topic-' || (n / 5), 'e' || n, 5, '{}', n, n FROM {tenth}",
    "INSERT INTO outbox (route, ready_at_ms, outcome_id, tenant, user_id, alert_id, version, outcome, at_ms, tries)
     SELECT CASE WHEN n % 2 = 0 THEN 'queue' ELSE 'webhook:acme' END, 1900000000000 + n,
         '00000000-0000-4000-8000-' || substr('000000000000' || n, length('' || n) + 1), 'acme', 'ana', 'h' || n, 1, 'seen',
         1900000000000 + n, 0 FROM {all}",
    "INSERT INTO audit_log (entry_id, tenant, at_ms, actor, action, object, outcome)
     SELECT 'entry-' || n, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, n, 'key:k', 'user.put', 'user:p' || n, 'done'
     FROM {all}",
    "INSERT INTO api_keys (key_hash, tenant, name, created_at_ms) SELECT 'key-' || n, 'acme', 'ci', n FROM {hundredth}",
];
