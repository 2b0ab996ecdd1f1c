//! Frames of the session protocol `watchbell.v1` (`docs/architecture.md`, "The session protocol").
//!
//! A frame is a JSON object with a `type`. Several frames may share one WebSocket message, one a line. Unknown types and
//! fields are ignored. `tests/fixtures` holds one of each, for the Rust tests and for clients in other languages alike.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{json, value::RawValue};
use utoipa::ToSchema;

use super::{
    action::{ActionId, AnswerV1},
    alert::{InvalidAlert, null_is_absent, read},
    preferences::PreferencesV1,
    schema::{self, AlertIdentity, list, of, one_of, text_or_null, with},
};
use crate::domain::{AlertId, ReceiptState, receipt::RECEIPT_ALERTS_MAX};

/// The longest frame a client may send, in bytes.
pub const CLIENT_FRAME_BYTES_MAX: usize = 16 * 1024;

/// What a client says: [`ClientFrame::read`].
#[derive(Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// The first frame of a session that did not authenticate in its request.
    Auth(Auth),
    /// What the person did with alerts.
    Receipt(ReceiptFrame),
    /// The answer to `ping`.
    Pong {},
    /// From now on, tell me of this topic's events; its kept ones first.
    Subscribe(TopicNamed),
    /// No more of this topic.
    Unsubscribe(TopicNamed),
    /// This topic's kept events once more; without a topic, of all that are subscribed.
    Refresh(TopicMaybe),
    /// Whether the person can see the page.
    Visibility {
        /// `visible` or `hidden`.
        state: Visibility,
    },
    /// A frame of a later protocol: ignored.
    Unknown,
}

/// Why a line is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON object, so nobody meant it for a frame of this protocol.
    #[error("{0}")]
    NoFrame(InvalidAlert),
    /// A frame with a field that is missing or cannot be used.
    #[error("{0}")]
    Field(InvalidAlert),
}

impl ClientFrame {
    /// Reads one line. Its type is read first and then the fields of that type, because a reader that does both at once
    /// forgets which field was wrong and takes a list for an object.
    ///
    /// # Errors
    /// [`Unreadable`] names the field and the remedy, and repeats no value (I12).
    pub fn read(line: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(borrow)]
            r#type: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct See {
            state: Visibility,
        }
        fn fields<T: DeserializeOwned>(line: &str) -> Result<T, Unreadable> {
            read("frame", line.as_bytes()).map_err(Unreadable::Field)
        }
        let is_object = serde_json::from_str::<&RawValue>(line)
            .map(|value| value.get().starts_with('{'))
            .map_err(|error| error.to_string());
        let no_frame = |problem: &str| Unreadable::NoFrame(InvalidAlert::new("frame", problem));
        match is_object {
            Ok(true) => {}
            Ok(false) => return Err(no_frame("has the wrong type: expected an object")),
            Err(error) => return Err(no_frame(&format!("is not JSON: {error}"))),
        }
        let typed: Typed<'_> = read("frame", line.as_bytes()).map_err(Unreadable::Field)?;
        Ok(match &*typed.r#type {
            "auth" => Self::Auth(fields(line)?),
            "receipt" => Self::Receipt(fields(line)?),
            "pong" => Self::Pong {},
            "subscribe" => Self::Subscribe(fields(line)?),
            "unsubscribe" => Self::Unsubscribe(fields(line)?),
            "refresh" => Self::Refresh(fields(line)?),
            "visibility" => Self::Visibility { state: fields::<See>(line)?.state },
            _ => Self::Unknown,
        })
    }
}

/// Who it is, and from where to go on.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Auth {
    /// A JWT. Not printed: `ClientFrame` has no `Debug`.
    pub token: Option<String>,
    /// From where to go on; absent: from now.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Whether the person can see the page.
    #[serde(default)]
    pub visibility: Option<Visibility>,
    /// Topics to subscribe to from the start.
    #[serde(default, deserialize_with = "null_is_absent")]
    pub topics: Vec<String>,
    /// What to leave out.
    #[serde(default)]
    pub filter: Option<Filter>,
    /// Several frames in one message.
    #[serde(default)]
    pub batch: Option<Batch>,
}

