//! One dead letter: how an operator reads it, where it came from, and whether it can be sent again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use watchbell::{
    broker::{Address, BODY_BYTES_MAX, Delivery, Message, WorkQueue, topology},
    wire::refused,
};

/// One letter, as an operator reads it. Bodies hold what people are told, which is why only `show` prints them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    /// As its producer named it, which may be nothing, or like another's.
    pub(crate) id: String,
    /// A name made of its content, which every letter has.
    pub(crate) mark: String,
    /// The queue it comes from, where that is known.
    pub(crate) from: String,
    pub(crate) reason: String,
    pub(crate) bytes: u64,
    pub(crate) headers: BTreeMap<String, String>,
    /// Only when it was asked for.
    pub(crate) body: Option<String>,
}

/// What a letter's mark begins with: no id of ours does.
const MARK: char = '~';

impl Letter {
    /// Without its body.
    pub(crate) fn of(delivery: &Delivery) -> Self {
        let Delivery { message, unreadable, .. } = delivery;
        let header = |name: &str| message.headers.get(name).cloned();
        let reason = header(refused::REASON)
            .or_else(|| unreadable.as_ref().map(|unreadable| unreadable.reason.clone()))
            .or_else(|| header("x-first-death-reason"));
        let from = match home_of(message) {
            Some(Address::Alerts) => WorkQueue::Dispatch.name(),
            Some(Address::Undelivered) => WorkQueue::Undelivered.name(),
            _ => "unknown",
        };
        Self {
            id: message.message_id.clone(),
            mark: mark_of(message),
            from: from.to_owned(),
            reason: reason.unwrap_or_else(|| "delivered too often".to_owned()),
            bytes: message.body.len() as u64,
            headers: message.headers.clone(),
            body: None,
        }
    }

    pub(crate) fn with_body(delivery: &Delivery) -> Self {
        let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
        Self { body: Some(body), ..Self::of(delivery) }
    }

    /// About how many bytes are told of it.
    pub(crate) fn told_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let body = self.body.as_ref().map_or(0, String::len);
        self.id.len() + self.mark.len() + self.from.len() + self.reason.len() + headers + body
    }

    /// What to call it: its id, or its mark where it has none that can be typed as the name of one letter.
    pub(crate) fn name(&self) -> &str {
        match is_name(&self.id) {
            true => &self.id,
            false => &self.mark,
        }
    }
}

/// Whether an id can be read off a list, typed on a command line, and is taken for a name there: not for an option such as
/// `--all`, and not for a mark. Characters that nobody sees or that turn the text round are left to marks.
fn is_name(id: &str) -> bool {
    let is_seen = |c: char| c.is_alphanumeric() || c.is_ascii_punctuation();
    !id.is_empty() && !id.starts_with(['-', MARK]) && id.chars().all(is_seen)
}

/// Whether one of these names means the letter.
pub(crate) fn is_named(message: &Message, names: &[String]) -> bool {
    // The mark costs a hash of the body: it is made when somebody asks by one.
    let marks = names.iter().any(|name| name.starts_with(MARK)).then(|| mark_of(message));
    let is_meant =
        |name: &String| (is_name(name) && *name == message.message_id) || marks.as_ref() == Some(name);
    names.iter().any(is_meant)
}

fn mark_of(message: &Message) -> String {
    let digest =
        Sha256::new().chain_update(&message.message_id).chain_update([0]).chain_update(&message.body);
    let hex: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{MARK}{hex}")
}

/// The letter as it is sent again, and where to.
///
/// # Errors
/// Why it cannot be: it stays.
pub(crate) fn replay_of(delivery: &Delivery) -> Result<(Address, Message), String> {
    let message = &delivery.message;
    if delivery.unreadable.is_some() || message.headers.contains_key(refused::RAW) {
        return Err("its properties cannot be read, so it cannot be sent as it was".into());
    }
    if message.is_stub() {
        return Err("only its beginning was kept: its producer has to send it again".into());
    }
    if message.body.len() > BODY_BYTES_MAX {
        return Err(format!("is longer than the {BODY_BYTES_MAX} bytes that are carried"));
    }
    let Some(to) = home_of(message) else {
        return Err(
            "nobody knows where it came from: publish its body by hand (`dead show`), then drop it".into()
        );
    };
    Ok((to, message.clone().as_sent()))
}

