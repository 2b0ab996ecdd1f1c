//! What Apple and Google know a phone by, checked and brought into one form when it is registered.
//!
//! What holds here:
//! - One phone has one spelling, so that registering it twice is registering it once.
//! - What can never be sent to is refused while the app's author is looking, with what to do instead. A token is never
//!   repeated in a refusal (I12): whoever holds one can ring the phone.
//! - Only what is certain is refused. Both services say that tokens may get longer, and neither says what is in them.
//!
//! Elsewhere: what a browser gives, in `wire::webpush`.

use super::device::TOKEN_BYTES_MAX;

/// Apple's tokens have had 32 bytes since the first; a shorter one lost a part on its way.
pub const APNS_BYTES_MIN: usize = 32;
/// The longest token of Apple's that is taken, in bytes. Ours, with room: Apple says not to expect a length.
/// <https://developer.apple.com/documentation/uikit/uiapplicationdelegate/application(_:didregisterforremotenotificationswithdevicetoken:)>
pub const APNS_BYTES_MAX: usize = 200;
/// The shortest registration token of Google's that is taken, in bytes. Real ones have 140 and more.
pub const FCM_BYTES_MIN: usize = 32;

/// Why a text is not a token of that service, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnusableToken(&'static str);

const MISSING: UnusableToken = UnusableToken("must be given, as the device gave it");
const TOO_LONG: UnusableToken =
    UnusableToken("is longer than any token: send what the device gave and nothing else");
const EXPO: UnusableToken = UnusableToken(
    "is a token of Expo's own service: send what getDevicePushTokenAsync gives, not getExpoPushTokenAsync",
);
const NOT_HEX: UnusableToken = UnusableToken(
    "must be hexadecimal, two digits for each byte of the device token: deviceToken.map { String(format: \"%02x\", $0) }.joined()",
);
const NSDATA: UnusableToken = UnusableToken(
    "is the description of an NSData, which leaves bytes out since iOS 13: send each byte as two hexadecimal digits",
);
const HALF_A_BYTE: UnusableToken =
    UnusableToken("has an odd number of hexadecimal digits: write each byte with two, \"%02x\"");
const CUT: UnusableToken = UnusableToken("is too short: a part of it is missing");
const IS_FCM: UnusableToken =
    UnusableToken("looks like a registration token of Firebase: register it with service fcm");
const IS_APNS: UnusableToken = UnusableToken(
    "looks like a device token of Apple's: register it with service apns, or send the registration token that Firebase gives",
);
const ENCODED: UnusableToken = UnusableToken("is percent-encoded: send it as Firebase gave it");
const NOT_FCM: UnusableToken = UnusableToken(
    "must be a registration token as Firebase gave it: letters, digits and - _ : . without blanks or quotes",
);

/// A device token of Apple's in its one form: hexadecimal in lower case. Takes any case, and the angle brackets and
/// blanks that iOS printed before version 13.
///
/// # Errors
/// [`UnusableToken`] says what to send instead.
pub fn apns_token(raw: &str) -> Result<String, UnusableToken> {
    let text = checked(raw)?;
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    let digits: String =
        inner.chars().filter(|c| !c.is_ascii_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(match text {
            text if text.starts_with('{') && text.contains("bytes") => NSDATA,
            text if is_fcm_text(text) && text.contains(':') => IS_FCM,
            _ => NOT_HEX,
        });
    }
    match digits.len() {
        0 => Err(MISSING),
        len if len % 2 == 1 => Err(HALF_A_BYTE),
        len if len < 2 * APNS_BYTES_MIN => Err(CUT),
        len if len > 2 * APNS_BYTES_MAX => Err(TOO_LONG),
        _ => Ok(digits),
    }
}

/// A registration token of Google's in its one form: as Firebase gave it, without blanks around it.
///
/// # Errors
/// [`UnusableToken`] says what to send instead.
pub fn fcm_token(raw: &str) -> Result<String, UnusableToken> {
    let text = checked(raw)?;
    if apns_token(text).is_ok() {
        return Err(IS_APNS);
    }
    if !is_fcm_text(text) {
        return Err(if text.contains('%') { ENCODED } else { NOT_FCM });
    }
    match text.len() {
        len if len < FCM_BYTES_MIN => Err(CUT),
        _ => Ok(text.to_owned()),
    }
}