impl Auth {
    /// What this frame says, and what the request said where the frame does not. Topics of both.
    #[must_use]
    pub fn over(self, request: Self) -> Self {
        let mut topics = request.topics;
        topics.extend(self.topics);
        Self {
            token: self.token.or(request.token),
            cursor: self.cursor.or(request.cursor),
            visibility: self.visibility.or(request.visibility),
            topics,
            filter: self.filter.or(request.filter),
            batch: self.batch.or(request.batch),
        }
    }
}

/// Whether the person can see the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// It is in front.
    Visible,
    /// In another tab, minimised, behind a lock screen.
    Hidden,
}

/// Frames about a topic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TopicNamed {
    /// Which.
    pub topic: String,
}

/// A frame that may name a topic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TopicMaybe {
    /// Which; absent: all.
    #[serde(default)]
    pub topic: Option<String>,
}

/// Which alerts and events a session is told of: those that meet every condition. An empty one asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// An event's `type` or an alert's `category` is one of these.
    pub types: Vec<String>,
    /// Its `source` is one of these.
    pub sources: Vec<String>,
    /// It has all of these labels.
    pub labels: BTreeMap<String, String>,
    /// It is at least so severe: info, warning or critical.
    pub min_severity: Option<String>,
}

/// Frames are gathered and sent together, one a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Batch {
    /// Frames of one message at the most, 1 to 256.
    pub max: u16,
    /// Milliseconds a frame waits for others at the most, 1 to 10,000.
    pub wait_ms: u16,
}

impl Default for Batch {
    fn default() -> Self {
        Self { max: 10, wait_ms: 100 }
    }
}

/// A receipt as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct ReceiptFrame {
    /// About which alerts.
    #[schema(value_type = ReceiptAlerts)]
    pub alerts: Vec<String>,
    /// What became of them.
    #[schema(value_type = ReceiptStateWord)]
    pub state: String,
    /// With `snoozed`, and only then: until when, as RFC 3339 writes a time, in the future and at most 30 days from now.
    #[serde(default)]
    #[schema(format = "watchbell-snooze")]
    pub until: Option<String>,
    /// With `answered`, and only then: the id of an action of the alert that has an `answer`.
    #[serde(default)]
    #[schema(value_type = Option<ActionId>)]
    pub action: Option<String>,
    /// The client's own name for this, echoed in the receipt frame. At most 200 bytes.
    #[serde(default)]
    #[schema(value_type = ReceiptName)]
    pub op: Option<String>,
    /// With the receipt token of a push, and only then: whether Google had lowered the priority of that push.
    #[serde(default)]
    pub priority_lowered: Option<bool>,
}

