//! Searching for words: what a person typed, and whether a text has it. Pure, so that both engines give the same answer.
//!
//! What holds here:
//! - A word that is searched for is found where a word of the text begins with it. Upper and lower case, accents, width and
//!   ligatures make no difference: `strasse` finds `Straße`, and `uber` finds `Über`.
//! - Scripts that are written without blanks between words (Han, kana, Thai, Lao, Khmer, Burmese) and pictographs are found
//!   anywhere: nobody can say where a word begins there.
//! - Everything else is between words. There are no operators: `%`, `_`, `*` and quotes mean nothing.
//! - What is searched for has bounds, so a search costs no more than reading the text a few times.

use unicode_normalization::{
    UnicodeNormalization as _,
    char::{canonical_combining_class, is_combining_mark},
};

use super::text::is_drawn_as_nothing;

/// Bytes of what a person typed.
pub const SEARCH_BYTES_MAX: usize = 256;
/// Words of it.
pub const SEARCH_WORDS_MAX: usize = 8;

/// Why something cannot be searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSearch {
    /// Longer than [`SEARCH_BYTES_MAX`].
    #[error("must have at most {SEARCH_BYTES_MAX} bytes: search for fewer or shorter words")]
    TooLong,
    /// More than [`SEARCH_WORDS_MAX`].
    #[error("must have at most {SEARCH_WORDS_MAX} words: leave some out")]
    TooManyWords,
    /// A NUL, for example.
    #[error("must not contain control characters")]
    Control,
}

/// The words that a person searches for: all of them have to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchWords {
    words: Vec<String>,
    /// Something was typed, and there is no word in it.
    finds_nothing: bool,
}

impl SearchWords {
    /// Reads what was typed. Blanks alone are no search; a text of other signs, such as `%`, finds nothing.
    ///
    /// # Errors
    /// [`InvalidSearch`].
    pub fn read(typed: &str) -> Result<Self, InvalidSearch> {
        if typed.len() > SEARCH_BYTES_MAX {
            return Err(InvalidSearch::TooLong);
        }
        if typed.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return Err(InvalidSearch::Control);
        }
        let mut words = words_of(&folded(typed));
        let finds_nothing = words.is_empty() && !typed.trim().is_empty();
        words.sort();
        words.dedup();
        match words.len() {
            0..=SEARCH_WORDS_MAX => Ok(Self { words, finds_nothing }),
            _ => Err(InvalidSearch::TooManyWords),
        }
    }

    /// Whether there is nothing to search for, so that every text will do.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && !self.finds_nothing
    }

    /// Whether each word is found in one of these texts.
    pub fn are_in(&self, texts: &[&str]) -> bool {
        if self.is_empty() {
            return true;
        }
        let texts: Vec<String> = texts.iter().map(|text| folded(text)).collect();
        let is_found = |word: &String| texts.iter().any(|text| has_word(text, word));
        !self.finds_nothing && self.words.iter().all(is_found)
    }
}

/// What a character is to a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Part of a word, whose beginning is known.
    Letter,
    /// Of a script without blanks, or a pictograph: a word may begin with it anywhere.
    Sign,
    /// Between words.
    Gap,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            c if begins_a_word_anywhere(c) => Self::Sign,
            c if c.is_alphanumeric() => Self::Letter,
            _ => Self::Gap,
        }
    }
}

/// Thai and Lao, Burmese, Khmer, radicals and the signs that stand for Han, kana, Bopomofo, Han; arrows to miscellaneous
/// symbols, and pictographs.
fn begins_a_word_anywhere(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{312f}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
        | '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// Letters that Unicode does not take apart into one of the alphabet and a mark.
const PLAIN_FORMS: [(char, &str); 9] = [
    ('æ', "ae"),
    ('ð', "d"),
    ('ø', "o"),
    ('þ', "th"),
    ('đ', "d"),
    ('ħ', "h"),
    ('ł', "l"),
    ('œ', "oe"),
    ('ŧ', "t"),
];

/// The text as words are compared: without case, accents, width and ligatures.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let plain = text.nfkd().filter(|c| !is_left_out(*c));
    // By way of capitals, because `ß` and `ς` have the same as `ss` and `σ`.
    let one_case =
        plain.flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let mut folded = String::with_capacity(text.len());
    for c in one_case {
        match PLAIN_FORMS.iter().find(|(letter, _)| *letter == c) {
            Some((_, plain)) => folded.push_str(plain),
            None => folded.push(c),
        }
    }
    // What is left of marks belongs to its letter: a kana with its sign of voice is another one.
    folded.nfc().collect()
}

/// Accents and the like: marks above, below and through letters, the vowels of Hebrew and Arabic, the stroke that stretches
/// Arabic words, the colour of an emoji's skin, and what is drawn as nothing. Marks that are letters in their script stay:
/// those of class 0, and 6 to 9 (<https://www.unicode.org/reports/tr44/#Canonical_Combining_Class_Values>).
fn is_left_out(c: char) -> bool {
    let is_accent = !matches!(canonical_combining_class(c), 0 | 6..=9);
    is_accent || matches!(c, '\u{640}' | '\u{1f3fb}'..='\u{1f3ff}') || is_drawn_as_nothing(c)
}

/// The words of a folded text: runs of letters, and runs of signs.
fn words_of(folded: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = Kind::Gap;
    for c in folded.chars() {
        // A mark goes with what is before it.
        let kind = if is_combining_mark(c) { last } else { Kind::of(c) };
        match (kind, words.last_mut()) {
            (Kind::Gap, _) => {}
            (kind, Some(word)) if kind == last => word.push(c),
            _ => words.push(c.to_string()),
        }
        last = kind;
    }
    words
}

/// Whether a word of a folded text begins so.
fn has_word(folded: &str, word: &str) -> bool {
    folded.match_indices(word).any(|(at, _)| {
        let mut before = folded[..at].chars().rev().filter(|c| !is_combining_mark(*c));
        let first = word.chars().next().map(Kind::of);
        first == Some(Kind::Sign) || before.next().is_none_or(|c| Kind::of(c) != Kind::Letter)
    })
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
