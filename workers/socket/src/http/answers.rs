//! What users' clients are answered over HTTP, as JSON. The OpenAPI document derives from these types.
//!
//! Elsewhere: frames, preferences and problem documents in `watchbell::wire`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{
    ToSchema,
    openapi::schema::{SchemaType, Type},
};
use watchbell::{
    domain::{AttemptState, InboxState, PushEnvironment, PushService, ReceiptState},
    store::PageStart,
    wire::{
        action::AnswerV1,
        alert::ContentV1,
        event::EventContentV1,
        schema::{DeviceName, one_of, whole},
    },
};

watchbell::schemas! {
    /// Where the next page of an inbox begins, or `null`.
    NextBeforeOrNull = whole(0, u64::MAX)
        .schema_type(SchemaType::Array(vec![Type::Integer, Type::String, Type::Null]));
    /// What a person did with an alert.
    InboxStateWord called "InboxState" = one_of(InboxState::WORDS);
    /// What may be said of an alert.
    ReceiptStateWord called "ReceiptState" = one_of(ReceiptState::WORDS);
    /// Whose service takes pushes for a device.
    PushServiceWord called "PushService" = one_of(PushService::WORDS);
    /// Where a push stands: `accepted` by the push service is not shown, and not seen.
    PushStateWord called "PushState" = one_of(AttemptState::WORDS);
    /// Which of Apple's two worlds a token lives in.
    PushEnvironmentWord called "PushEnvironment" = one_of(PushEnvironment::WORDS);
}

/// A page of the inbox.
#[derive(Serialize, ToSchema)]
pub(crate) struct InboxPage<'a> {
    /// The inbox's change number.
    pub(crate) seq: u64,
    /// A stream that begins there misses nothing.
    pub(crate) cursor: String,
    pub(crate) unread: u64,
    /// The last change that deleted rows, 0 when none did. Whoever knows rows from before it, and does not find them in pages
    /// that reach down to them, lets go of them.
    pub(crate) deleted_to: u64,
    /// `before` of the next page, to be sent as it is; null on the last. A number, or a text where the next page begins
    /// within a change that fills more than one page.
    #[schema(required, value_type = NextBeforeOrNull)]
    pub(crate) next_before: Option<NextBefore>,
    pub(crate) alerts: Vec<InboxRow<'a>>,
}

/// What is percent-encoded of a name: all but what means nothing else in an address.
const NOT_PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@');

/// Where the next page begins.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum NextBefore {
    /// Before a change.
    Change(u64),
    /// Within a change, after one of its alerts: `394:disk-db-1`.
    Within(String),
}

impl NextBefore {
    pub(crate) fn of(PageStart { seq, after }: PageStart) -> Self {
        match after {
            None => Self::Change(seq),
            // As it may stand in an address, so that it can be sent back as it is.
            Some(after) => Self::Within(format!("{seq}:{}", utf8_percent_encode(after.as_str(), NOT_PLAIN))),
        }
    }
}

/// One alert of the inbox.
#[derive(Serialize, ToSchema)]
pub(crate) struct InboxRow<'a> {
    pub(crate) seq: u64,
    #[schema(value_type = InboxStateWord)]
    pub(crate) state: &'a str,
    /// Until when it is snoozed; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub(crate) until: Option<String>,
    /// What the person answered, if they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) answer: Option<AnswerV1>,
    #[schema(format = DateTime)]
    pub(crate) recorded_at: String,
    #[schema(value_type = ContentV1<'static>)]
    pub(crate) alert: &'a RawValue,
}

/// The categories of a person's newest alerts.
#[derive(Serialize, ToSchema)]
#[schema(as = InboxCategories)]
pub(crate) struct CategoryList {
    /// By name.
    pub(crate) categories: Vec<String>,
    /// Whether these are all that the inbox has. False: it has older alerts that were not looked at, or more categories than are
    /// told.
    pub(crate) complete: bool,
}

/// A receipt was written.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReceiptWritten {
    /// The inbox's change number; not there when nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) unread: Option<u64>,
    /// The alerts that it changed.
    pub(crate) alerts: Vec<String>,
    #[schema(value_type = ReceiptStateWord)]
    pub(crate) state: String,
    /// Until when they are snoozed; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub(crate) until: Option<String>,
    /// By which action they are answered; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) action: Option<String>,
}

/// The user's devices.
#[derive(Serialize, ToSchema)]
#[schema(as = Devices)]
pub(crate) struct DeviceList {
    pub(crate) devices: Vec<ShownDevice>,
}

/// A device, without its token.
#[derive(Serialize, ToSchema)]
#[schema(as = Device)]
pub(crate) struct ShownDevice {
    #[schema(value_type = DeviceName)]
    pub(crate) device: String,
    #[schema(value_type = PushServiceWord)]
    pub(crate) service: &'static str,
    #[schema(value_type = PushEnvironmentWord)]
    pub(crate) environment: &'static str,
    /// When the app or page last registered it, which it does whenever it is opened.
    #[schema(format = DateTime)]
    pub(crate) registered_at: String,
    /// The last push of an alert to it; not there when none of the user's last 200 messages was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) last_push: Option<ShownPush>,
    /// The last test that the user asked for; not there when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) test: Option<ShownTest>,
}

/// A push to a device.
#[derive(Serialize, ToSchema)]
#[schema(as = DevicePush)]
pub(crate) struct ShownPush {
    #[schema(format = DateTime)]
    pub(crate) at: String,
    #[schema(value_type = PushStateWord)]
    pub(crate) state: &'static str,
}

/// A test of a device.
#[derive(Serialize, ToSchema)]
#[schema(as = DeviceTest)]
pub(crate) struct ShownTest {
    #[schema(format = DateTime)]
    pub(crate) asked_at: String,
    #[schema(value_type = PushStateWord)]
    pub(crate) state: &'static str,
    /// What the push service answered, as a word: `accepted`, `unregistered`, `bad_token`, `unavailable`, …; `put_off` when it is busy or
    /// in trouble, `not_configured` when nothing is sent by it here. Not there before the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) outcome: Option<String>,
    /// When it ended; not there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub(crate) ended_at: Option<String>,
}

/// What a page gives as `applicationServerKey` to `pushManager.subscribe`.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebPushKey {
    /// Base64url.
    pub(crate) key: String,
}

/// What was kept of a topic, oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeptEvents {
    pub(crate) topic: String,
    #[schema(value_type = Vec<EventContentV1<'static>>)]
    pub(crate) events: Vec<Box<RawValue>>,
}
