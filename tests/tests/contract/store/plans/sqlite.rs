//! What SQLite says about a statement: by which index each table is searched.
//!
//! It makes its plan from the text and, where there are any, from statistics; never from the parameters. So the plan of
//! a text is how it is always carried out, and it is by key, or it is not.

use super::history::GROWS;

/// Searches that read a bounded number of rows, by the index and how many of its columns have to be known. An index of a
/// part of its table is named by itself: whoever is in it is few.
const BOUNDED: &[(&str, usize, &str)] = &[
    ("sqlite_autoindex_alerts_1", 2, "one alert"),
    ("sqlite_autoindex_api_keys_1", 1, "one key"),
    ("sqlite_autoindex_audit_log_1", 1, "one entry"),
    ("audit_by_time", 1, "a page of the log, LIMIT"),
    ("audit_of_object", 2, "what was done to one person, LIMIT"),
    ("audit_of_tenant", 1, "a page of one tenant's log, LIMIT"),
    ("sqlite_autoindex_attempts_1", 1, "one attempt"),
    ("sqlite_autoindex_devices_1", 2, "the devices of one person, at most 20"),
    ("sqlite_autoindex_escalations_1", 3, "one escalation"),
    ("sqlite_autoindex_expansions_1", 2, "what is left of one alert's audiences"),
    ("sqlite_autoindex_expansion_texts_1", 4, "what one audience is gone through for"),
    ("expansions_by_turn", 1, "whose turn it is, LIMIT; the table holds what is under way and no history"),
    ("sqlite_autoindex_group_receipts_1", 2, "what one person said for others, LIMIT; or one of these"),
    ("group_receipts_ready", 1, "what is due, LIMIT; the table holds what is under way and no history"),
    ("sqlite_autoindex_group_members_1", 2, "a page of a group: every such statement has a LIMIT, or a user"),
    ("sqlite_autoindex_inbox_1", 3, "one row"),
    ("sqlite_autoindex_live_activities_1", 2, "the Live Activities of one person, at most 100"),
    ("live_activities_due", 1, "what is due, LIMIT; the table holds what is shown and no history"),
    (
        "sqlite_autoindex_broadcast_channels_1",
        2,
        "the channels of one alert: of each app, and few that have ended",
    ),
    ("broadcast_channels_open", 2, "the channels of one alert that have not ended, one of each app"),
    ("broadcast_channels_due", 1, "what is due, LIMIT; the table holds what is shown and no history"),
    ("sqlite_autoindex_lately_1", 2, "one person's channels"),
    ("sqlite_autoindex_told_1", 3, "one escalation's channels"),
    ("told_in_summary", 4, "what one summary told of"),
    ("sqlite_autoindex_addresses_1", 2, "one person's channels"),
    ("sqlite_autoindex_outbox_1", 1, "the first of one route, LIMIT; or one outcome by all three"),
    ("sqlite_autoindex_outbox_routes_1", 1, "one route"),
    ("sqlite_autoindex_pods_1", 1, "one pod"),
    ("sqlite_autoindex_presence_1", 2, "one person's pods"),
    ("sqlite_autoindex_topic_events_1", 2, "one topic, which keeps 1,000 at the most"),
    (
        "sqlite_autoindex_users_1",
        1,
        "a page of a tenant's users: every such statement has a LIMIT, or a user",
    ),
    ("sqlite_autoindex_versions_1", 2, "the versions of one alert, LIMIT"),
    ("users_everyone", 2, "a page of everyone, LIMIT"),
    ("attempts_by_alert", 2, "one alert's attempts, which grow with its audience only"),
    ("notes_by_alert", 3, "one escalation's notes"),
    ("inbox_by_alert", 2, "a page of one alert's audience"),
    ("sqlite_autoindex_meta_1", 1, "one fact"),
    ("inbox_by_change", 3, "a page of one inbox, from a number"),
    ("devices_by_token", 2, "one token"),
    ("devices_by_registration", 2, "the oldest ones, LIMIT"),
    ("devices_tests_due", 1, "what is due, LIMIT; empty but for a moment"),
    ("presence_of_pod", 1, "the people of a dead pod, LIMIT"),
    ("topic_events_in_order", 2, "one topic"),
    ("escalations_ready", 1, "what is due, LIMIT"),
    ("inbox_snoozed", 1, "what is due, LIMIT"),
    ("alerts_by_age", 1, "a tenant's oldest, LIMIT"),
    ("alerts_deleted", 1, "the oldest, LIMIT"),
    ("attempts_by_age", 2, "a tenant's oldest, LIMIT"),
    ("notes_by_age", 2, "a tenant's oldest, up to the time of the 200th"),
    ("versions_by_age", 2, "a tenant's oldest, up to the time of the 200th"),
    ("sqlite_autoindex_sweeps_1", 1, "one sweep"),
    ("alerts_returning", 1, "what is due, LIMIT"),
    ("groups_of_person", 2, "a part of one person's groups, LIMIT"),
    ("attempts_of_person", 2, "a part of one person's attempts, LIMIT"),
    ("notes_of_person", 2, "a part of one person's notes, LIMIT"),
    ("outbox_of_person", 2, "a part of what waits of one person, LIMIT"),
    ("alerts_in_order", 2, "a page of a tenant's alerts, LIMIT"),
    ("inbox_by_arrival", 3, "a page of one person's alerts by when they came, LIMIT"),
    ("alerts_for_many", 2, "the newest of a tenant that were for many, LIMIT"),
    ("alerts_taken", 2, "a part of what one person took on, LIMIT"),
    ("erased_sessions_by_age", 1, "what is to be forgotten, LIMIT"),
    ("sqlite_autoindex_erased_sessions_1", 2, "one person"),
    ("escalations_waiting", 3, "what one person's next summary waits for"),
    ("escalations_first_wait", 2, "what one person's screens are waited for"),
];

