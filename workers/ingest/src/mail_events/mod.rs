//! `POST /v1/mail-events/{provider}`: what mail providers tell of mails that came back and of complaints.
//!
//! What holds here:
//! - A key is in the address or a header, as for hooks, with the scope `people`: what is told ends addresses.
//! - A report counts for mails of the key's own tenant; of every tenant only where `ingest.mail_events_tenant` names the key's.
//! - A mail is known by what it carries (`watchbell::wire::mail_ticket`), wherever the provider repeats it, or by its
//!   `Message-ID` and the address.
//! - An address that is no longer written to because of a report is in the audit log, under the key that told of it.
//! - What is told of mails that are not ours, and events that say nothing of an address, are answered 200 and counted out. A
//!   provider would otherwise send them again for days.
//!
//! | file | what it is |
//! |---|---|
//! | `events.rs` | what each provider's event says: pure |
//! | `sns.rs` | Amazon's envelope: its signature, and confirming a subscription |
//! | `signatures.rs` | signatures of SendGrid and Mailgun, where their keys are configured |

pub mod events;
pub mod signatures;
pub mod sns;

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use watchbell::{
    domain::Tenant,
    runtime::http::{Path, expect_no_encoding, not_json},
    store::{BounceRecorded, Store},
    wire::Problem,
};

use crate::{App, Shared, answers::MailEvents, auth::Producer, request};
use events::{MailEvent, events_of};

/// Events of one post. SendGrid sends up to a thousand.
const EVENTS_MAX: usize = 10_000;

/// The providers, as they stand in the address.
pub const PROVIDERS: &[&str] = &["mailgun", "postmark", "sendgrid", "ses"];

/// Accepts what a provider posts.
pub async fn accept(
    State(shared): App,
    Extension(producer): Extension<Producer>,
    Path(provider): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    if !PROVIDERS.contains(&provider.as_str()) {
        return Err(Problem::not_found(format!("There is no such provider here: {}.", PROVIDERS.join(", "))));
    }
    // SNS calls JSON plain text, so the media type says nothing.
    let (head, body) = request.into_parts();
    expect_no_encoding(&head.headers)?;
    let body = request::whole_body(body).await?;
    let mut post: Value = serde_json::from_slice(&body).map_err(|error| not_json(&error))?;
    let now = shared.ingest.clock.now();
    shared.ingest.mail_signatures.check(&provider, &head.headers, &body, &post, now)?;
    if provider == "ses" {
        match shared.ingest.sns.open(&post).await? {
            sns::Opened::Message(message) => post = message,
            sns::Opened::Subscription => return Ok(Json(MailEvents::default()).into_response()),
        }
    }
    let events = events_of(&provider, &post);
    if events.len() > EVENTS_MAX {
        return Err(Problem::invalid("events", format!("must be at most {EVENTS_MAX}")));
    }
    let tenant =
        (shared.ingest.mail_events_tenant.as_ref() != Some(&producer.tenant)).then_some(&producer.tenant);
    let store = shared.ingest.store.by(producer.actor());
    Ok(Json(record(&store, &shared, tenant, &events).await?).into_response())
}

/// Records each event; the first that the store does not take ends it, and the provider sends all of them again.
async fn record(
    store: &Store,
    shared: &Shared,
    tenant: Option<&Tenant>,
    events: &[MailEvent],
) -> Result<MailEvents, Problem> {
    let clock = &shared.ingest.clock;
    let mut answer = MailEvents { received: events.len(), ..MailEvents::default() };
    for event in events {
        let Some(bounce) = event.bounce() else { continue };
        match store.record_bounce(&bounce, tenant, clock.now()).await? {
            BounceRecorded::Nothing => {}
            BounceRecorded::Counted => answer.counted += 1,
            BounceRecorded::Suppressed => {
                answer.counted += 1;
                answer.suppressed += 1;
            }
        }
    }
    Ok(answer)
}
