//! What arrived: every push and email the simulator took in, as a phone or a mailbox would show it.
//!
//! What holds here:
//! - A push with the collapse id or tag of one still shown on that token, and an email or a
//!   webhook with the id of one that came there, *replaces* it: same entry, `copies` + 1. Anything else *adds*.
//!   So a test tells a harmless duplicate from one that a person would notice.
//! - A withdrawal marks what is shown; a push that comes after it is shown again, as on a real
//!   phone, and says so (`after_withdrawal`).
//! - At most [`ARRIVALS_MAX`] entries and [`ARRIVALS_BYTES_MAX`] bytes; the oldest go first and are counted.
//!
//! Elsewhere: what a valid push or email is in `apns`, `fcm` and `smtp`; the JSON interface in `http`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use axum::body::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::activities::Activity;

/// Entries kept.
pub(crate) const ARRIVALS_MAX: usize = 20_000;
/// Bytes of text kept over all entries (their strings; not the bookkeeping around them).
pub(crate) const ARRIVALS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Who took it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Apns,
    Fcm,
    Webpush,
    Email,
    Webhook,
    Slack,
    Telegram,
    Sms,
}

/// The names a sender gave it, by which a provider tells duplicates.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Ids {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apns_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) collapse_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
}

/// One accepted push or email, before the store dates it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Incoming {
    pub(crate) kind: Kind,
    pub(crate) user: Option<String>,
    /// The token or the address.
    pub(crate) to: String,
    pub(crate) alert: Option<String>,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) ids: Ids,
    /// `apns-*` headers, or all of an email's; names in lower case.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// The JSON as sent; of a text message, what Twilio answered; none for an email.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<Box<RawValue>>,
    /// The alerts it takes back; none unless it is a withdrawal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) withdraws: Vec<String>,
    /// What a declarative browser made of it by itself; none when its service worker was given it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) declared: Option<Declared>,
    /// What it does to a Live Activity; none of any other push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) activity: Option<Activity>,
    /// How an email looks and was sent; none of another kind, and of an email without HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mail: Option<SentMail>,
    /// Which connection brought it, counted from 1 for each listener.
    pub(crate) connection: u64,
}

/// A notification that a browser showed without its service worker.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Declared {
    /// Where a click leads.
    pub(crate) navigate: String,
    /// The number on the app's icon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app_badge: Option<u64>,
}

/// An email, which is served at addresses of its own: lists of what arrived would be heavy with it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SentMail {
    /// Of its HTML, relative to the simulator's own address. Nobody guesses it, so that it needs no key: a frame in a page sends none.
    address: String,
    /// Of the email as it came over the wire, byte for byte.
    source: String,
    #[serde(skip)]
    html: String,
    #[serde(skip)]
    bytes: Bytes,
}

impl SentMail {
    pub(crate) fn new(html: String, bytes: Bytes) -> Self {
        let address = format!("mail/{}", Uuid::new_v4().simple());
        Self { source: format!("{address}/source"), address, html, bytes }
    }

    pub(crate) fn html(&self) -> &str {
        &self.html
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Incoming {
    /// The name under which a later one replaces this one.
    fn replace_name(&self) -> Option<&String> {
        match self.kind {
            // A Live Activity is one line, whatever it says.
            Kind::Apns if self.activity.is_some() => self.activity.as_ref().map(|activity| &activity.token),
            Kind::Apns => self.ids.collapse_id.as_ref(),
            // A collapse key merges only what still waits at Google; what is shown goes by tag.
            // The same at a browser: a topic merges what waits, the tag what is shown.
            Kind::Fcm | Kind::Webpush => self.ids.tag.as_ref(),
            Kind::Email | Kind::Webhook | Kind::Slack | Kind::Telegram => self.ids.message_id.as_ref(),
            Kind::Sms => None,
        }
    }

    /// The name under which a withdrawal takes it away.
    fn withdrawn_name(&self) -> Option<&String> {
        match self.kind {
            Kind::Telegram => self.ids.message_id.as_ref(),
            Kind::Apns
            | Kind::Fcm
            | Kind::Webpush
            | Kind::Email
            | Kind::Webhook
            | Kind::Slack
            | Kind::Sms => self.alert.as_ref(),
        }
    }

    fn key(&self, name: &str) -> Key {
        (self.kind, self.to.clone(), name.to_owned())
    }

    fn weight(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        let withdraws = self.withdraws.iter().map(String::len);
        let payload = self.payload.as_ref().map_or(0, |json| json.get().len());
        let shown = self.to.len() + self.title.len() + self.body.len();
        let mail = self.mail.as_ref().map_or(0, |mail| mail.html.len() + mail.bytes.len());
        shown + payload + mail + headers.chain(withdraws).sum::<usize>()
    }
}

/// One entry of `GET /arrivals`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Arrival {
    #[serde(flatten)]
    pub(crate) incoming: Incoming,
    /// When the first copy came.
    #[serde(serialize_with = "with_milliseconds")]
    at: Timestamp,
    /// When the latest copy came.
    #[serde(serialize_with = "with_milliseconds")]
    last_at: Timestamp,
    copies: u32,
    withdrawn: bool,
    withdrawal: bool,
    after_withdrawal: bool,
}

/// `?user=`, `?alert=`, `?since=` (RFC 3339, inclusive), `?limit=` (the newest), `?all=1` (withdrawals too).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    user: Option<String>,
    alert: Option<String>,
    since: Option<Timestamp>,
    limit: Option<usize>,
    all: Option<u8>,
}

