//! The unsubscribe links of emails: without a login, by the token in the address (RFC 8058).
//!
//! What holds here: only a POST ends anything. Programs that look for harm fetch every link of a mail, and people were
//! unsubscribed by them (Notifuse/notifuse#136); so a GET asks.

use axum::{extract::State, response::Response};
use tracing::info;
use watchbell::{
    domain::Channel,
    runtime::{Current, http::Path},
    wire::{
        Problem,
        preferences::PreferencesV1,
        unsubscribe::{Unsubscribe, Unsubscription},
    },
};

use crate::http::{link_page::page, preferences::Preferences};

/// Reads unsubscribe links, and carries them out.
#[derive(Clone)]
pub(crate) struct UnsubscribeLinks {
    pub(crate) preferences: Preferences,
    /// None when emails have no such links. Replaced when their secret is.
    pub(crate) reader: Current<Option<Unsubscribe>>,
}

/// `GET /v1/unsubscribe/{token}`: asks, and changes nothing.
pub(crate) async fn ask(
    State(links): State<UnsubscribeLinks>,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    links.read(&token)?;
    Ok(page(
        "No more alerts by email?",
        "<form method=post><button name=List-Unsubscribe value=One-Click>Unsubscribe</button></form>",
    ))
}

/// `POST /v1/unsubscribe/{token}`: the user of the link turns email off, as if in their preferences, where they may turn
/// it on again. Harmless to repeat. A link that was sent to an address which is no longer theirs changes nothing.
pub(crate) async fn end(
    State(links): State<UnsubscribeLinks>,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let unsubscription = links.read(&token)?;
    let (preferences, user) = (&links.preferences, &unsubscription.user);
    let contact = preferences.store.contact(user).await?;
    let address = contact
        .and_then(|contact| contact.addresses[Channel::Email].clone())
        .filter(|email| unsubscription.is_for(email));
    if address.is_none() {
        return Ok(page(
            "This link is of an older address.",
            "<p>It was sent to an address that alerts do not go to any more. Nothing was changed.</p>",
        ));
    }
    let now = preferences.clock.now();
    let wanted = preferences.store.change_preferences(user, now, &without_email).await?;
    preferences.tell(user, &PreferencesV1::decode(&wanted).unwrap_or_default()).await;
    metrics::counter!("watchbell_socket_unsubscribed_total").increment(1);
    info!(user = ?user.user, tenant = %user.tenant, "{:?} wants no more email", user.user);
    Ok(page(
        "You are unsubscribed.",
        "<p>Alerts still come to your screens and phones, and those that cannot be turned off by email as well. In your settings you can turn email on again.</p>",
    ))
}

fn without_email(stored: Option<&str>) -> String {
    let mut wanted = stored.and_then(PreferencesV1::decode).unwrap_or_default();
    wanted.channels.set(Channel::Email, false);
    wanted.encode()
}

impl UnsubscribeLinks {
    fn read(&self, token: &str) -> Result<Unsubscription, Problem> {
        let read = Option::as_ref(&self.reader.get()).and_then(|reader| reader.read(token));
        read.ok_or_else(|| Problem::not_found("this is not an unsubscribe link of ours: was it cut short?"))
    }
}
