//! Everything that is kept about a person, page by page, for whoever has a right to it.
//!
//! What holds here:
//! - [`SECTIONS`] are the tables of an erasure (`erasure.rs`), each with the columns that are told. A test compares the two lists.
//! - A page is a bounded number of rows of one section, read along one index. Where it ends is a place that can be gone on from.
//! - No secret is told: of a push token its hash, with which it can be compared.
//! - A row that changes while somebody exports comes again or later, and is not lost.

use std::fmt;

use sqlx::any::AnyRow;

use super::{Failure, Store, StoreError, int, maybe_int, maybe_text, maybe_time, text};
use crate::domain::{Timestamp, UserKey, audit};

/// A kind of rows about a person.
struct Section {
    /// What a record of it is called.
    kind: &'static str,
    /// The table, as in receipts of erasures.
    table: &'static str,
    /// Takes the tenant, the user (in the audit log, what it calls them), then what the key says of the last row that was read, and how many rows to read.
    select: &'static str,
    /// By what its rows are in order: none for a single row.
    key: &'static [Key],
    columns: &'static [(&'static str, Kind)],
}

/// A column of a key.
enum Key {
    Text(&'static str),
    Number(&'static str),
}

/// What a column holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    /// Milliseconds since 1970.
    Time,
    /// A text that is JSON.
    Json,
}

use Kind::{Json, Number, Text, Time};

const SECTIONS: &[Section] = &[
    Section {
        kind: "person",
        table: "users",
        select: "SELECT seq, unread, locale, time_zone, preferences, preference_defaults, sessions_revoked_at_ms, created_at_ms
                 FROM users WHERE tenant = $1 AND user_id = $2",
        key: &[],
        columns: &[
            ("seq", Number),
            ("unread", Number),
            ("locale", Text),
            ("time_zone", Text),
            ("preferences", Json),
            ("preference_defaults", Json),
            ("sessions_revoked_at_ms", Time),
            ("created_at_ms", Time),
        ],
    },
    Section {
        kind: "address",
        table: "addresses",
        select: "SELECT channel, address, refused_at_ms, registered_at_ms FROM addresses
                 WHERE tenant = $1 AND user_id = $2 AND channel > $3 ORDER BY channel LIMIT $4",
        key: &[Key::Text("channel")],
        columns: &[("channel", Text), ("address", Text), ("refused_at_ms", Time), ("registered_at_ms", Time)],
    },
    Section {
        kind: "group",
        table: "group_members",
        select: "SELECT group_id FROM group_members
                 WHERE tenant || '' = $1 AND user_id || '' = $2 AND group_id > $3 ORDER BY group_id LIMIT $4",
        key: &[Key::Text("group_id")],
        columns: &[("group_id", Text)],
    },
    Section {
        kind: "device",
        table: "devices",
        select: "SELECT device_id, service, environment, token_hash, registered_at_ms FROM devices
                 WHERE tenant = $1 AND user_id = $2 AND device_id > $3 ORDER BY device_id LIMIT $4",
        key: &[Key::Text("device_id")],
        columns: &[
            ("device_id", Text),
            ("service", Text),
            ("environment", Text),
            ("token_hash", Text),
            ("registered_at_ms", Time),
        ],
    },
    Section {
        kind: "live_activity",
        table: "live_activities",
        select: "SELECT alert_id, device_id, begun_at_ms, token_at_ms, told_version FROM live_activities
                 WHERE tenant = $1 AND user_id = $2 AND (alert_id, device_id) > ($3, $4) ORDER BY alert_id, device_id LIMIT $5",
        key: &[Key::Text("alert_id"), Key::Text("device_id")],
        columns: &[
            ("alert_id", Text),
            ("device_id", Text),
            ("begun_at_ms", Time),
            ("token_at_ms", Time),
            ("told_version", Number),
        ],
    },
    Section {
        kind: "session",
        table: "presence",
        select: "SELECT pod FROM presence WHERE tenant = $1 AND user_id = $2 AND pod > $3 ORDER BY pod LIMIT $4",
        key: &[Key::Text("pod")],
        columns: &[("pod", Text)],
    },
    Section {
        kind: "lately",
        table: "lately",
        select: "SELECT channel, window_began_ms, sent, hour_began_ms, sent_in_hour FROM lately
                 WHERE tenant = $1 AND user_id = $2 AND channel > $3 ORDER BY channel LIMIT $4",
        key: &[Key::Text("channel")],
        columns: &[
            ("channel", Text),
            ("window_began_ms", Time),
            ("sent", Number),
            ("hour_began_ms", Time),
            ("sent_in_hour", Number),
        ],
    },
    Section {
        // The rows are picked before the alerts are looked up. `seq > 0` names the index `inbox_by_change`. Rows of one receipt share
        // a number: what comes behind the last one is among those of its own, or of a higher one.
        kind: "inbox",
        table: "inbox",
        select: "SELECT page.seq, page.alert_id, page.version, page.state, page.recorded_at_ms, page.came_at_ms, page.delivered_at_ms,
                     page.seen_at_ms, page.read_at_ms, page.dismissed_at_ms, page.snoozed_until_ms, page.said_by,
                     page.answer_action, page.answer_title, page.answer_text, page.answered_at_ms,
                     page.passed_on_version, a.content
                 FROM (SELECT * FROM inbox
                       WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq >= $3 AND (seq > $3 OR alert_id > $4)
                           AND seq <= coalesce(
                           (SELECT seq FROM inbox WHERE tenant = $1 AND user_id || '' = $2 AND seq > 0 AND seq > $3
                            ORDER BY seq LIMIT 1 OFFSET $5 - 1), 9223372036854775807)
                       ORDER BY seq, alert_id LIMIT $5) AS page
                 LEFT JOIN alerts a ON a.tenant = page.tenant AND a.alert_id = page.alert_id ORDER BY page.seq, page.alert_id",
        key: &[Key::Number("seq"), Key::Text("alert_id")],
        columns: &[
            ("alert_id", Text),
            ("seq", Number),
            ("version", Number),
            ("state", Text),
            ("recorded_at_ms", Time),
            ("came_at_ms", Time),
            ("delivered_at_ms", Time),
            ("seen_at_ms", Time),
            ("read_at_ms", Time),
            ("dismissed_at_ms", Time),
            ("snoozed_until_ms", Time),
            ("said_by", Text),
            ("answer_action", Text),
            ("answer_title", Text),
            ("answer_text", Text),
            ("answered_at_ms", Time),
            ("passed_on_version", Number),
            ("content", Json),
        ],
    },
    Section {
        kind: "escalation",
        table: "escalations",
        select: "SELECT alert_id, policy, step, step_due_at_ms, due_at_ms, opened_at_ms, expires_at_ms, stopped, held
                 FROM escalations WHERE tenant = $1 AND user_id = $2 AND alert_id > $3 ORDER BY alert_id LIMIT $4",
        key: &[Key::Text("alert_id")],
        columns: &[
            ("alert_id", Text),
            ("policy", Text),
            ("step", Number),
            ("step_due_at_ms", Time),
            ("due_at_ms", Time),
            ("opened_at_ms", Time),
            ("expires_at_ms", Time),
            ("stopped", Text),
            ("held", Text),
        ],
    },
    Section {
        kind: "group_receipt",
        table: "group_receipts",
        select: "SELECT alert_id, said, version FROM group_receipts
                 WHERE tenant = $1 AND user_id = $2 AND (alert_id, said, version) > ($3, $4, $5)
                 ORDER BY alert_id, said, version LIMIT $6",
        key: &[Key::Text("alert_id"), Key::Text("said"), Key::Number("version")],
        columns: &[("alert_id", Text), ("said", Text), ("version", Number)],
    },
    Section {
        kind: "told",
        table: "told",
        select: "SELECT alert_id, channel, opened_at_ms FROM told
                 WHERE tenant = $1 AND user_id = $2 AND (alert_id, channel) > ($3, $4) ORDER BY alert_id, channel LIMIT $5",
        key: &[Key::Text("alert_id"), Key::Text("channel")],
        columns: &[("alert_id", Text), ("channel", Text), ("opened_at_ms", Time)],
    },
    Section {
        kind: "attempt",
        table: "attempts",
        select: "SELECT attempt_id, alert_id, kind, channel, device_id, state, tries, reason, message_id, created_at_ms,
                     answered_at_ms, reached_at_ms, priority_lowered
                 FROM attempts WHERE tenant = $1 AND user_id || '' = $2 AND user_id || '' > '' AND attempt_id > $3
                 ORDER BY attempt_id LIMIT $4",
        key: &[Key::Text("attempt_id")],
        columns: &[
            ("attempt_id", Text),
            ("alert_id", Text),
            ("kind", Text),
            ("channel", Text),
            ("device_id", Text),
            ("state", Text),
            ("tries", Number),
            ("reason", Text),
            ("message_id", Text),
            ("created_at_ms", Time),
            ("answered_at_ms", Time),
            ("reached_at_ms", Time),
            ("priority_lowered", Number),
        ],
    },
    Section {
        // Its rows have no key, so all of the last one's time belong to its page.
        kind: "note",
        table: "notes",
        select: "SELECT alert_id, at_ms, what FROM notes
                 WHERE tenant = $1 AND user_id || '' = $2 AND user_id || '' > '' AND at_ms > $3 AND at_ms <= coalesce(
                     (SELECT at_ms FROM notes WHERE tenant = $1 AND user_id || '' = $2 AND user_id || '' > '' AND at_ms > $3
                      ORDER BY at_ms LIMIT 1 OFFSET $4 - 1), 9223372036854775807)
                 ORDER BY at_ms, alert_id, what",
        key: &[Key::Number("at_ms")],
        columns: &[("alert_id", Text), ("at_ms", Time), ("what", Text)],
    },
    Section {
        kind: "taken",
        table: "alerts",
        select: "SELECT alert_id, taken_version, taken_at_ms FROM alerts
                 WHERE tenant = $1 AND taken_by = $2 AND alert_id > $3 ORDER BY taken_by, alert_id LIMIT $4",
        key: &[Key::Text("alert_id")],
        columns: &[("alert_id", Text), ("taken_version", Number), ("taken_at_ms", Time)],
    },
    Section {
        kind: "change",
        table: "audit_log",
        select: "SELECT entry_id, at_ms, action, outcome FROM audit_log
                 WHERE tenant = $1 AND object = $2 AND entry_id > $3 ORDER BY entry_id LIMIT $4",
        key: &[Key::Text("entry_id")],
        columns: &[("entry_id", Text), ("at_ms", Time), ("action", Text), ("outcome", Text)],
    },
    Section {
        kind: "outcome",
        table: "outbox",
        select: "SELECT outcome_id, route, alert_id, version, outcome, channel, reason, by_whom, until_ms, action,
                     action_title, answer, at_ms
                 FROM outbox
                 WHERE tenant = $1 AND user_id || '' = $2 AND user_id || '' > '' AND (outcome_id, route) > ($3, $4)
                 ORDER BY outcome_id, route LIMIT $5",
        key: &[Key::Text("outcome_id"), Key::Text("route")],
        columns: &[
            ("outcome_id", Text),
            ("route", Text),
            ("alert_id", Text),
            ("version", Number),
            ("outcome", Text),
            ("channel", Text),
            ("reason", Text),
            ("by_whom", Text),
            ("until_ms", Time),
            ("action", Text),
            ("action_title", Text),
            ("answer", Text),
            ("at_ms", Time),
        ],
    },
];

/// What a field of a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Words, a name, or an id.
    Text(String),
    /// A count, or a number of the inbox.
    Number(i64),
    /// A moment, to the millisecond.
    Time(Timestamp),
    /// JSON as it is stored, which an export shows as JSON and not as a text.
    Json(String),
}