crate::schemas! {
    /// The alerts that a receipt is about.
    ReceiptAlerts =
        list(of::<AlertIdentity>()).min_items(Some(1)).max_items(Some(RECEIPT_ALERTS_MAX)), with AlertIdentity;
    /// What may be said of an alert.
    ReceiptStateWord called "ReceiptState" = one_of(ReceiptState::WORDS);
    /// A client's own name for a receipt.
    ReceiptName =
        text_or_null().max_length(Some(AlertId::LEN_MAX)).format(Some(schema::format("watchbell-id")));
    /// A receipt as a client writes it over HTTP.
    WrittenReceipt called "ReceiptSaid" = {
        let (snoozed, answered) = (ReceiptState::Snoozed.as_str(), ReceiptState::Answered.as_str());
        let others: Vec<&&str> =
            ReceiptState::WORDS.iter().filter(|word| ![snoozed, answered].contains(*word)).collect();
        let absent = json!({"type": "null"});
        with(
            ReceiptFrame::schema(),
            &json!({"anyOf": [
                {
                    "properties": {
                        "state": {"const": snoozed},
                        "until": {"type": "string", "format": "watchbell-snooze"},
                        "action": absent,
                    },
                    "required": ["until"],
                },
                {
                    "properties": {"state": {"const": answered}, "action": {"type": "string"}, "until": absent},
                    "required": ["action"],
                },
                {"properties": {"state": {"enum": others}, "until": absent, "action": absent}},
            ]}),
        )
    }, as ReceiptFrame;
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame<'a> {
    /// The session stands.
    Hello(Hello<'a>),
    /// An alert, new, updated or replayed.
    Alert(AlertFrame<'a>),
    /// Somebody (another tab, the phone) did something with alerts.
    Receipt(ReceiptSaid<'a>),
    /// Something happened on a topic.
    Event(EventFrame<'a>),
    /// What the user wants has changed, here or elsewhere.
    Preferences {
        /// All of it, as `GET /v1/preferences` answers.
        preferences: &'a RawValue,
    },
    /// A topic's kept events, oldest first: on subscribing, on `refresh` and after a `resync`.
    Snapshot {
        /// Which topic.
        topic: &'a str,
        /// What was kept.
        events: &'a [&'a RawValue],
    },
    /// The session ends: what a WebSocket says with its close code, for SSE and poll.
    Close {
        /// As in the table of close codes.
        code: u16,
        /// The same in words.
        reason: &'a str,
    },
    /// An idle client learns that it missed something.
    Ping {
        /// The head of the inbox.
        seq: u64,
        /// The same as a cursor, in the answer to a poll that has nothing else to tell.
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<&'a str>,
    },
    /// The backlog was dropped: fetch the inbox, go on from `seq`.
    Resync {
        /// Why.
        reason: &'a str,
        /// The head from which live frames follow.
        seq: u64,
        /// The same as a cursor.
        cursor: &'a str,
        /// The badge.
        unread: u64,
    },
    /// Reconnect somewhere in that window, and keep reading until then.
    Goaway {
        /// Not before.
        after_ms: u64,
        /// Not later than this after that.
        within_ms: u64,
        /// Why.
        reason: &'a str,
    },
    /// A frame was not acceptable; the session goes on.
    Error {
        /// Stable for programs.
        code: &'a str,
        /// For people, with the remedy.
        title: &'a str,
    },
}

/// The session stands.
#[derive(Debug, Serialize)]
pub struct Hello<'a> {
    /// The session's id, named in logs and in `by` of its receipts.
    pub session: &'a str,
    /// Who the token says it is.
    pub user: &'a str,
    /// The head of the inbox.
    pub seq: u64,
    /// The cursor the replay begins after, or the head's.
    pub cursor: &'a str,
    /// The badge.
    pub unread: u64,
    /// Whether what was missed follows (true), or the client starts from the head.
    pub resumed: bool,
    /// How often the server pings, at the most.
    pub heartbeat_ms: u64,
    /// What the user wants, as `GET /v1/preferences` answers.
    pub preferences: &'a PreferencesV1,
    /// The server's clock, RFC 3339.
    pub server_time: &'a str,
}

/// An alert with its place in the inbox.
#[derive(Debug, Serialize)]
pub struct AlertFrame<'a> {
    /// The change number.
    pub seq: u64,
    /// Resume after this.
    pub cursor: &'a str,
    /// The badge.
    pub unread: u64,
    /// new, seen, read, dismissed or snoozed.
    pub state: &'a str,
    /// Until when it is snoozed, RFC 3339; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<&'a str>,
    /// What the person answered, if they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<&'a AnswerV1>,
    /// What the alert says.
    pub alert: &'a RawValue,
}

/// An event of a topic.
#[derive(Debug, Serialize)]
pub struct EventFrame<'a> {
    /// Which topic.
    pub topic: &'a str,
    /// What was published.
    pub event: &'a RawValue,
}

/// A receipt that changed the inbox.
#[derive(Debug, Serialize)]
pub struct ReceiptSaid<'a> {
    /// The change number.
    pub seq: u64,
    /// Resume after this.
    pub cursor: &'a str,
    /// The badge.
    pub unread: u64,
    /// The alerts it changed.
    pub alerts: &'a [String],
    /// What was said.
    pub state: &'a str,
    /// Until when the alerts are snoozed, RFC 3339; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<&'a str>,
    /// By which action the alerts are answered; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'a str>,
    /// Which session said it, `http`, `link` for a link in a message, or `reply` for a reply to a mail.
    pub by: &'a str,
    /// The client's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<&'a str>,
}

