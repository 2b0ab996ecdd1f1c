//! What was seen of the store, and what it means for us.

use jiff::SignedDuration;
use watchbell::{
    runtime::health::Seen,
    store::{Look, Store, StoreConfig, StoreSurvey, TableSeen},
};

use super::finding::{Finding, Verdict};

/// Clocks of servers that are set by NTP differ by less.
const CLOCK_MAX: SignedDuration = SignedDuration::from_secs(1);
/// By more than this, timers and tokens are plainly wrong.
const CLOCK_FAR: SignedDuration = SignedDuration::from_secs(30);
/// Connections that PostgreSQL keeps for its superuser, and some for an operator.
const CONNECTIONS_LEFT_MIN: i64 = 5;
/// Dead rows that are not worth a word.
const DEAD_ROWS_MIN: i64 = 10_000;
/// Pages of a SQLite file that may be free before it is worth a word.
const FREE_PAGES_MIN: i64 = 25_000;

/// Looks at the configured store.
pub(super) async fn look(config: &StoreConfig) -> Vec<Finding> {
    let store = match Store::open(config) {
        Ok(store) => store,
        Err(error) => {
            return vec![Finding::fail("store", format!("{error:#}"), "correct store.url")];
        }
    };
    let look = store.look().await;
    let answers = matches!(look.store, Seen::Ok | Seen::Degraded(_));
    let mut findings = of_look(look);
    if answers {
        match store.survey().await {
            Ok(survey) => findings.extend(of_survey(&survey, config.connections_max)),
            Err(fault) => findings.push(Finding::of_fault("store settings", Verdict::Fail, fault)),
        }
    }
    store.close().await;
    findings
}

fn of_look(look: Look) -> Vec<Finding> {
    let found = |check: &str, seen: Seen, good: &str| match seen {
        Seen::Ok => Some(Finding::ok(check, good)),
        Seen::Degraded(fault) => Some(Finding::of_fault(check, Verdict::Warn, fault)),
        Seen::Failing(fault) => Some(Finding::of_fault(check, Verdict::Fail, fault)),
        Seen::Hidden => None,
    };
    let store =
        found("store", look.store, "answers, takes writes, and its user may read and write the tables");
    let schema = found("store schema", look.schema, "is the one that this version needs");
    store.into_iter().chain(schema).collect()
}

/// What a survey means for a process with so many connections.
pub(super) fn of_survey(survey: &StoreSurvey, connections_max: u32) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("store version", &*survey.version)];
    if let Some(ahead) = survey.clock_ahead {
        findings.push(clock(ahead));
    }
    for (setting, value) in &survey.settings {
        findings.extend(of_setting(setting, value, connections_max));
    }
    if !findings.iter().any(|finding| finding.check.starts_with("store settings")) {
        findings.push(Finding::ok("store settings", "are those on which our promises rest"));
    }
    findings.extend(bloat(&survey.tables));
    findings.extend(free_pages(survey));
    findings
}

fn clock(ahead: SignedDuration) -> Finding {
    let check = "store clock";
    let word = if ahead < SignedDuration::ZERO { "behind" } else { "ahead of" };
    let found = format!("is {:.1} s {word} this machine's", ahead.abs().as_secs_f64());
    let remedy = "set the clocks of all machines by NTP";
    match ahead.abs() {
        by if by >= CLOCK_FAR => Finding::fail(check, found, remedy),
        by if by >= CLOCK_MAX => Finding::warn(check, found, remedy),
        _ => Finding::ok(check, found),
    }
}

fn of_setting(setting: &str, value: &str, connections_max: u32) -> Option<Finding> {
    let check = format!("store settings {setting}");
    let found = |why: &str| format!("{setting} is {value}: {why}");
    let set = |to: &str| format!("set {setting} = {to} in PostgreSQL, and reload it");
    match (setting, value) {
        ("fsync" | "full_page_writes", "off") => Some(Finding::fail(
            check,
            found("an accepted alert may be lost when the machine fails"),
            set("on"),
        )),
        ("synchronous_commit", "off") => Some(Finding::fail(
            check,
            found("a commit that was confirmed may be lost when the server fails"),
            set("on"),
        )),
        ("autovacuum" | "track_counts", "off") => Some(Finding::warn(
            check,
            found("dead rows are not cleared away, and every statement becomes slower"),
            set("on"),
        )),
        ("server_encoding", encoding) if encoding != "UTF8" => Some(Finding::fail(
            check,
            found("texts of people cannot be stored"),
            "create the database with ENCODING 'UTF8'",
        )),
        ("default_transaction_isolation", isolation) if isolation != "read committed" => {
            Some(Finding::warn(check, found("transactions fail that need not"), set("'read committed'")))
        }
        ("max_connections", number) => {
            let number: i64 = number.parse().ok()?;
            let is_enough = i64::from(connections_max) + CONNECTIONS_LEFT_MIN <= number;
            let remedy = "raise max_connections, or lower store.connections_max: each process takes so many";
            (!is_enough).then(|| {
                let why = format!("one process takes up to {connections_max} (store.connections_max)");
                Finding::fail(check, found(&why), remedy)
            })
        }
        _ => None,
    }
}

fn bloat(tables: &[TableSeen]) -> Vec<Finding> {
    let is_bloated = |table: &&TableSeen| table.dead > DEAD_ROWS_MIN && table.dead > table.live;
    tables
        .iter()
        .filter(is_bloated)
        .map(|TableSeen { name, live, dead }| {
            Finding::warn(
                "store bloat",
                format!("{name} has {dead} dead rows beside {live} that are there"),
                format!("run VACUUM ANALYZE {name}; then look for a transaction that never ends, and at autovacuum"),
            )
        })
        .collect()
}

fn free_pages(survey: &StoreSurvey) -> Option<Finding> {
    let number = |name: &str| survey.settings.get(name)?.parse::<i64>().ok();
    let (all, free) = (number("page_count")?, number("freelist_count")?);
    (free > FREE_PAGES_MIN && free > all / 2).then(|| {
        Finding::warn(
            "store bloat",
            format!("{free} of the file's {all} pages are free"),
            "run VACUUM on the file while nothing uses it",
        )
    })
}
