//! The OpenAPI document of this worker: its routes, each with the operation that stands in its row of [`super::routes`].
//!
//! `openapi.json` beside this crate's manifest is what comes out, kept so that a change of the API shows in a review. A test
//! of `workers/fleet` compares the two, and can write it anew.
//!
//! Elsewhere: what is answered in `answers`, what is written in `watchbell::wire`; mounts are an operator's own.

use serde_json::json;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use watchbell::{
    domain::{
        InboxList, Severity,
        search::{SEARCH_BYTES_MAX, SEARCH_WORDS_MAX},
    },
    runtime::http::{
        PAGE_ANSWER_BYTES_MAX,
        operation::{Described, Document, Group, Operation},
    },
    store::SEARCHED_ROWS_MAX,
    wire::{
        frame::WrittenReceipt,
        preferences::PreferencesV1,
        schema::{AlertIdentity, DeviceName, TopicName, format, grouped, list, object, one_of, text, whole},
    },
};

use super::{
    activities::ActivityBody,
    answers::{CategoryList, DeviceList, InboxPage, KeptEvents, ReceiptWritten, ShownDevice, WebPushKey},
    devices::WrittenDevice,
    inbox::{CATEGORIES_TOLD_MAX, PAGE_DEFAULT, PAGE_MAX},
    inbox_query::{CATEGORIES_MAX, GROUP_BYTES_MAX, LABELS_MAX},
    poll::{self, WAIT_S_DEFAULT, WAIT_S_MAX},
    topics,
};

/// The headings, in the order in which they are read.
const GROUPS: &[Group] = &[
    (
        "Sessions",
        "What happens, as it happens: one protocol over WebSocket, server-sent events or single requests.",
    ),
    ("Inbox", "A person's alerts, and what became of them."),
    ("Topics", "The kept events of a topic."),
    ("Preferences", "What a person wants, by which channel, and when not."),
    ("Devices", "The phones and browsers that are pushed to."),
    ("Links in emails", "Pages for people, which need no sign-in."),
];

const WITH_TOKEN: &[&str] = &["token", "cookie"];
/// Clients of streams that can send no header put the token into the address.
const STREAM_WITH_TOKEN: &[&str] = &["token", "cookie", "query"];

/// The document without a route.
pub(crate) fn document() -> Document {
    Document::new(
        "Watchbell for users",
        "A person's inbox, devices and streams.",
        GROUPS,
        WITH_TOKEN,
        schemes(),
    )
}

