//! Makes texts shorter, without tearing apart characters that belong together on a screen.

/// The first characters of `text` in at most `bytes_max` bytes, then an ellipsis unless that is all of it.
/// `None` when there is not one. What belongs together on the screen (accents, emoji sequences) is not torn.
pub(super) fn shorten(text: &str, bytes_max: usize) -> Option<String> {
    shorten_by(text, bytes_max, char::len_utf8)
}

/// The same where a character does not cost its bytes: the ellipsis comes on top here too.
pub(super) fn shorten_by(text: &str, max: usize, cost: impl Fn(char) -> usize) -> Option<String> {
    let (mut end, mut used, mut before) = (0, 0, None);
    for (at, c) in text.char_indices() {
        if used > max {
            break;
        }
        if before.is_some_and(|before| may_part(before, c)) {
            end = at;
        }
        before = Some(c);
        used += cost(c);
    }
    if used <= max {
        return Some(text.to_owned());
    }
    let kept = text[..end].trim_end();
    (!kept.is_empty()).then(|| format!("{kept}…"))
}

/// Whether a text may end between two characters. Knows combining marks, variation selectors, joiners, keycaps
/// and skin tones; the full rules (UAX #29) would cost a table to save a flag or a Hangul syllable.
pub(super) fn may_part(before: char, after: char) -> bool {
    const JOINER: char = '\u{200d}';
    let clings = matches!(after,
        '\u{300}'..='\u{36f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    before != JOINER && after != JOINER && !clings
}
