//! The OpenAPI document of this worker: its routes, each with the operation that stands in its row.
//!
//! `openapi.json` beside this crate's manifest is what comes out, kept so that a change of the API shows in a review. A test
//! of `workers/fleet` compares the two, and can write it anew.
//!
//! Elsewhere: what is answered in `answers`, what is written in `watchbell::wire`, the rows in `lib.rs`.

pub mod alerts;
pub mod audit;
pub mod hooks;
pub mod people;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use watchbell::runtime::http::operation::{Document, Group, Operation};

/// The headings, in the order in which they are read.
const GROUPS: &[Group] = &[
    ("Alerts", "Publish alerts, change them, and see what became of them."),
    ("Events", "Short-lived facts for whoever subscribed to a topic."),
    ("Hooks", "Other products' alerts, in those products' own form."),
    ("People", "The users and groups that alerts are for."),
    ("Operations", "What an operator looks at."),
];

/// Where an API key may stand.
pub const WITH_KEY: &[&str] = &["bearer", "header", "basic"];

/// The document without a route.
pub fn document() -> Document {
    Document::new(
        "Watchbell for producers",
        "Publish alerts and keep the people they are for. 202 means that the alert is durable. Every error is a problem document \
         (RFC 9457) that names what is at fault.",
        GROUPS,
        WITH_KEY,
        schemes(),
    )
}

fn schemes() -> [(&'static str, SecurityScheme); 4] {
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some("The API key: `wbk_…`.".into());
    let mut basic = Http::new(HttpAuthScheme::Basic);
    basic.description = Some("Any user, the API key as the password.".into());
    let address = ApiKeyValue::with_description(
        "key",
        "Only for hooks: some products let nothing be set but an address. Proxies log addresses, so prefer a header.",
    );
    [
        ("bearer", SecurityScheme::Http(bearer)),
        ("header", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Api-Key")))),
        ("basic", SecurityScheme::Http(basic)),
        ("address", SecurityScheme::ApiKey(ApiKey::Query(address))),
    ]
}

const REPEAT: &str = "Nothing was accepted, or nobody knows: repeat it with the same ids after `Retry-After`. Overload is never 429.";
const TOO_LONG: &str = "The body or one alert is too long, or there are too many alerts.";
const OTHER_TYPE: &str = "Another content type, or a compressed body.";
const TOO_MANY_RECIPIENTS: &str = "The tenant's alerts have more recipients than they may (`ingest.recipients_per_tenant`): nothing was accepted, send it again after `Retry-After`.";
const NOT_RECORDED: &str = "Not recorded (yet), or another tenant's.";
const NOT_ITS_OWN: &str = "The alert was made by another key, and this one may change and read only its own (`watchbell key create --own-alerts`).";

/// What every route with a key may answer.
fn keyed(operation: Operation) -> Operation {
    operation.refuses(401, "No API key, or one that is not known.").refuses(503, REPEAT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;

    use crate::people::{MembersBody, UserBody};

    /// The fields that a type reads, by what serde says of one that it does not read.
    fn fields_of<T: DeserializeOwned>() -> BTreeSet<String> {
        let refused = serde_json::from_str::<T>(r#"{"?": 0}"#).err().unwrap().to_string();
        let (_, accepted) = refused.split_once("expected").unwrap();
        accepted.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn a_body_has_the_fields_of_its_schema() {
        let document: serde_json::Value = serde_json::from_str(&crate::openapi()).unwrap();
        let described = |schema: &str| -> BTreeSet<String> {
            let properties = &document["components"]["schemas"][schema]["properties"];
            properties.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(described("Change"), crate::patch::FIELDS.map(str::to_owned).into());
        assert_eq!(described("Contact"), fields_of::<UserBody>());
        assert_eq!(described("MembersChange"), fields_of::<MembersBody>());
    }
}