/// Where a letter came from: as whoever set it aside says, else by its type.
fn home_of(message: &Message) -> Option<Address> {
    let headers = &message.headers;
    let noted = [refused::FROM, "x-last-death-queue", "x-first-death-queue"].iter().find_map(|name| {
        let queue = headers.get(*name)?;
        WorkQueue::ALL.into_iter().find(|ours| ours.name() == queue)
    });
    let kind = headers.get(topology::TYPE_HEADER).map(String::as_str).unwrap_or_default();
    match noted.or_else(|| message.envelope.died_in()) {
        Some(WorkQueue::Dispatch) => Some(Address::Alerts),
        Some(WorkQueue::Undelivered) => Some(Address::Undelivered),
        _ if kind.starts_with("alert.") => Some(Address::Alerts),
        _ if kind.starts_with("undelivered.") => Some(Address::Undelivered),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use watchbell::broker::{Settle, Unreadable};

    use super::*;

    fn letter(headers: &[(&str, &str)]) -> Message {
        let mut message = Message::json("m-1".into(), "{}");
        message.headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        message
    }

    #[test]
    fn a_letter_is_called_by_an_id_only_where_that_can_mean_nothing_else() {
        for (why, id, expected) in [
            ("a plain id", "disk-7", true),
            ("letters of any script, and what ids are made of", "tenant/żółw:7@x", true),
            ("an option that means all of them", "--all", false),
            ("another option", "-1", false),
            ("what looks like a mark", "~0123456789ab", false),
            ("nothing: an unset variable of a shell", "", false),
            ("text that is turned round", "\u{202e}gnp", false),
            ("a character that nobody sees", "a\u{200b}b", false),
            ("a blank", "a b", false),
        ] {
            let mut message = letter(&[]);
            message.message_id = id.to_owned();
            assert_eq!(is_name(id), expected, "{why}");
            assert_eq!(is_named(&message, &[id.to_owned()]), expected, "{why}");
            assert!(is_named(&message, &[mark_of(&message)]), "{why}: its mark always does");
        }
    }

    #[test]
    fn home_is_what_is_known_of_it() {
        for (why, headers, expected) in [
            ("set aside by us", vec![(refused::FROM, "watchbell.undelivered")], Some(Address::Undelivered)),
            ("by the broker", vec![("x-first-death-queue", "watchbell.dispatch")], Some(Address::Alerts)),
            (
                "dead before, with its producer",
                vec![("x-first-death-queue", "theirs"), ("x-last-death-queue", "watchbell.dispatch")],
                Some(Address::Alerts),
            ),
            ("by its type", vec![("type", "alert.v1")], Some(Address::Alerts)),
            ("by its type", vec![("type", "undelivered.v1")], Some(Address::Undelivered)),
            (
                "from anywhere",
                vec![("x-first-death-queue", "theirs"), ("type", "alert.v1")],
                Some(Address::Alerts),
            ),
            ("unknown", vec![("type", "live.v1")], None),
            ("nothing", vec![], None),
        ] {
            assert_eq!(home_of(&letter(&headers)), expected, "{why}");
        }
    }

    struct Nowhere;

    #[async_trait]
    impl Settle for Nowhere {
        async fn ack(self: Box<Self>) {}
        async fn requeue(self: Box<Self>) {}
    }

    #[test]
    fn what_cannot_be_sent_again_says_why() {
        let delivered = |message: Message, unreadable: Option<Unreadable>| Delivery {
            message,
            redelivered: false,
            unreadable,
            cut: None,
            settle: Box::new(Nowhere),
        };

        let home = (refused::FROM, "watchbell.dispatch");
        let long = Message { body: vec![b'x'; BODY_BYTES_MAX + 1].into(), ..letter(&[home]) };
        for (why, message, expected) in [
            ("a stub", letter(&[home, (refused::SIZE, "9000000")]), "only its beginning"),
            ("one that could not be read", letter(&[home, (refused::RAW, "ff")]), "its properties"),
            ("a cut one", letter(&[home, (refused::CUT, "huge (9 bytes)")]), "only its beginning"),
            ("a long one", long, "is longer than"),
            ("from nowhere", letter(&[]), "nobody knows"),
        ] {
            let said = replay_of(&delivered(message, None)).err().unwrap_or_default();
            assert!(said.starts_with(expected), "{why}: {said}");
        }
        let unreadable = Unreadable { reason: "no text".into(), raw: vec![0xff].into() };
        let said = replay_of(&delivered(letter(&[home]), Some(unreadable))).err().unwrap_or_default();
        assert!(said.starts_with("its properties"), "{said}");
        assert!(replay_of(&delivered(letter(&[home]), None)).is_ok());
    }

    #[test]
    fn every_letter_has_a_name() {
        let named = |id: &str| {
            let (message, settle) = (Message { message_id: id.into(), ..letter(&[]) }, Box::new(Nowhere));
            Letter::of(&Delivery { message, redelivered: false, unreadable: None, cut: None, settle })
        };
        let mark = named("").mark;
        for (why, id, expected) in [
            ("its id", "m-1", "m-1"),
            ("none", "", mark.as_str()),
            ("one that steers", "a\nb", &named("a\nb").mark),
            ("one that could not be read", "a\u{fffd}", &named("a\u{fffd}").mark),
        ] {
            assert_eq!(named(id).name(), expected, "{why}");
        }
        let nameless = Message { message_id: String::new(), ..letter(&[]) };
        assert!(is_named(&nameless, &["m-1".into(), mark]));
        assert!(!is_named(&nameless, &["~000000000000".into()]));
        assert!(is_named(&letter(&[]), &["m-1".into()]));
    }
}