/// One row about a person. What the row does not have is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRecord {
    /// What kind of row.
    pub kind: &'static str,
    /// Its fields by name; times without the `_ms` of their columns.
    pub fields: Vec<(&'static str, Field)>,
}

/// Where an export goes on: in which section, behind which row. It is written and read as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPlace {
    section: usize,
    /// The key of the last row; none at the beginning.
    after: Vec<String>,
}

/// A part of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPage {
    /// Rows, of one kind. There may be none, and yet more to come.
    pub records: Vec<PersonRecord>,
    /// Where it goes on; `None` at the end.
    pub next: Option<ExportPlace>,
}

impl ExportPlace {
    /// The beginnings of all sections, in order; an export begins at the first.
    pub fn sections() -> impl Iterator<Item = Self> {
        (0..SECTIONS.len()).map(|section| Self { section, after: Vec::new() })
    }

    fn following(section: usize) -> Option<Self> {
        (section + 1 < SECTIONS.len()).then(|| Self { section: section + 1, after: Vec::new() })
    }

    /// From the text that it is written as; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let section = SECTIONS.iter().position(|section| section.kind == kind)?;
        let key = SECTIONS[section].key;
        let after: Vec<String> = match rest {
            None => Vec::new(),
            // Only the last part may have blanks in it, and is alone then.
            Some(rest) => rest.splitn(key.len().max(1), ' ').map(str::to_owned).collect(),
        };
        let is_key = after.is_empty() || after.len() == key.len();
        let are_numbers = key.iter().zip(&after).all(|(key, part)| match key {
            Key::Number(_) => part.parse::<i64>().is_ok(),
            Key::Text(_) => !part.contains('\0'),
        });
        (is_key && are_numbers).then_some(Self { section, after })
    }
}