impl Filter {
    fn accepts(&self, arrival: &Arrival) -> bool {
        let incoming = &arrival.incoming;
        let is_alert =
            |alert: &String| incoming.alert.as_ref() == Some(alert) || incoming.withdraws.contains(alert);
        (self.all == Some(1) || !arrival.withdrawal)
            && self.user.as_ref().is_none_or(|user| incoming.user.as_ref() == Some(user))
            && self.alert.as_ref().is_none_or(is_alert)
            && self.since.is_none_or(|since| arrival.last_at >= since)
    }
}

/// Kind, token or address, and an alert or the name that replaces.
type Key = (Kind, String, String);

/// The bounded store. Entries have serial numbers, so that the indexes outlive what is dropped at the front.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    entries: VecDeque<Arc<Arrival>>,
    /// The serial number of `entries[0]`, which is also how many were dropped since the last clear.
    first: u64,
    bytes: usize,
    /// What a later copy would replace.
    shown: HashMap<Key, u64>,
    by_alert: HashMap<Key, Vec<u64>>,
    /// The latest withdrawal of each alert.
    withdrawn: HashMap<Key, u64>,
}

impl Arrivals {
    /// Takes in one accepted push or email.
    pub(crate) fn record(&mut self, incoming: Incoming, at: Timestamp) {
        let shown = incoming.replace_name().and_then(|name| self.shown.get(&incoming.key(name)).copied());
        match shown {
            _ if !incoming.withdraws.is_empty() => self.withdraw(incoming, at),
            Some(serial) => self.replace(serial, incoming, at),
            None => self.show(incoming, at),
        }
        while self.entries.len() > ARRIVALS_MAX || self.bytes > ARRIVALS_BYTES_MAX {
            self.drop_oldest();
        }
    }

    /// The entries that `filter` accepts, oldest first.
    pub(crate) fn list(&self, filter: &Filter) -> Vec<Arc<Arrival>> {
        let newest = self.entries.iter().rev().filter(|arrival| filter.accepts(arrival));
        let mut list: Vec<_> = newest.take(filter.limit.unwrap_or(ARRIVALS_MAX)).cloned().collect();
        list.reverse();
        list
    }

    /// What is shown there under this name: what a later one of it would replace.
    pub(crate) fn shown(&self, kind: Kind, to: &str, name: &str) -> Option<&Incoming> {
        let serial = self.shown.get(&(kind, to.to_owned(), name.to_owned()))?;
        self.entries.get((serial - self.first) as usize).map(|arrival| &arrival.incoming)
    }

    /// The newest email about this alert.
    pub(crate) fn newest_mail_about(&self, alert: &str) -> Option<Incoming> {
        let mut newest = self.entries.iter().rev().map(|arrival| &arrival.incoming);
        newest.find(|it| it.kind == Kind::Email && it.alert.as_deref() == Some(alert)).cloned()
    }

    /// The email at this address.
    pub(crate) fn mail_at(&self, address: &str) -> Option<SentMail> {
        let mut mails = self.entries.iter().rev().filter_map(|arrival| arrival.incoming.mail.as_ref());
        mails.find(|mail| mail.address == address).cloned()
    }

    /// How many entries were dropped for room since the last clear.
    pub(crate) fn dropped(&self) -> u64 {
        self.first
    }