/// Statements that may walk; `tour.rs` says why.
const MAY_WALK: &[&str] = &[
    "SELECT * FROM api_keys ORDER BY",
    "SELECT * FROM api_keys WHERE substr(",
    "UPDATE api_keys SET replaced_at_ms",
    "UPDATE api_keys SET revoked_at_ms",
    "WITH lost AS",
    "SELECT count(*) AS late FROM",
    "UPDATE escalations SET leased_until_ms = 0",
    // The first rows of one person, LIMIT.
    "SELECT alert_id, policy, step, step_due_at_ms, due_at_ms, opened_at_ms, expires_at_ms, stopped, held FROM escalations",
    "SELECT alert_id, channel, opened_at_ms FROM told",
    "DELETE FROM escalations WHERE (tenant, user_id, alert_id) IN (SELECT",
    "DELETE FROM told WHERE (tenant, user_id, alert_id, channel) IN (SELECT",
    "DELETE FROM topic_events WHERE (tenant, topic) IN ( SELECT tenant, topic FROM topic_events GROUP BY",
];

/// Other tests of this process run statements of their own (`StoreFixture::execute` marks them), and on PostgreSQL.
pub fn is_of_sqlite(sql: &str) -> bool {
    let ours = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|verb| sql.starts_with(verb));
    let theirs = [
        "unnest(",
        "pg_",
        "current_setting",
        // Of sqlx, which migrates a database of another test.
        "current_database",
        "FOR UPDATE",
        "LATERAL",
        "_sqlx_migrations",
        "sqlite_master",
    ];
    ours && !theirs.iter().any(|word| sql.contains(word))
}

pub fn faults(sql: &str, steps: &[String]) -> impl Iterator<Item = String> {
    let may_walk = MAY_WALK.iter().any(|begins| sql.starts_with(begins));
    let all = steps.iter().filter(move |_| !may_walk);
    all.filter_map(|step| fault(step)).collect::<Vec<_>>().into_iter()
}

/// `SCAN table`, `SEARCH alias USING COVERING INDEX name (a=? AND b>?)`.
fn fault(step: &str) -> Option<String> {
    let words: Vec<&str> = step.split_whitespace().collect();
    match words.first() {
        Some(&"SCAN") => {
            // An alias does not say its table, and no alias of ours is longer than one letter.
            let name = words[1];
            let grows = GROWS.contains(&name) || name.len() == 1;
            let is_first_by_order = step.contains("USING INDEX escalations_ready")
                || step.contains("USING COVERING INDEX escalations_ready");
            (grows && !is_first_by_order).then(|| format!("scans a table that grows: {step}"))
        }
        Some(&"SEARCH") => {
            let index = words.iter().position(|word| *word == "INDEX").map(|at| words[at + 1])?;
            let known = step.matches("=?").count() + usize::from(step.contains(">?") || step.contains("<?"));
            let bounded = BOUNDED.iter().any(|(name, columns, _)| *name == index && known >= *columns);
            (!bounded).then(|| format!("reads more than it needs: {step}"))
        }
        _ => step.contains("AUTOMATIC").then(|| format!("makes an index to use it once: {step}")),
    }
}