impl fmt::Display for ExportPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SECTIONS[self.section].kind)?;
        match self.after.is_empty() {
            true => Ok(()),
            false => write!(f, ":{}", self.after.join(" ")),
        }
    }
}

impl Store {
    /// The tables that an export tells of, as an erasure names them.
    pub fn exported_tables() -> impl Iterator<Item = &'static str> {
        SECTIONS.iter().map(|section| section.table)
    }

    /// About `rows_max` rows of one kind about this person, from this place on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn export_page(
        &self,
        user: &UserKey,
        place: &ExportPlace,
        rows_max: usize,
    ) -> Result<ExportPage, StoreError> {
        self.in_time("export_page", async {
            let section = &SECTIONS[place.section];
            let named = match section.table {
                "audit_log" => audit::user_object(&user.user),
                _ => user.user.as_str().to_owned(),
            };
            let mut query = sqlx::query(section.select).bind(user.tenant.as_str().to_owned()).bind(named);
            for (at, key) in section.key.iter().enumerate() {
                let after = place.after.get(at);
                query = match key {
                    Key::Text(_) => query.bind(after.cloned().unwrap_or_default()),
                    Key::Number(_) => {
                        query.bind(after.and_then(|after| after.parse().ok()).unwrap_or(i64::MIN))
                    }
                };
            }
            if !section.key.is_empty() {
                query = query.bind(rows_max as i64);
            }
            let rows = query.fetch_all(&self.read).await?;
            let records = rows.iter().map(|row| record_of(section, row)).collect::<Result<_, _>>()?;
            let last = rows.last().filter(|_| !section.key.is_empty() && rows.len() >= rows_max);
            let next = match last {
                Some(row) => Some(ExportPlace { section: place.section, after: key_of(section, row)? }),
                None => ExportPlace::following(place.section),
            };
            Ok(ExportPage { records, next })
        })
        .await
    }
}

