//! Ways in for [fuzz](../../../fuzz), which sees only what is public: what a stranger's bytes reach before anybody is
//! believed, and what somebody who is signed in registers. They panic where something does not hold.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};
use jiff::Timestamp;
use watchbell::{
    domain::{
        Secret, Tenant, UserId, UserKey,
        device::TOKEN_BYTES_MAX,
        email::{EMAIL_BYTES_MAX, email_address},
        phone::{PHONE_BYTES_MAX, phone_number},
        push_token::{apns_token, fcm_token},
        slack::{SLACK_BYTES_MAX, slack_address},
        telegram::{CHAT_ID_BYTES_MAX, chat_id},
        web_address::{WEB_ADDRESS_BYTES_MAX, web_address},
    },
    runtime::{
        config::AuthConfig,
        http::{ClientScheme, Query},
    },
    wire::{
        answer_link::AnswerLinks,
        frame::{CLIENT_FRAME_BYTES_MAX, ClientFrame},
        preferences::PreferencesV1,
        push_receipt::PushReceipts,
        unsubscribe::Unsubscribe,
        webpush::{SubscriptionKeysV1, SubscriptionV1},
    },
};

use crate::{
    Authenticator,
    entry::{credentials::token_of, handshake::websocket_head, origin::AllowedOrigins, query::StreamQuery},
    http::devices::{BrowserPush, browser_token},
    session::decoder::{ClientMessage, Decoder},
};

/// What a client sends after the handshake, in reads of `chunk` bytes.
pub fn client_bytes(bytes: &[u8], chunk: usize) {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for read in bytes.chunks(chunk.max(1)) {
        if decoder.take(read, CLIENT_FRAME_BYTES_MAX, &mut messages).is_err() {
            break;
        }
        assert!(
            decoder.kept() <= 2 * CLIENT_FRAME_BYTES_MAX + chunk,
            "more is kept than one message may have"
        );
    }
    for message in messages {
        if let ClientMessage::Text(text) = message {
            assert!(text.len() <= CLIENT_FRAME_BYTES_MAX, "a message longer than it may be");
            for line in text.lines() {
                // Understood or refused.
                let _ = ClientFrame::read(line);
            }
        }
    }
}

/// A request for a session: lines of `name: value`, and before them its query.
pub fn handshake(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        // What these do not take does not come through the parser of HTTP either.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
        {
            headers.append(name, value);
        }
    }
    token_of(&headers);
    AllowedOrigins::new(&["https://app.example.com".to_owned()], Some("https://alerts.example.com"))
        .allow(&headers, ClientScheme::Http);
    if let Ok(head) = websocket_head(Version::HTTP_11, &headers) {
        let lines = head.strip_suffix("\r\n\r\n").map(|head| head.split("\r\n").count());
        assert!(matches!(lines, Some(4 | 5)), "something of the request came into the answer: {head}");
    }
    if let Ok(uri) = Uri::try_from(format!("/v1/ws?{query}"))
        && let Ok(Query(query)) = Query::<StreamQuery>::of(&uri)
    {
        query.auth();
    }
}

/// A key of the public kind, of which nobody has the other half, as a sign-in service shows it (RFC 8037, appendix A.2).
const SIGN_IN_KEYS: &[u8] =
    br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const SIGNING_SECRET: &str = "0123456789abcdef0123456789abcdef";

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let config = auth_config();
    let authenticator =
        Authenticator::new(&config).and_then(|known| known.with_keys_of(SIGN_IN_KEYS, &config));
    authenticator.expect("what stands here is right")
});
static UNSUBSCRIBE: LazyLock<Unsubscribe> = LazyLock::new(|| Unsubscribe::new(&Secret::from(SIGNING_SECRET)));
static ANSWERS: LazyLock<AnswerLinks> = LazyLock::new(|| AnswerLinks::new(&Secret::from(SIGNING_SECRET)));
static RECEIPTS: LazyLock<PushReceipts> = LazyLock::new(|| PushReceipts::new(&Secret::from(SIGNING_SECRET)));

fn auth_config() -> AuthConfig {
    AuthConfig { hs256_secret: Some(Secret::from(SIGNING_SECRET)), ..AuthConfig::default() }
}