fn schemes() -> [(&'static str, SecurityScheme); 4] {
    let mut token = Http::new(HttpAuthScheme::Bearer);
    token.bearer_format = Some("JWT".into());
    token.description = Some("Made by the team's sign-in: `sub` is the user.".into());
    let query = ApiKeyValue::with_description(
        "token",
        "Of streams only, for clients that can send no header. Never logged.",
    );
    let mut push = Http::new(HttpAuthScheme::Bearer);
    push.description = Some(
        "The `receipt` of a push, for the receipt `delivered` of its alert alone. It ends with the push."
            .into(),
    );
    [
        ("token", SecurityScheme::Http(token)),
        ("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("watchbell_token")))),
        ("query", SecurityScheme::ApiKey(ApiKey::Query(query))),
        ("push", SecurityScheme::Http(push)),
    ]
}

/// The names of the 500 alerts of a receipt.
const RECEIPT_BYTES_MAX: usize = 256 * 1024;
/// They come as a body of 64 KiB, and are written out in full.
const PREFERENCES_BYTES_MAX: usize = 128 * 1024;
/// It is a file of ours.
const ASYNCAPI_BYTES_MAX: usize = 256 * 1024;

const NOT_ACCEPTABLE: &str = "A parameter or field is not acceptable: `field` says which.";
const FULL: &str =
    "The pod is full or leaving, or the store does not answer: come again after `Retry-After`.";
const UNREADABLE: &str = "The body or the handshake cannot be read.";
const NOT_ALLOWED: &str = "The page's origin is not allowed, or the token does not allow the topic.";

/// What every route with a token may answer.
fn with_token(group: &str, id: &str, summary: &str) -> Operation {
    Operation::new(group, id, summary)
        .refuses(401, "No token, or one that is not valid, has expired or was revoked.")
        .refuses(403, NOT_ALLOWED)
        .refuses(503, FULL)
}

/// What every body may be refused for.
fn with_body(operation: Operation) -> Operation {
    operation
        .refuses(400, UNREADABLE)
        .refuses(413, "The body is too long.")
        .refuses(415, "The body is compressed.")
        .refuses(422, NOT_ACCEPTABLE)
}

/// What a session may be asked for, over any transport.
fn session(operation: Operation) -> Operation {
    let words = || text().format(Some(format("watchbell-words")));
    let topics = text()
        .pattern(Some(r"^([\p{L}\p{N}._:@+~=-]+(,[\p{L}\p{N}._:@+~=-]+)*)?$"))
        .format(Some(format("watchbell-topics")));
    let labels =
        text().pattern(Some("^([^:,]+:[^:,]+(,[^:,]+:[^:,]+)*)?$")).format(Some(format("watchbell-labels")));
    operation
        .secured_by(STREAM_WITH_TOKEN)
        .query("cursor", text(), "The cursor of the last frame that was seen.")
        .query("topics", topics, "Topics to subscribe to, separated by commas.")
        .query("types", words(), "Only events of these types and alerts of these categories.")
        .query("sources", words(), "Only what comes from these sources.")
        .query("labels", labels, "Only what has these labels: `name:value,name:value`.")
        .query("min_severity", one_of(Severity::WORDS), "Only what is at least so bad.")
        .refuses(403, NOT_ALLOWED)
        .refuses(422, NOT_ACCEPTABLE)
        .refuses(503, FULL)
}

const SESSIONS: &str = "Sessions";

/// `GET /v1/ws`
pub(crate) fn ws() -> Operation {
    // A browser cannot see why a handshake is refused.
    session(Operation::new(SESSIONS, "openWebSocket", "A session over WebSocket"))
        .answers_at_most(PAGE_ANSWER_BYTES_MAX)
        .about(
            "Frames of `watchbell.v1`, which `/asyncapi.json` describes. The token may also be the first frame. A token is never \
             refused at the handshake: the session is accepted and closed with a code.",
        )
        .done(101, "The session stands.")
        .refuses(400, UNREADABLE)
}

/// `GET /v1/sse`
pub(crate) fn sse() -> Operation {
    session(with_token(SESSIONS, "openEventStream", "A session over server-sent events"))
        .answers_at_most(PAGE_ANSWER_BYTES_MAX)
        .about("`event:` is the frame's type, `id:` the cursor.")
        .header(
            "Last-Event-ID",
            text(),
            "The last cursor, as `EventSource` sends it; wins over the parameter.",
        )
        .answers_as(200, "Frames, until one side leaves.", "text/event-stream", text())
        .refuses(429, "This address or this user has enough sessions.")
}

/// `GET /v1/poll`
pub(crate) fn poll() -> Operation {
    let wait = whole(0, WAIT_S_MAX).default(Some(WAIT_S_DEFAULT.into()));
    session(with_token(SESSIONS, "poll", "A session in single requests"))
        .answers_at_most(poll::ANSWER_BYTES_MAX)
        .about(
            "Without a cursor the answer is `hello`; with one, what changed since, as soon as something did, or a `ping`.",
        )
        .query("wait", wait, "Seconds to wait for something to tell.")
        .answers(200, "Frames.", list(object()))
        .refuses(429, "This address or this user has enough sessions.")
}

/// How many are wanted.
fn limit(max: usize, default: usize) -> utoipa::openapi::schema::ObjectBuilder {
    whole(1, max as u64).default(Some(default.into()))
}

/// `GET /v1/topics/{topic}/events`
pub(crate) fn events() -> Operation {
    let limit = limit(topics::LIMIT_MAX, topics::LIMIT_DEFAULT);
    with_token("Topics", "listEvents", "The kept events of a topic, oldest first")
        .answers_at_most(PAGE_ANSWER_BYTES_MAX)
        .path("topic", Described::of::<TopicName>(), "The topic, such as `monitor:7`.")
        .query("limit", limit, "The last so many, as far as they fit into 1 MiB.")
        .answers(200, "What was kept.", Described::of::<KeptEvents>())
        .refuses(422, NOT_ACCEPTABLE)
}

/// `GET /v1/inbox`
pub(crate) fn inbox() -> Operation {
    let limit = limit(PAGE_MAX, PAGE_DEFAULT);
    // A change, and where it fills more than a page one of its alerts, whose name has at most 200 bytes.
    let page_start = text().pattern(Some(r"^([0-9]{1,19}(:[\p{L}\p{N}._:@+~=-]{1,50})?)?$"));
    let words = text().max_length(Some(SEARCH_BYTES_MAX)).format(Some(format("watchbell-word")));
    let group = text().max_length(Some(GROUP_BYTES_MAX)).format(Some(format("watchbell-name")));
    let categories = text().format(Some(format("watchbell-words")));
    let severities = text().pattern(Some(r"^((info|warning|critical)(,(info|warning|critical)){0,2})?$"));
    let labels = text()
        .pattern(Some("^([^:,]+:[^:,]+(,[^:,]+:[^:,]+){0,9})?$"))
        .format(Some(format("watchbell-labels")));
    let about_labels = format!("All of these: `name:value,name:value`, at most {LABELS_MAX}.");
    let about_words = format!(
        "Up to {SEARCH_WORDS_MAX} words, at most {SEARCH_BYTES_MAX} bytes. Each is found where a word of the title, the body, the \
         source or the category begins with it."
    );
    let about_categories =
        format!("One of these, separated by commas, at most {CATEGORIES_MAX}; `\\,` is a comma in a name.");
    with_token("Inbox", "listInbox", "The inbox, the newest change first")
        .answers_at_most(PAGE_ANSWER_BYTES_MAX)
        .query("before", page_start, "The `next_before` of the page before, as it is.")
        .query("limit", limit, "Alerts of one page, as far as they fit into 1 MiB.")
        .about(SEARCHING)
        .query("q", words, &about_words)
        .query(
            "state",
            one_of(InboxList::WORDS),
            "`unread`: what counts in the badge. `open`: all but what was put away or put off. `archived`: what was put away. \
             `snoozed`: what was put off.",
        )
        .query("category", categories, &about_categories)
        .query("severity", severities, "One of these, separated by commas.")
        .query("label", labels, &about_labels)
        .query("group", group, "What has this `group_key`.")
        .answers(200, "A page.", Described::of::<InboxPage<'_>>())
        .refuses(422, NOT_ACCEPTABLE)
        .refuses(429, "This user searches more than is read: search again after `Retry-After`.")
}

const SEARCHING: &str = "Every condition has to be met. A page with conditions looks at a bounded number of alerts, so it may be short, or empty, and \
     have a `next_before`: then there are older alerts that were not looked at. Case and accents make no difference to `q`; \
     signs such as `%` mean nothing; scripts without blanks between words are found anywhere in a line.";

/// What the answer holds at the most: names of 256 characters, of four bytes or escaped to six.
const CATEGORIES_BYTES_MAX: usize = 512 * 1024;

/// `GET /v1/inbox/categories`
pub(crate) fn categories() -> Operation {
    let about = format!(
        "Of the newest {} alerts in the inbox, at most {} categories: for screens with filters and preferences.",
        grouped(SEARCHED_ROWS_MAX),
        CATEGORIES_TOLD_MAX
    );
    with_token("Inbox", "listCategories", "The categories of the newest alerts")
        .answers_at_most(CATEGORIES_BYTES_MAX)
        .about(&about)
        .answers(200, "By name.", Described::of::<CategoryList>())
        .refuses(429, "This user searches more than is read: ask again after `Retry-After`.")
}

/// `POST /v1/inbox/receipts`
pub(crate) fn receipts() -> Operation {
    with_body(with_token("Inbox", "sayReceipt", "Say what became of alerts"))
        .answers_at_most(RECEIPT_BYTES_MAX)
        .secured_by(&["token", "cookie", "push"])
        .about(
            "Answered when it is written, and told to the user's other sessions. Charged as a line of a session is. With the token \
             of a push, which is its `receipt`, a device says `delivered` of the alert of that push, and nothing else.",
        )
        .refuses(401, "No token, or one that is not valid, has expired or was revoked; also of a push.")
        .refuses(403, "The page's origin is not allowed, or the token of a push is for another alert or another state.")
        .refuses(429, "This user says more than is read: say it again after `Retry-After`.")
        .body(Described::of::<WrittenReceipt>())
        .example(json!({"alerts": ["disk-full-db1"], "state": "seen"}))
        .answers(200, "Written. Without `seq` it changed nothing.", Described::of::<ReceiptWritten>())
}

/// `GET /v1/preferences`
pub(crate) fn preferences() -> Operation {
    with_token("Preferences", "showPreferences", "What the user wants, by which channel, and when not")
        .answers_at_most(PREFERENCES_BYTES_MAX)
        .answers(200, "Empty for everything, always.", Described::of::<PreferencesV1>())
}

/// `PUT /v1/preferences`
pub(crate) fn put_preferences() -> Operation {
    with_body(with_token("Preferences", "putPreferences", "Replace the preferences whole"))
        .answers_at_most(PREFERENCES_BYTES_MAX)
        .body(Described::of::<PreferencesV1>())
        .example(json!({
            "channels": {"email": false},
            "quiet": {"zone": "Europe/Warsaw", "windows": [{"days": ["mon", "tue"], "from": "23:00", "to": "07:00"}]},
        }))
        .answers(200, "What holds now.", Described::of::<PreferencesV1>())
}

const DEVICES: &str = "Devices";
const NO_DEVICE: &str = "There is no device of that name.";

/// `GET /v1/devices`
pub(crate) fn devices() -> Operation {
    with_token(DEVICES, "listDevices", "The user's devices, without their tokens").answers(
        200,
        "All of them.",
        Described::of::<DeviceList>(),
    )
}

fn of_device(id: &str, summary: &str) -> Operation {
    with_token(DEVICES, id, summary)
        .path("device", Described::of::<DeviceName>(), "The name the app gave this device.")
        .refuses(422, NOT_ACCEPTABLE)
}

/// `GET /v1/devices/{device}`
pub(crate) fn device() -> Operation {
    of_device("showDevice", "One device")
        .answers(200, "Without its token.", Described::of::<ShownDevice>())
        .refuses(404, NO_DEVICE)
}

/// `PUT /v1/devices/{device}`
pub(crate) fn put_device() -> Operation {
    with_body(of_device("putDevice", "Register a device, or renew it"))
        .body(Described::of::<WrittenDevice>())
        .done(204, "Registered.")
        .refuses(409, "The user has as many devices as a user may have.")
}

/// `DELETE /v1/devices/{device}`
pub(crate) fn delete_device() -> Operation {
    of_device("deleteDevice", "Forget a device").done(204, "Forgotten.").refuses(404, NO_DEVICE)
}

/// `POST /v1/devices/{device}/test`
pub(crate) fn test_device() -> Operation {
    of_device("testDevice", "Send a test notification to a device")
        .about(
            "It goes the way of every push, whatever the preferences say, and is tried for a minute. What came of it is in `test` of \
             the device. A token that is gone is told and not dropped: register the device again.",
        )
        .answers(202, "It is being sent.", Described::of::<ShownDevice>())
        .refuses(404, NO_DEVICE)
        .refuses(429, "A test was asked for just now: ask again after `Retry-After`.")
}

fn of_activity(id: &str, summary: &str) -> Operation {
    of_device(id, summary).path(
        "alert",
        Described::of::<AlertIdentity>(),
        "The alert that the activity shows.",
    )
}

/// `PUT /v1/devices/{device}/activities/{alert}`
pub(crate) fn put_activity() -> Operation {
    with_body(of_activity("putActivity", "Register the token of a Live Activity"))
        .about(
            "The activity is told each later version of its alert by that token, and ends when nobody needs to look at it any more. Say it \
             again when the system gives another token.",
        )
        .body(Described::of::<ActivityBody>())
        .done(204, "Registered.")
        .refuses(404, "There is no such device of Apple's, or no such alert in the inbox.")
        .refuses(409, "The user has as many Live Activities as a user may have.")
}

/// `DELETE /v1/devices/{device}/activities/{alert}`
pub(crate) fn delete_activity() -> Operation {
    of_activity("deleteActivity", "Forget a Live Activity that is not on the device any more")
        .done(204, "Forgotten.")
        .refuses(404, "There is no Live Activity of that alert on that device.")
}

/// `GET /v1/webpush/key`
pub(crate) fn webpush_key() -> Operation {
    Operation::new(DEVICES, "webpushKey", "The key a browser subscribes with")
        .about("Needs no token: the key is public (RFC 8292).")
        .for_everybody()
        .answers(200, "Base64url, as `applicationServerKey` takes it.", Described::of::<WebPushKey>())
        .refuses(404, "Browsers are not sent to here.")
}

fn of_link(id: &str, summary: &str) -> Operation {
    Operation::new("Links in emails", id, summary)
        .for_everybody()
        .path("token", text(), "From the link of an email.")
        .answers_as(200, "A page for people.", "text/html", text())
        .refuses(404, "This is not a link of ours.")
}

/// `GET /v1/unsubscribe/{token}`
pub(crate) fn ask_to_unsubscribe() -> Operation {
    of_link("askToUnsubscribe", "Ask whether to end email")
        .about("Changes nothing: programs fetch every link of a mail.")
}

/// `POST /v1/unsubscribe/{token}`
pub(crate) fn unsubscribe() -> Operation {
    of_link("unsubscribe", "End email to the address the link was sent to")
        .about("One click (RFC 8058). Harmless to repeat.")
        .refuses(503, "The store does not answer: come again after `Retry-After`.")
}

/// `GET /v1/answers/{token}`
pub(crate) fn ask_to_answer() -> Operation {
    of_answer_link("askToAnswer", "Show the button by which an alert is answered or acknowledged")
        .about("Changes nothing: programs fetch every link of a mail.")
}

/// `POST /v1/answers/{token}`
pub(crate) fn answer() -> Operation {
    of_answer_link("answer", "Answer or acknowledge the alert for the person of the link")
        .about(
            "As the receipt `answered`, and without an action as `seen`. Harmless to repeat: the first answer stays. The link of a mail \
             needs the ticket of its page; without it, or with one of more than 15 minutes ago, nothing changes, and the page asks \
             once more, with 422. `answers_at` of a push needs none.",
        )
        .query("ticket", text(), "From the form of the page.")
        .refuses(429, "This person says more than is read: come again after `Retry-After`.")
}

fn of_answer_link(id: &str, summary: &str) -> Operation {
    of_link(id, summary)
        .query("action", text(), "The id of the action; the links of buttons that answer have it. Without it the alert is acknowledged.")
        .refuses(422, "That is not the id of an action.")
        .refuses(503, "The store does not answer, or this pod leaves: come again after `Retry-After`.")
}

/// `GET /asyncapi.json`
pub(crate) fn asyncapi() -> Operation {
    Operation::new(SESSIONS, "getAsyncApi", "Session frames and messages on the broker, as AsyncAPI 3")
        .answers_at_most(ASYNCAPI_BYTES_MAX)
        .for_everybody()
        .answers(200, "AsyncAPI 3.", object())
}
