//! How a text looks: whether anybody can see it, and whether it stays in its place on a line with others.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;

/// Characters that draw nothing by themselves, beside blanks, control characters and combining marks:
/// `Default_Ignorable_Code_Point` of Unicode 16 (zero width characters, fillers, variation selectors, tags, marks of
/// direction), and those few that the standard counts elsewhere although they are drawn as nothing.
/// <https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt>
const DRAWN_AS_NOTHING: [(char, char); 20] = [
    ('\u{00ad}', '\u{00ad}'),
    ('\u{034f}', '\u{034f}'),
    ('\u{061c}', '\u{061c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    // Braille without a dot.
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    // The last three are marks of annotations.
    ('\u{fff0}', '\u{fffb}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    // A note head without ink, and marks of beams and slurs.
    ('\u{1d159}', '\u{1d159}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Opens a run of text whose direction is its own (FIRST STRONG ISOLATE).
const ISOLATE: char = '\u{2068}';
/// Closes the last open isolate, and what was opened in it (POP DIRECTIONAL ISOLATE).
const END_ISOLATE: char = '\u{2069}';
/// Closes the last open embedding or override (POP DIRECTIONAL FORMATTING).
const END_EMBEDDING: char = '\u{202c}';

/// What somebody else said, fit for a log and a timeline: on one line, with whatever looks like an address left out (I12).
pub fn without_addresses(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let words = words.map(|word| if word.contains('@') { "[address]" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether there is nothing in a text that anybody could see.
pub fn is_invisible(text: &str) -> bool {
    let is_nothing =
        |c: char| c.is_whitespace() || c.is_control() || is_drawn_as_nothing(c) || is_combining_mark(c);
    text.chars().all(is_nothing)
}

/// Whether a text can stand for something on a line of its own, as a title or a name does: it has no control characters, and something
/// that can be seen. Marks of direction may be in it: whoever shows it keeps them within it ([`isolated`]).
pub fn is_line(text: &str) -> bool {
    !text.chars().any(char::is_control) && !is_invisible(text)
}

/// Whether a character draws nothing by itself, though it is neither a blank nor a control character nor a mark.
pub fn is_drawn_as_nothing(c: char) -> bool {
    DRAWN_AS_NOTHING.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// The text, made so that it cannot change the order of what stands beside it: what it opens is closed, what it closes
/// without having opened it is left out, and each line with such characters is isolated. A text without them, in any
/// script, is as it was.
pub fn isolated(text: &str) -> Cow<'_, str> {
    by_line(text, |line, out| {
        out.push(ISOLATE);
        close_line(line, out);
        out.push(END_ISOLATE);
    })
}

/// The same without isolating it, for a whole in which parts are isolated already.
pub fn closed(text: &str) -> Cow<'_, str> {
    by_line(text, close_line)
}

/// What `mend` makes of each line that has characters which change directions. They end with their line (UAX #9, P1).
fn by_line(text: &str, mend: impl Fn(&str, &mut String)) -> Cow<'_, str> {
    if !text.contains(changes_direction) {
        return Cow::Borrowed(text);
    }
    let ends_line = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2029}');
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive(ends_line) {
        let inner = line.trim_end_matches(ends_line);
        match inner.contains(changes_direction) {
            true => mend(inner, &mut out),
            false => out.push_str(inner),
        }
        out.push_str(&line[inner.len()..]);
    }
    Cow::Owned(out)
}

/// Embeddings, overrides and isolates, and their ends (UAX #9, sections 2.1 to 2.5).
fn changes_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn close_line(line: &str, out: &mut String) {
    let mut open = Vec::new();
    for c in line.chars() {
        let is_kept = match c {
            '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}' => {
                open.push(END_EMBEDDING);
                true
            }
            '\u{2066}'..='\u{2068}' => {
                open.push(END_ISOLATE);
                true
            }
            // It closes nothing beyond the isolate it stands in (UAX #9, X7).
            END_EMBEDDING => open.pop_if(|end| *end == END_EMBEDDING).is_some(),
            // It closes embeddings that are open within its isolate as well (X6a).
            END_ISOLATE => match open.iter().rposition(|end| *end == END_ISOLATE) {
                Some(at) => {
                    open.truncate(at);
                    true
                }
                None => false,
            },
            _ => true,
        };
        if is_kept {
            out.push(c);
        }
    }
    out.extend(open.into_iter().rev());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_what_nobody_sees_is_invisible() {
        for (why, text, expected) in [
            ("nothing", "", true),
            ("blanks of every kind", " \t\n\u{a0}\u{3000}\u{2009}\u{2028}\u{85}", true),
            ("zero width", "\u{200b}\u{200c}\u{200d}\u{feff}\u{2060}", true),
            ("a soft hyphen", "\u{ad}", true),
            ("Hangul fillers", "\u{115f}\u{1160}\u{3164}\u{ffa0}", true),
            ("variation selectors", "\u{fe0f}\u{e0100}", true),
            ("combining marks alone", "\u{301}\u{20dd}\u{483}", true),
            ("marks of direction", "\u{200e}\u{200f}\u{61c}\u{202e}\u{202c}\u{2067}\u{2069}", true),
            ("tags", "\u{e0001}\u{e0041}\u{e007f}", true),
            ("Braille without dots", "\u{2800}", true),
            ("invisible operators", "\u{2061}\u{2064}", true),
            ("Mongolian separators", "\u{180b}\u{180e}", true),
            ("annotations", "\u{fff9}\u{fffb}", true),
            ("control characters", "\0\u{1b}\u{9f}", true),
            ("a letter among them", "\u{200b}a\u{200b}", false),
            ("a letter with a mark", "e\u{301}", false),
            ("an emoji of several", "👩\u{200d}🚒", false),
            ("a flag", "🇵🇱", false),
            ("Hangul", "경보", false),
            ("Arabic", "تنبيه", false),
            ("a sign", "·", false),
            ("Braille", "\u{2801}", false),
        ] {
            assert_eq!(is_invisible(text), expected, "{why}");
        }
    }

    #[test]
    fn a_line_has_something_to_see_and_is_one() {
        for (why, text, expected) in [
            ("a word", "disk", true),
            ("a word of Hindi", "अनिता", true),
            ("a joiner between letters", "می\u{200c}نا", true),
            ("nothing", "", false),
            ("blanks", "  ", false),
            ("zero width", "\u{200b}\u{2060}", false),
            ("two lines", "a\nb", false),
            ("a column", "a\tb", false),
            ("a colour of a terminal", "\u{1b}[31ma", false),
            ("a control character of the upper half", "a\u{9b}b", false),
        ] {
            assert_eq!(is_line(text), expected, "{why}");
        }
    }

    #[test]
    fn what_changes_directions_stays_within_itself() {
        const RLO: char = '\u{202e}';
        const PDF: char = '\u{202c}';
        const RLI: char = '\u{2067}';
        const FSI: char = '\u{2068}';
        const PDI: char = '\u{2069}';
        for (why, text, expected) in [
            ("ASCII", "Disk full".to_owned(), "Disk full".to_owned()),
            ("another script", "القرص ممتلئ 7".to_owned(), "القرص ممتلئ 7".to_owned()),
            ("an override that is never closed", format!("a{RLO}b"), format!("{FSI}a{RLO}b{PDF}{PDI}")),
            ("closed by itself", format!("a{RLO}b{PDF}c"), format!("{FSI}a{RLO}b{PDF}c{PDI}")),
            ("an isolate never closed", format!("a{RLI}b"), format!("{FSI}a{RLI}b{PDI}{PDI}")),
            ("an end without a beginning", format!("a{PDI}b{PDF}c"), format!("{FSI}abc{PDI}")),
            ("nested", format!("{RLI}a{RLO}b"), format!("{FSI}{RLI}a{RLO}b{PDF}{PDI}{PDI}")),
            (
                "an isolate's end ends what is in it",
                format!("{RLI}a{RLO}b{PDI}{PDF}c"),
                format!("{FSI}{RLI}a{RLO}b{PDI}c{PDI}"),
            ),
            (
                "an embedding's end ends no isolate",
                format!("{RLO}a{RLI}b{PDF}c"),
                format!("{FSI}{RLO}a{RLI}bc{PDI}{PDF}{PDI}"),
            ),
            (
                "each line for itself",
                format!("a{RLO}\nb\r\n{PDI}"),
                format!("{FSI}a{RLO}{PDF}{PDI}\nb\r\n{FSI}{PDI}"),
            ),
        ] {
            assert_eq!(isolated(&text), expected, "{why}");
            assert_eq!(closed(&isolated(&text)), expected, "{why}: nothing is left to close");
            assert_eq!(
                closed(&isolated(&format!("x{text}"))).chars().filter(|c| *c == 'x').count(),
                1,
                "{why}"
            );
        }
    }
}
