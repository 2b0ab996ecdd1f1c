//! Whether a program wrote a reply, by its head. Pure.
//!
//! What holds here: whatever says of itself that a program wrote it is a program's (RFC 3834), and so is what programs of the common
//! mail systems write without saying so. One mark is enough, whatever else is said. In doubt nobody has acknowledged anything.

use mail_parser::{HeaderName, Message, MimeHeaders as _};
use watchbell::domain::search::folded;

/// How the names of headers begin that only programs write, in small letters: automatic replies of Gmail, Exchange, cPanel and others,
/// mailing lists, and our own mails.
const BEGINNINGS_OF_PROGRAMS: &[&str] = &["auto-", "x-auto", "x-mail-auto", "list-", "x-watchbell-"];
/// Headers that only programs write, whatever they say, in small letters.
const HEADERS_OF_PROGRAMS: &[&str] = &[
    "x-fc-machinegenerated",
    "x-ms-exchange-inbox-rules-loop",
    "x-ms-exchange-generated-message-source",
    "x-failed-recipients",
    "x-vacation",
    "x-oof",
    "x-loop",
    "x-autorespond",
];
/// Headers that say how a mail is to be treated.
const PRECEDENCE_HEADERS: &[&str] = &["precedence", "x-precedence", "preference"];
/// Their words that mark what no person wrote to one other.
const PRECEDENCES: &[&str] = &["bulk", "auto_reply", "auto-reply", "autoreply", "list", "junk"];
/// Who stands before the `@` where nobody does.
const NOBODY: &str = "mailer-daemon";
/// Types of a mail that only programs write: an answer to an invitation, and Exchange's own form, in which it says that a mail was read.
const TYPES_OF_PROGRAMS: &[(&str, &str)] =
    &[("multipart", "report"), ("text", "calendar"), ("application", "ms-tnef")];

/// What mail programs write before the subject of what is answered or sent on, squeezed.
const REPLY_PREFIXES: &[&str] = &[
    "re", "aw", "antw", "sv", "vs", "res", "rv", "rif", "r", "odp", "ynt", "fw", "fwd", "wg", "tr", "enc",
    "回复", "答复", "返信", "回覆",
];
/// How the subjects of automatic replies begin in systems that mark them in no other way, squeezed; also behind a `Re:`, which some
/// write before them.
const SUBJECTS: &[&str] = &[
    // English
    "automaticreply",
    "automaticresponse",
    "automatedreply",
    "automatedresponse",
    "autoreply",
    "autoresponse",
    "autoresponder",
    "auto:",
    "outofoffice",
    "outoftheoffice",
    "iamoutof",
    "imoutof",
    "iamcurrentlyout",
    "imcurrentlyout",
    "iamaway",
    "imaway",
    "iamonvacation",
    "imonvacation",
    "awayfrom",
    "ooo:",
    "oof:",
    "vacationreply",
    "vacationresponse",
    "vacationnotice",
    "vacation:",
    "onvacation",
    "onleave",
    "read:",
    "notread:",
    // German
    "automatischeantwort",
    "abwesenheits",
    "abwesenheit:",
    "abwesend",
    "ausserhausmeldung",
    "gelesen:",
    // French
    "reponseautomatique",
    "absencedubureau",
    "messagedabsence",
    "absent:",
    "lu:",
    // Spanish, Portuguese, Italian
    "respuestaautomatica",
    "fueradelaoficina",
    "leido:",
    "respostaautomatica",
    "ausenciatemporaria",
    "foradoescritorio",
    "rispostaautomatica",
    "fuoriufficio",
    // Dutch, the Nordic languages, Polish
    "automatischantwoord",
    "afwezig",
    "autosvar",
    "automatisksvar",
    "automatisktsvar",
    "automaattinenvastaus",
    "automatycznaodpowiedz",
    // Japanese, Chinese
    "自動応答",
    "自動返信",
    "自动答复",
];