    fn withdraw(&mut self, incoming: Incoming, at: Timestamp) {
        let serial = self.first + self.entries.len() as u64;
        for alert in &incoming.withdraws {
            let key = incoming.key(alert);
            for shown in self.by_alert.get(&key).into_iter().flatten() {
                let arrival = Arc::make_mut(&mut self.entries[(shown - self.first) as usize]);
                arrival.withdrawn = true;
                // It left the screen, so the next copy does not replace it: it is shown anew.
                if let Some(name) = arrival.incoming.replace_name() {
                    self.shown.remove(&arrival.incoming.key(name));
                }
            }
            self.withdrawn.insert(key, serial);
        }
        self.push(Arrival { withdrawal: true, ..Arrival::first(incoming, at) });
    }

    fn replace(&mut self, serial: u64, incoming: Incoming, at: Timestamp) {
        let after_withdrawal = self.was_withdrawn(&incoming);
        let arrival = Arc::make_mut(&mut self.entries[(serial - self.first) as usize]);
        self.bytes = self.bytes + incoming.weight() - arrival.incoming.weight();
        arrival.copies += 1;
        arrival.last_at = at;
        arrival.after_withdrawal |= after_withdrawal;
        let before = std::mem::replace(&mut arrival.incoming, incoming);
        if before.withdrawn_name() != arrival.incoming.withdrawn_name() {
            let now = Arc::clone(&self.entries[(serial - self.first) as usize]);
            self.forget_alert(&before, serial);
            self.index_alert(&now.incoming, serial);
        }
    }

    fn show(&mut self, incoming: Incoming, at: Timestamp) {
        let serial = self.first + self.entries.len() as u64;
        if let Some(name) = incoming.replace_name() {
            self.shown.insert(incoming.key(name), serial);
        }
        self.index_alert(&incoming, serial);
        let after_withdrawal = self.was_withdrawn(&incoming);
        self.push(Arrival { after_withdrawal, ..Arrival::first(incoming, at) });
    }

    fn push(&mut self, arrival: Arrival) {
        self.bytes += arrival.incoming.weight();
        self.entries.push_back(Arc::new(arrival));
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        let (serial, incoming) = (self.first, &oldest.incoming);
        self.first += 1;
        self.bytes -= incoming.weight();
        self.forget_alert(incoming, serial);
        if let Some(name) = incoming.replace_name() {
            let key = incoming.key(name);
            if self.shown.get(&key) == Some(&serial) {
                self.shown.remove(&key);
            }
        }
        for alert in &incoming.withdraws {
            let key = incoming.key(alert);
            if self.withdrawn.get(&key) == Some(&serial) {
                self.withdrawn.remove(&key);
            }
        }
    }

    fn was_withdrawn(&self, incoming: &Incoming) -> bool {
        incoming.withdrawn_name().is_some_and(|alert| self.withdrawn.contains_key(&incoming.key(alert)))
    }

    fn index_alert(&mut self, incoming: &Incoming, serial: u64) {
        if let Some(alert) = incoming.withdrawn_name() {
            self.by_alert.entry(incoming.key(alert)).or_default().push(serial);
        }
    }

    fn forget_alert(&mut self, incoming: &Incoming, serial: u64) {
        let Some(alert) = incoming.withdrawn_name() else { return };
        let key = incoming.key(alert);
        if let Some(serials) = self.by_alert.get_mut(&key) {
            serials.retain(|other| *other != serial);
            if serials.is_empty() {
                self.by_alert.remove(&key);
            }
        }
    }
}

impl Arrival {
    fn first(incoming: Incoming, at: Timestamp) -> Self {
        let (withdrawn, withdrawal, after_withdrawal) = (false, false, false);
        Self { incoming, at, last_at: at, copies: 1, withdrawn, withdrawal, after_withdrawal }
    }
}