/// What is wrong with a text whatever service it is for. Blanks and line breaks around a token come from files.
fn checked(raw: &str) -> Result<&str, UnusableToken> {
    let text = raw.trim();
    match text {
        "" => Err(MISSING),
        text if text.len() > TOKEN_BYTES_MAX => Err(TOO_LONG),
        text if text.starts_with("ExponentPushToken[") || text.starts_with("ExpoPushToken[") => Err(EXPO),
        text => Ok(text),
    }
}

/// The characters of base64url, and what stands between the parts of a registration token.
fn is_fcm_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const APNS: &str = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad";

    fn fcm() -> String {
        format!("dQw4w9WgXcQ_Test-id0:APA91b{}", "Ab1_-".repeat(25))
    }

    #[test]
    fn a_token_of_apples_has_one_form() {
        let upper = APNS.to_uppercase();
        let printed = "<740f4707 bebcf74f 9b7c25d4 8e335894 5f6aa01d a5ddb387 462c7eaf 61bb78ad>";
        let long = APNS.repeat(2);
        let (spaced, too_long, endless) =
            (format!(" {APNS}\n"), APNS.repeat(7), "a".repeat(TOKEN_BYTES_MAX + 1));
        let (base64, fcm) = ("dA9HB7689U+bfCXUjjNYlF9qoB2l3bOHRix+r2G7eK0=", fcm());
        for (why, raw, expected) in [
            ("as it should be", APNS, Ok(APNS)),
            ("upper case", &upper, Ok(APNS)),
            ("as iOS printed it before 13", printed, Ok(APNS)),
            ("blanks around it", &spaced, Ok(APNS)),
            ("longer ones may come", &long, Ok(&long[..])),
            ("nothing", "", Err(MISSING)),
            ("only blanks", " \n", Err(MISSING)),
            ("brackets around nothing", "< >", Err(MISSING)),
            (
                "as iOS prints it since 13",
                "{length = 32, bytes = 0x740f4707 bebcf74f ... 61bb78ad }",
                Err(NSDATA),
            ),
            ("base64", base64, Err(NOT_HEX)),
            ("a digit too few", &APNS[1..], Err(HALF_A_BYTE)),
            ("half of it", &APNS[..32], Err(CUT)),
            ("several in one", &too_long, Err(TOO_LONG)),
            ("endless", &endless, Err(TOO_LONG)),
            ("a token of Google's", &fcm, Err(IS_FCM)),
            ("a token of Expo's", "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]", Err(EXPO)),
            ("a path", "../../3/device/x", Err(NOT_HEX)),
            ("digits of another script", "٧٤٠", Err(NOT_HEX)),
            ("a word", "undefined", Err(NOT_HEX)),
        ] {
            let found = apns_token(raw);
            assert_eq!(found.as_deref(), expected.as_ref().copied(), "{why}");
            if let Ok(token) = found {
                assert_eq!(apns_token(&token).as_ref(), Ok(&token), "{why}: the form of a form is itself");
            }
        }
    }

    #[test]
    fn a_token_of_googles_has_one_form() {
        let good = fcm();
        let (spaced, encoded) = (format!("{good}\r\n"), good.replace(':', "%3A"));
        let (quoted, upper, endless) =
            (format!("\"{good}\""), APNS.to_uppercase(), "a".repeat(TOKEN_BYTES_MAX + 1));
        let legacy = format!("APA91b{}", "x".repeat(134));
        for (why, raw, expected) in [
            ("as it should be", &*good, Ok(&*good)),
            ("blanks around it", &spaced, Ok(&*good)),
            ("of an old app, without a colon", &legacy, Ok(&*legacy)),
            ("nothing", " ", Err(MISSING)),
            ("a token of Apple's", APNS, Err(IS_APNS)),
            ("a token of Apple's in upper case", &upper, Err(IS_APNS)),
            ("percent-encoded", &encoded, Err(ENCODED)),
            ("in quotes", &quoted, Err(NOT_FCM)),
            ("two lines", "a:b\nc:d", Err(NOT_FCM)),
            ("a word", "null", Err(CUT)),
            ("endless", &endless, Err(TOO_LONG)),
            ("a token of Expo's", "ExpoPushToken[xxxxxxxxxxxxxxxxxxxxxx]", Err(EXPO)),
        ] {
            assert_eq!(fcm_token(raw).as_deref(), expected.as_ref().copied(), "{why}");
        }
    }
}