/// Whether anything in the head says, or lets one guess, that a program wrote the mail.
pub(super) fn is_automatic(mail: &Message<'_>) -> bool {
    let is_of_program = mail.content_type().is_some_and(|it| {
        TYPES_OF_PROGRAMS.iter().any(|(kind, subtype)| {
            it.ctype().eq_ignore_ascii_case(kind)
                && it.subtype().is_some_and(|found| found.eq_ignore_ascii_case(subtype))
        })
    });
    let marks = |header: &mail_parser::Header<'_>| {
        let (from, to) = (header.offset_start as usize, header.offset_end as usize);
        let value =
            String::from_utf8_lossy(mail.raw_message.get(from..to).unwrap_or_default()).to_lowercase();
        is_mark(&header.name.as_str().trim().to_lowercase(), &value)
            || (header.name == HeaderName::Subject
                && header.value.as_text().is_some_and(is_automatic_subject))
    };
    is_of_program || mail.headers().iter().any(marks)
}

/// Whether a path is nobody's: nothing comes back to it.
pub(super) fn is_nobody(path: &str) -> bool {
    let path = path.trim().trim_start_matches('<').trim_end_matches('>').trim();
    let local = path.rsplit_once('@').map_or(path, |(local, _)| local);
    local.is_empty() || local.eq_ignore_ascii_case(NOBODY)
}

/// Whether a header marks its mail as a program's; both in small letters, the value as it stands in the head.
fn is_mark(name: &str, value: &str) -> bool {
    let plain = without_comments(value);
    let mut words =
        plain.split(|c: char| c.is_whitespace() || ";,\"".contains(c)).filter(|word| !word.is_empty());
    match name {
        // `auto-replied; owner-email="…"`, with or without a comment.
        "auto-submitted" => words.next() != Some("no"),
        "return-path" => is_nobody(&plain),
        "delivered-to" => plain.contains("autorespon") || plain.contains("autoreply"),
        name if PRECEDENCE_HEADERS.contains(&name) => words.any(|word| PRECEDENCES.contains(&word)),
        name => {
            HEADERS_OF_PROGRAMS.contains(&name)
                || BEGINNINGS_OF_PROGRAMS.iter().any(|beginning| name.starts_with(beginning))
        }
    }
}

/// A value without what stands between round brackets (RFC 5322, section 3.2.2); one that stays open reaches to the end.
fn without_comments(value: &str) -> String {
    let mut depth = 0_usize;
    let outside = value.chars().filter(|c| {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    });
    outside.collect::<String>().trim().to_owned()
}

fn is_automatic_subject(subject: &str) -> bool {
    let mut rest = squeezed(&without_tags(subject));
    loop {
        if SUBJECTS.iter().any(|beginning| rest.starts_with(beginning)) {
            return true;
        }
        let Some((before, behind)) = rest.split_once(':') else { return false };
        // `Re[2]:` has lost its brackets by now.
        let prefix = before.trim_end_matches(|c: char| c.is_ascii_digit());
        if !REPLY_PREFIXES.contains(&prefix) {
            return false;
        }
        rest = behind.to_owned();
    }
}

/// Without what programs write before a subject in square brackets, such as `[EXTERNAL]`; numbers, as in `Re[2]:`, stay.
fn without_tags(subject: &str) -> String {
    let mut text = String::with_capacity(subject.len());
    let mut rest = subject;
    while let Some((before, (tag, behind))) =
        rest.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once(']')?)))
    {
        text.push_str(before);
        if tag.chars().all(|c| c.is_ascii_digit()) {
            text.push_str(tag);
        }
        rest = behind;
    }
    text + rest
}

/// Letters and digits alone, without case and accents, and colons: `Auto-Reply :` is `autoreply:`.
fn squeezed(text: &str) -> String {
    // Full-width colons become plain ones.
    folded(text).chars().filter(|c| c.is_alphanumeric() || *c == ':').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_with_is_written_as_it_is_compared() {
        for text in SUBJECTS.iter().chain(REPLY_PREFIXES) {
            assert_eq!(*text, squeezed(text));
        }
        for text in BEGINNINGS_OF_PROGRAMS.iter().chain(HEADERS_OF_PROGRAMS).chain(PRECEDENCES) {
            assert_eq!(*text, text.to_lowercase());
        }
    }

    #[test]
    fn a_return_path_of_nobody_is_known() {
        for (path, expected) in [
            ("", true),
            ("<>", true),
            ("< >", true),
            ("<MAILER-DAEMON>", true),
            ("mailer-daemon@example.net", true),
            ("<ana@example.net>", false),
            ("ana@example.net", false),
        ] {
            assert_eq!(is_nobody(path), expected, "{path:?}");
        }
    }
}
