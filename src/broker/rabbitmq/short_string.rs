//! AMQP's short strings.

use lapin::types::ShortString;

/// AMQP's short strings hold 255 bytes. Ours are names and ids that are checked where they are made; a longer one
/// is cut rather than refused here, where nobody could answer.
pub(super) fn short(text: &str) -> ShortString {
    let end = (0..=text.len().min(255)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    ShortString::from(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_string_ends_between_characters() {
        assert_eq!(short(&"ä".repeat(200)).as_str().len(), 254);
        assert_eq!(short("").as_str(), "");
    }
}