/// A token that nobody here has signed, claims that were signed, the keys of a sign-in service, or the token of a link
/// in a message: the first byte says which.
pub fn token(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    match which % 4 {
        0 => {
            let believed = AUTHENTICATOR.verify(&text, Timestamp::UNIX_EPOCH);
            assert!(believed.is_err(), "a token that nobody signed is believed");
        }
        1 => claims(bytes),
        2 => {
            let known = Authenticator::new(&auth_config());
            let _ = known.and_then(|known| known.with_keys_of(bytes, &auth_config()));
        }
        _ => {
            assert_eq!(UNSUBSCRIBE.read(&text), None, "a link that nobody signed is believed");
            assert_eq!(
                ANSWERS.read(&text, Timestamp::UNIX_EPOCH),
                None,
                "a link that nobody signed is believed"
            );
            let receipt = RECEIPTS.read(&text, Timestamp::UNIX_EPOCH);
            assert!(receipt.is_err(), "a receipt token that nobody signed is believed");
        }
    }
}

/// What a sign-in service signed, whatever it is.
fn claims(json: &[u8]) {
    let Ok(claims) = serde_json::from_slice::<serde_json::Value>(json) else { return };
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let key = jsonwebtoken::EncodingKey::from_secret(SIGNING_SECRET.as_bytes());
    let Ok(token) = jsonwebtoken::encode(&header, &claims, &key) else { return };
    let Ok(identity) = AUTHENTICATOR.verify(&token, Timestamp::UNIX_EPOCH) else { return };
    let UserKey { tenant, user } = &identity.user;
    assert_eq!(UserId::parse(user.as_str()).as_ref(), Ok(user));
    assert_eq!(Tenant::parse(tenant.as_str()).as_ref(), Ok(tenant));
    assert!(identity.expires_at > Timestamp::UNIX_EPOCH, "a token without an end");
}

/// What somebody registers about themselves: a push token, a subscription, an address, or preferences. What is taken has one
/// form, which is taken as it is. Returns the endpoint of a subscription that was taken.
pub fn registration(bytes: &[u8]) -> Option<String> {
    let (which, bytes) = bytes.split_first()?;
    let text = String::from_utf8_lossy(bytes);
    match which % 4 {
        0 => {
            for check in [apns_token, fcm_token] {
                if let Ok(token) = check(&text) {
                    assert!(
                        token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic())
                    );
                    assert_eq!(check(&token).as_ref(), Ok(&token), "the form of a form is itself");
                }
            }
        }
        1 => return subscription(&text),
        2 => {
            for (check, bytes_max) in ADDRESSES {
                let Some(address) = check(&text) else { continue };
                let form = address.expose();
                assert!(form.len() <= bytes_max && !form.contains(char::is_control), "{form:?}");
                assert_eq!(check(form).as_ref(), Some(&address), "the form of a form is itself: {form:?}");
            }
        }
        _ => preferences(bytes),
    }
    None
}

/// What reads an address that somebody is reached at, and the most bytes that it may have then.
type AddressCheck = (fn(&str) -> Option<Secret>, usize);

const ADDRESSES: [AddressCheck; 5] = [
    (|text| email_address(text).ok(), EMAIL_BYTES_MAX),
    (|text| phone_number(text).ok(), PHONE_BYTES_MAX),
    (|text| slack_address(text).ok(), SLACK_BYTES_MAX),
    (|text| chat_id(text).ok(), CHAT_ID_BYTES_MAX),
    (|text| web_address(text).ok(), WEB_ADDRESS_BYTES_MAX),
];

/// An endpoint, and behind a line break the two keys.
fn subscription(text: &str) -> Option<String> {
    let mut lines = text.split('\n').map(str::to_owned);
    let endpoint = lines.next();
    let keys = SubscriptionKeysV1 {
        p256dh: lines.next().unwrap_or_default(),
        auth: lines.next().unwrap_or_default(),
    };
    let webpush = BrowserPush { public_key: String::new(), private_endpoints: false };
    let token = browser_token(endpoint, Some(keys), Some(&webpush)).ok()?;
    let SubscriptionV1 { endpoint, keys } =
        SubscriptionV1::of_token(&token).expect("what was just written is read");
    let again = browser_token(Some(endpoint.clone()), Some(keys), Some(&webpush));
    assert!(again.is_ok_and(|again| again == token), "the form of a form is itself");
    Some(endpoint)
}

fn preferences(json: &[u8]) {
    let Ok(written) = serde_json::from_slice::<PreferencesV1>(json) else { return };
    let Ok(checked) = written.read() else { return };
    let kept = written.in_one_form(&checked).encode();
    let read = PreferencesV1::decode(&kept).map(|kept| kept.read());
    assert_eq!(read, Some(Ok(checked)), "what is kept says what was written");
}
