//! Which texts are a phone number, and its one form: `+`, the country's code and the number, digits only (ITU-T E.164).
//!
//! A number without its country's code is not guessed at, and punctuation is not left out: a number in one form is one address,
//! and what a producer wrote is what is called.

use std::ops::RangeInclusive;

use super::Secret;

/// Digits of a number, its country's code included. The upper bound is E.164's (section 6.2.1); shorter ones are service
/// numbers, which cannot be reached from abroad.
const DIGITS: RangeInclusive<usize> = 7..=15;
/// The longest number, in bytes: all digits and the `+`.
pub const PHONE_BYTES_MAX: usize = *DIGITS.end() + 1;

/// Why a text is not a phone number, and what is accepted. It does not hold the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a phone number as in E.164: `+`, the code of the country and the number, 7 to 15 digits without blanks, such as +4915112345678"
)]
pub struct InvalidPhoneNumber;

/// A phone number as it was given.
///
/// # Errors
/// [`InvalidPhoneNumber`] says what is accepted.
pub fn phone_number(text: &str) -> Result<Secret, InvalidPhoneNumber> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    // No country's code begins with zero; what does is a number within a country.
    let is_number = DIGITS.contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if is_number { Ok(Secret::from(text)) } else { Err(InvalidPhoneNumber) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form() {
        for (why, text, good) in [
            ("a mobile number", "+4915112345678", true),
            ("the longest", "+123456789012345", true),
            ("one digit more", "+1234567890123456", false),
            ("the shortest", "+6834001", true),
            ("one digit less", "+683400", false),
            ("without its country", "015112345678", false),
            ("as it is dialled abroad", "004915112345678", false),
            ("no country begins with zero", "+015112345678", false),
            ("with blanks", "+49 151 12345678", false),
            ("with a bracket", "+49(151)12345678", false),
            ("a line break", "+4915112345678\n", false),
            ("letters", "+1415FLOWERS", false),
            ("an extension", "+14155550100;ext=5", false),
            ("two numbers", "+14155550100,+14155550101", false),
            ("digits of another script", "+١٢٣٤٥٦٧٨", false),
            ("only a plus", "+", false),
            ("nothing", "", false),
        ] {
            assert_eq!(phone_number(text).is_ok(), good, "{why}");
        }
        let refused = phone_number("+49151x").map_err(|why| why.to_string());
        assert!(refused.is_err_and(|why| why.contains("E.164") && !why.contains("49151x")));
    }
}
