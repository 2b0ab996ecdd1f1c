//! Hears every statement of the store from the driver, and every plan from PostgreSQL.
//!
//! The driver logs each statement that it runs, whoever wrote it, so none can pass by unheard. PostgreSQL's own
//! `auto_explain` logs the plan of each statement as it was really executed, with its real parameters, and sends it to the
//! connection that asked.

use std::collections::BTreeSet;
use std::sync::{Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::{filter::Targets, registry};
use watchbell::domain::Secret;

const STATEMENTS: &str = "sqlx::query";
const NOTICES: &str = "sqlx::postgres::notice";

static STATEMENTS_HEARD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static PLANS_HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From here on everything is heard. The whole process is listened to: SQLite runs statements on threads of its own.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let wanted = Targets::new()
            .with_target(STATEMENTS, tracing::Level::DEBUG)
            .with_target(NOTICES, tracing::Level::INFO);
        tracing::subscriber::set_global_default(registry().with(Recorder.with_filter(wanted)))
            .expect("nobody else listens in this test binary");
    });
}

/// Every statement that any store of this process ran so far, with its whitespace evened out.
pub fn statements() -> Vec<String> {
    STATEMENTS_HEARD.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// The plans, as JSON, since this was asked last.
pub fn plans() -> Vec<String> {
    std::mem::take(&mut PLANS_HEARD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The address of a PostgreSQL whose sessions tell the plan of each of their statements.
pub fn explaining(url: &Secret) -> Secret {
    let settings = [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_buffers", "on"),
        ("auto_explain.log_timing", "off"),
        ("auto_explain.log_format", "json"),
        ("auto_explain.log_level", "notice"),
        ("client_min_messages", "notice"),
    ];
    let settings: Vec<String> =
        settings.iter().map(|(name, value)| format!("options[{name}]={value}")).collect();
    Secret::from(format!("{}?{}", url.expose(), settings.join("&")))
}

pub fn evened(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Recorder;

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if event.metadata().target() == STATEMENTS {
            // A short statement is its own summary.
            let sql = if said.statement.trim().is_empty() { said.summary } else { said.statement };
            STATEMENTS_HEARD.lock().unwrap_or_else(PoisonError::into_inner).insert(evened(&sql));
        } else if let Some(at) = said.message.find("plan:") {
            let plan = said.message[at + "plan:".len()..].to_owned();
            PLANS_HEARD.lock().unwrap_or_else(PoisonError::into_inner).push(plan);
        }
    }
}

#[derive(Default)]
struct Said {
    summary: String,
    statement: String,
    message: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.statement = value.to_owned(),
            "message" => self.message = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
