//! The spans of dispatch: one for each sampled delivery while it is in hand. Those of commits are in `commit.rs`.

use std::borrow::Cow;

use watchbell::{
    broker::Message,
    domain::Alert,
    runtime::traces::{
        self, Span,
        span_table::{ALERT, DISPATCH, FIELD, MESSAGE_ID, TENANT, VERSION},
    },
    wire::{TraceContext, published},
};

/// The longest name of a field that is told.
const FIELD_BYTES_MAX: usize = 32;

/// The span of a message that was taken. What ingest took was sampled there, or not; of what came over AMQP, it is decided here.
pub(crate) fn taken(message: &Message) -> Span {
    if !traces::is_on() {
        return Span::NONE;
    }
    let carried = traces::carried_in(&message.headers);
    let mut span = match message.headers.contains_key(published::ACCEPTED_AT) {
        true => traces::below(&DISPATCH, carried.as_ref()),
        false => traces::first(&DISPATCH, || DISPATCH.name.into(), || carried),
    };
    span.tell(|told| {
        told.say(&MESSAGE_ID, message.message_id.clone());
    });
    span
}

/// What it holds.
pub(crate) fn alert(span: &mut Span, alert: &Alert) {
    span.tell(|told| {
        told.say(&TENANT, alert.tenant.to_string())
            .say(&ALERT, alert.id.to_string())
            .say(&VERSION, i64::from(alert.version));
    });
}

/// It is refused, for something about this field.
pub(crate) fn refused(span: &mut Span, field: &str) {
    span.fail("refused");
    span.tell(|told| {
        told.say(&FIELD, field_word(field));
    });
}

/// The field, as far as we know it: what somebody misspelt is not told.
fn field_word(field: &str) -> Cow<'static, str> {
    let word = field.split(['.', '[', '/']).next().unwrap_or_default();
    let is_ours = (1..=FIELD_BYTES_MAX).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_ours { word.to_owned().into() } else { "other".into() }
}

/// What was taken, for a store: only of what is sampled.
pub(crate) fn stored(span: &Span) -> Option<std::sync::Arc<str>> {
    span.context().map(|context| context.stored().into())
}

/// What a store has of it.
pub(crate) fn read(stored: Option<&str>) -> Option<TraceContext> {
    stored.and_then(TraceContext::read_stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_told_only_if_it_may_be_ours() {
        for (field, expected) in [
            ("policy", "policy"),
            ("to.users[3]", "to"),
            ("user_id", "user_id"),
            ("ana@example.com", "other"),
            ("Title", "other"),
            ("", "other"),
        ] {
            assert_eq!(field_word(field), expected, "{field}");
        }
    }
}