fn record_of(section: &Section, row: &AnyRow) -> Result<PersonRecord, Failure> {
    let mut fields = Vec::with_capacity(section.columns.len());
    for (column, kind) in section.columns {
        let field = match kind {
            Kind::Text => maybe_text(row, column)?.map(Field::Text),
            Kind::Number => maybe_int(row, column)?.map(Field::Number),
            Kind::Time => maybe_time(row, column)?.map(Field::Time),
            Kind::Json => maybe_text(row, column)?.map(Field::Json),
        };
        let name = column.strip_suffix("_ms").unwrap_or(column);
        fields.extend(field.map(|field| (name, field)));
    }
    Ok(PersonRecord { kind: section.kind, fields })
}

fn key_of(section: &Section, row: &AnyRow) -> Result<Vec<String>, Failure> {
    let part = |key: &Key| match key {
        Key::Text(column) => text(row, column),
        Key::Number(column) => Ok(int(row, column)?.to_string()),
    };
    section.key.iter().map(part).collect()
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_place_is_read_as_it_is_written() {
    for text in
        ["person", "group:the night shift: ops", "inbox:7 disk-db-1", "note:1900000000000", "told:a push"]
    {
        assert_eq!(ExportPlace::parse(text).unwrap().to_string(), text);
    }
    for text in ["", "nothing", "person:x", "inbox:disk", "inbox:x disk", "told:a", "note:x"] {
        assert_eq!(ExportPlace::parse(text), None, "{text}");
    }
    let all: Vec<String> = ExportPlace::sections().map(|place| place.to_string()).collect();
    assert_eq!(all.first().map(String::as_str), Some("person"));
    assert_eq!(all.len(), SECTIONS.len());
}
