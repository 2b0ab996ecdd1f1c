//! The button by which a person takes an alert on, where a policy has `first_acknowledges`. It stands before the alert's own buttons, because
//! browsers show two of all.

use crate::channel::message::{ACKNOWLEDGE, AlertContent, Button};

/// The alert with its button, where it is to be acknowledged. `page` asks a person for it, for browsers that show a push by themselves.
pub(super) fn with_button(alert: AlertContent, locale: Option<&str>, page: Option<&str>) -> AlertContent {
    if !alert.is_to_acknowledge {
        return alert;
    }
    let button = Button {
        id: ACKNOWLEDGE.to_owned(),
        title: word(locale).to_owned(),
        link: page.map(str::to_owned),
        answer: None,
    };
    let actions = [button].into_iter().chain(alert.actions).collect();
    AlertContent { actions, ..alert }
}

/// What stands on it, in the reader's language where we have it: as in the inbox (`web/inbox/src/languages`).
fn word(locale: Option<&str>) -> &'static str {
    let language = locale.unwrap_or_default().split(['-', '_']).next().unwrap_or_default();
    match language.to_ascii_lowercase().as_str() {
        "ar" => "إقرار",
        "de" => "Übernehmen",
        "es" => "Me encargo",
        "fr" => "Je m’en charge",
        "ja" => "対応する",
        _ => "Acknowledge",
    }
}
