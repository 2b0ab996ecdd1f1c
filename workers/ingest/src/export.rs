//! `GET /v1/users/{user}/export`: everything that is kept about a person, page by page.
//!
//! A page is cut by the number of records and by bytes, and what is in memory at once is a few rows more than that. `docs/people.md` has
//! the format.

use axum::{Extension, extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use watchbell::{
    domain::{UserId, UserKey, audit::AuditAction},
    runtime::http::{NameInPath, Query},
    store::{ExportPlace, Field, PersonRecord, StoreError},
    wire::Problem,
};

use crate::{
    App,
    answers::Export,
    auth::Producer,
    limits::{EXPORT_READ_AT_ONCE, EXPORT_RECORDS_MAX, PAGE_BYTES_MAX},
    users::{private, room_for_a_list},
};

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    after: Option<String>,
}

/// A page of everything about a person. Of somebody who is not there it is empty, as after an erasure.
pub async fn export(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    NameInPath(user): NameInPath<UserId>,
    Query(page): Query<ExportQuery>,
) -> Result<Response, Problem> {
    if producer.maker.own_alerts {
        return Err(Problem::forbidden(
            "An export tells what alerts of other keys say, and this API key may read only its own alerts.",
        ));
    }
    let place = page.after.as_deref().map(ExportPlace::parse);
    if place == Some(None) {
        return Err(Problem::invalid("after", "must be the `next` of the page before"));
    }
    let mut place = place.flatten().or_else(|| ExportPlace::sections().next());
    let room = room_for_a_list(&shared, &producer.tenant).await?;
    let user = UserKey::new(producer.tenant.clone(), user);
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(from) = &place {
        if records.len() + EXPORT_READ_AT_ONCE > EXPORT_RECORDS_MAX || bytes >= PAGE_BYTES_MAX {
            break;
        }
        let part = shared.ingest.store.export_page(&user, from, EXPORT_READ_AT_ONCE).await?;
        for record in part.records {
            let record = record_of(record)?;
            bytes += record.to_string().len();
            records.push(record);
        }
        place = part.next;
    }
    // Written before it is handed out, and for each page, because an export may begin anywhere. Of nobody there is no entry.
    if !records.is_empty() {
        let store = shared.ingest.store.by(producer.actor());
        let (outcome, now) = (format!("a page of {} records", records.len()), shared.ingest.clock.now());
        store.note_about_person(&user, AuditAction::UserExported, &outcome, now).await?;
    }
    let next = place.map(|place| place.to_string());
    Ok(private(room, &Export { user: user.user.as_str().to_owned(), records, next }))
}

fn record_of(record: PersonRecord) -> Result<Value, StoreError> {
    let mut fields = Map::from_iter([("record".to_owned(), json!(record.kind))]);
    for (name, field) in record.fields {
        let value = match field {
            Field::Text(text) => json!(text),
            Field::Number(number) => json!(number),
            Field::Time(at) => json!(at.to_string()),
            Field::Json(encoded) => {
                serde_json::from_str(&encoded).map_err(|_| StoreError::Unreadable { what: "content" })?
            }
        };
        fields.insert(name.to_owned(), value);
    }
    Ok(Value::Object(fields))
}