fn with_milliseconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn push(alert: &str, collapse_id: Option<&str>) -> Incoming {
        Incoming {
            kind: Kind::Apns,
            user: Some("ana".into()),
            to: "a1".into(),
            alert: Some(alert.into()),
            title: alert.into(),
            body: String::new(),
            ids: Ids { collapse_id: collapse_id.map(Into::into), ..Ids::default() },
            headers: BTreeMap::new(),
            payload: None,
            withdraws: Vec::new(),
            declared: None,
            activity: None,
            mail: None,
            connection: 1,
        }
    }

    fn withdrawal(alert: &str) -> Incoming {
        Incoming { alert: None, withdraws: vec![alert.into()], ..push("", None) }
    }

    fn elsewhere(incoming: Incoming) -> Incoming {
        Incoming { to: "b2".into(), ..incoming }
    }

    /// Each row: what came, then `alert copies withdrawn after_withdrawal` of each entry.
    #[test]
    fn a_phone_shows_replaces_and_takes_back() {
        for (why, came, expected) in [
            (
                "no collapse id: a duplicate adds",
                vec![push("x", None), push("x", None)],
                vec!["x 1 - -", "x 1 - -"],
            ),
            (
                "the same collapse id replaces",
                vec![push("x", Some("c")), push("y", Some("c"))],
                vec!["y 2 - -"],
            ),
            (
                "another phone is another screen",
                vec![push("x", Some("c")), elsewhere(push("x", Some("c")))],
                vec!["x 1 - -", "x 1 - -"],
            ),
            (
                "a withdrawal takes all copies",
                vec![push("x", None), push("x", None), withdrawal("x")],
                vec!["x 1 w -", "x 1 w -"],
            ),
            ("but not another alert", vec![push("y", None), withdrawal("x")], vec!["y 1 - -"]),
            ("nor another phone", vec![push("x", None), elsewhere(withdrawal("x"))], vec!["x 1 - -"]),
            (
                "what replaced it is what is taken",
                vec![push("x", Some("c")), push("y", Some("c")), withdrawal("x")],
                vec!["y 2 - -"],
            ),
            (
                "a late push is shown anew, and says so",
                vec![push("x", Some("c")), withdrawal("x"), push("x", Some("c")), push("x", Some("c"))],
                vec!["x 1 w -", "x 2 - a"],
            ),
            ("a withdrawal may overtake its push", vec![withdrawal("x"), push("x", None)], vec!["x 1 - a"]),
        ] {
            let mut arrivals = Arrivals::default();
            for incoming in came {
                arrivals.record(incoming, Timestamp::UNIX_EPOCH);
            }
            let mark = |set: bool, letter: &'static str| if set { letter } else { "-" };
            let shown: Vec<_> = (arrivals.list(&Filter::default()).iter())
                .map(|a| {
                    let (withdrawn, after) = (mark(a.withdrawn, "w"), mark(a.after_withdrawal, "a"));
                    format!("{} {} {withdrawn} {after}", a.incoming.alert.as_ref().unwrap(), a.copies)
                })
                .collect();
            assert_eq!(shown, expected, "{why}");
        }
    }

    #[test]
    fn the_oldest_go_first_and_leave_no_trace() {
        let mut arrivals = Arrivals::default();
        arrivals.record(withdrawal("x"), Timestamp::UNIX_EPOCH);
        for n in 0..ARRIVALS_MAX {
            let n = n.to_string();
            arrivals.record(push(&n, Some(&n)), Timestamp::UNIX_EPOCH);
        }
        arrivals.record(push("0", Some("0")), Timestamp::UNIX_EPOCH);
        assert_eq!(
            (arrivals.entries.len(), arrivals.dropped()),
            (ARRIVALS_MAX, 1),
            "the withdrawal went, 0 was replaced"
        );
        arrivals.record(push("x", None), Timestamp::UNIX_EPOCH);
        arrivals.record(push("0", Some("0")), Timestamp::UNIX_EPOCH);
        assert_eq!(
            (arrivals.entries.len(), arrivals.dropped()),
            (ARRIVALS_MAX, 3),
            "0 went for x, so it adds"
        );
        assert!(arrivals.withdrawn.is_empty());
        assert_eq!(arrivals.shown.len(), ARRIVALS_MAX - 1);
        assert_eq!(arrivals.by_alert.len(), ARRIVALS_MAX);
    }

    #[test]
    fn large_emails_are_bounded_by_their_bytes() {
        let mut arrivals = Arrivals::default();
        let large = Incoming { body: "b".repeat(ARRIVALS_BYTES_MAX / 4), ..push("x", None) };
        for _ in 0..8 {
            arrivals.record(large.clone(), Timestamp::UNIX_EPOCH);
        }
        assert_eq!((arrivals.entries.len(), arrivals.dropped()), (3, 5));
    }

    #[test]
    fn times_have_milliseconds() {
        let mut arrivals = Arrivals::default();
        arrivals.record(push("x", None), Timestamp::UNIX_EPOCH);
        let json = serde_json::to_value(arrivals.list(&Filter::default())).unwrap();
        assert_eq!(json[0]["at"], "1970-01-01T00:00:00.000Z");
    }
}
