//! How many segments a text takes as an SMS. Pure.
//!
//! What holds here:
//! - A text whose characters are all in the GSM alphabet takes septets: 160 are one segment, and several segments have 153 each.
//!   Any other text takes UTF-16 units: 70 are one segment, and several have 67 each. The header that puts several together
//!   makes the difference.
//! - A character of the extension table takes two septets. Neither those nor a pair of UTF-16 units is torn between two
//!   segments, so a segment may stay one short.
//! - One more character never makes it fewer segments.
//!
//! Rules: 3GPP TS 23.038, section 6.2.1 (the alphabet and its extension table), and TS 23.040, section 9.2.3.24.1.

/// The basic alphabet, without the escape to the extension table.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// What takes the escape as well.
const EXTENSION: &str = "^{}\\[~]|€";
/// The most that one segment can hold: septets of a text that has only one segment.
pub(super) const CHARS_PER_SEGMENT_MAX: usize = 160;

/// How the characters of a text are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// In septets of the GSM alphabet.
    Gsm7,
    /// In UTF-16 units, which the standard calls UCS-2.
    Ucs2,
}

impl Encoding {
    /// The one that a text needs.
    pub(super) fn of(text: &str) -> Self {
        match text.chars().all(|c| BASIC.contains(c) || EXTENSION.contains(c)) {
            true => Self::Gsm7,
            false => Self::Ucs2,
        }
    }

    /// What a character takes, in septets or units.
    fn cost(self, c: char) -> usize {
        match self {
            Self::Gsm7 => 1 + usize::from(EXTENSION.contains(c)),
            Self::Ucs2 => c.len_utf16(),
        }
    }

    /// The room of a segment that is the only one, and of one among several.
    fn room(self) -> (usize, usize) {
        match self {
            Self::Gsm7 => (CHARS_PER_SEGMENT_MAX, 153),
            Self::Ucs2 => (70, 67),
        }
    }
}

/// How many segments a text takes; an empty one takes one.
pub(super) fn count(text: &str) -> usize {
    let encoding = Encoding::of(text);
    let (alone, among_several) = encoding.room();
    let costs = text.chars().map(|c| encoding.cost(c));
    if costs.clone().sum::<usize>() <= alone {
        return 1;
    }
    let (mut segments, mut used) = (1, 0);
    for cost in costs {
        if used + cost > among_several {
            (segments, used) = (segments + 1, 0);
        }
        used += cost;
    }
    segments
}