impl ServerFrame<'_> {
    /// The frame as one line of JSON.
    pub fn encode(&self) -> String {
        // Text, numbers and JSON that was read as JSON always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Every `type`.
    pub const NAMES: [&'static str; 11] = [
        "hello",
        "alert",
        "receipt",
        "event",
        "preferences",
        "snapshot",
        "close",
        "ping",
        "resync",
        "goaway",
        "error",
    ];

    /// Its `type`, one of [`Self::NAMES`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Alert(_) => "alert",
            Self::Receipt(_) => "receipt",
            Self::Event(_) => "event",
            Self::Preferences { .. } => "preferences",
            Self::Snapshot { .. } => "snapshot",
            Self::Close { .. } => "close",
            Self::Ping { .. } => "ping",
            Self::Resync { .. } => "resync",
            Self::Goaway { .. } => "goaway",
            Self::Error { .. } => "error",
        }
    }

    /// How many bytes the alert or event has that ends it, before the last brace; 0 for other frames.
    pub fn inner_len(&self) -> usize {
        match self {
            Self::Alert(frame) => frame.alert.get().len(),
            Self::Event(frame) => frame.event.get().len(),
            _ => 0,
        }
    }
}

/// A place in one user's inbox: the store's epoch and a change number. Opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor<'a> {
    /// The store's history it belongs to.
    pub epoch: &'a str,
    /// The last change number the client has.
    pub seq: u64,
}

impl<'a> Cursor<'a> {
    /// Reads a cursor; `None` for anything that is not one.
    pub fn parse(raw: &'a str) -> Option<Self> {
        let (epoch, seq) = raw.split_once('.')?;
        Some(Self { epoch, seq: seq.parse().ok()? })
    }

    /// As clients are given it.
    pub fn encode(&self) -> String {
        format!("{}.{}", self.epoch, self.seq)
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn what_a_later_client_says_is_ignored_and_what_it_adds_as_well() {
    let read = |text: &str| ClientFrame::read(text).unwrap();
    assert!(read(r#"{"type":"holograms","on":true}"#) == ClientFrame::Unknown);
    let auth = Auth { token: Some("t".into()), ..Auth::default() };
    assert!(read(r#"{"type":"auth","token":"t","mood":"fine"}"#) == ClientFrame::Auth(auth));
    assert!(read(r#"{"type":"pong","seq":3}"#) == ClientFrame::Pong {});
}

#[test]
fn what_is_no_frame_is_told_from_a_frame_with_a_wrong_field() {
    for (why, line, is_frame, told) in [
        ("text", "hello?", false, "frame: is not JSON"),
        ("half a frame", r#"{"type":"receipt""#, false, "frame: is not JSON"),
        ("two on a line", r#"{"type":"pong"}{"type":"pong"}"#, false, "frame: is not JSON"),
        ("a number", "1", false, "frame: has the wrong type: expected an object"),
        (
            "fields by position",
            r#"["receipt",["a"],"seen"]"#,
            false,
            "frame: has the wrong type: expected an object",
        ),
        ("no type", "{}", true, "type: is missing"),
        ("a type that is no text", r#"{"type":["auth"]}"#, true, "type: has the wrong type"),
        ("no alerts", r#"{"type":"receipt","state":"seen"}"#, true, "alerts: is missing"),
        (
            "one alert for a list",
            r#"{"type":"receipt","alerts":"a","state":"seen"}"#,
            true,
            "alerts: has the wrong type",
        ),
        (
            "a filter by position",
            r#"{"type":"auth","token":"t","filter":[["a"]]}"#,
            true,
            "filter: has the wrong type: expected an object",
        ),
        (
            "a batch by position",
            r#"{"type":"auth","token":"t","batch":[10,100]}"#,
            true,
            "batch: has the wrong type: expected an object",
        ),
        ("a word that is none", r#"{"type":"visibility","state":"half"}"#, true, "state: is not known"),
    ] {
        let Err(unreadable) = ClientFrame::read(line) else { panic!("{why} is read") };
        assert_eq!(matches!(unreadable, Unreadable::Field(_)), is_frame, "{why}");
        assert!(unreadable.to_string().starts_with(told), "{why}: {unreadable}");
    }
}

#[test]
fn a_cursor_reads_back_and_nonsense_does_not() {
    let cursor = Cursor { epoch: "ab12", seq: 7 };
    assert_eq!(Cursor::parse(&cursor.encode()), Some(cursor));
    for nonsense in ["", "7", "ab12.", "ab12.x", "ab12.-1"] {
        assert_eq!(Cursor::parse(nonsense), None, "{nonsense}");
    }
}
