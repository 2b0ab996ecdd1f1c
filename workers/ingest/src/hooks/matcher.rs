//! Label matchers in Alertmanager's syntax: `team="db"`, `severity=~"crit.*|page"`, `env!="dev"`, `zone!~"eu-.*"`
//! (<https://prometheus.io/docs/alerting/latest/configuration/#label-matchers>).
//!
//! A label that is not there has the empty text. Regular expressions match the whole value.

use std::{collections::BTreeMap, fmt};

use regex::{Regex, RegexBuilder};

/// The longest compiled expression, in bytes.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// One condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    op: Op,
    value: String,
    regex: Option<Regex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Is,
    IsNot,
    Matches,
    MatchesNot,
}

/// Why a matcher cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidMatcher(String);

impl Matcher {
    /// Reads one matcher, or several in braces or separated by commas.
    ///
    /// # Errors
    /// [`InvalidMatcher`] says what is expected.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, InvalidMatcher> {
        let text = text.trim();
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        split(inner)?.into_iter().filter(|part| !part.trim().is_empty()).map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, InvalidMatcher> {
        let expected = || {
            InvalidMatcher(
                r#"must be a matcher such as team="db", severity=~"a|b", env!="dev" or zone!~"eu-.*""#.into(),
            )
        };
        let text = text.trim();
        let (name, rest) = match text.strip_prefix('"') {
            Some(_) => {
                let end = closing_quote(text).ok_or_else(expected)?;
                (unquoted(&text[..=end]).ok_or_else(expected)?, &text[end + 1..])
            }
            None => {
                let end = text.find(['=', '!']).ok_or_else(expected)?;
                (text[..end].trim().to_owned(), &text[end..])
            }
        };
        let rest = rest.trim_start();
        let ops = [("=~", Op::Matches), ("!~", Op::MatchesNot), ("!=", Op::IsNot), ("=", Op::Is)];
        let (op, value) = ops
            .into_iter()
            .find_map(|(sign, op)| Some((op, rest.strip_prefix(sign)?.trim())))
            .ok_or_else(expected)?;
        if name.is_empty() || name.chars().any(char::is_whitespace) {
            return Err(expected());
        }
        let value = match value.starts_with('"') {
            true => unquoted(value).ok_or_else(expected)?,
            false => value.to_owned(),
        };
        let regex = match op {
            Op::Is | Op::IsNot => None,
            Op::Matches | Op::MatchesNot => {
                let whole = RegexBuilder::new(&format!("^(?s:{value})$")).size_limit(REGEX_BYTES_MAX).build();
                Some(whole.map_err(|_| {
                    InvalidMatcher("has a regular expression that cannot be read, or is too large".into())
                })?)
            }
        };
        Ok(Self { name, op, value, regex })
    }

    /// Whether these labels fulfil it.
    pub fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.name).map(String::as_str).unwrap_or_default();
        let matches = self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.op {
            Op::Is => value == self.value,
            Op::IsNot => value != self.value,
            Op::Matches => matches,
            Op::MatchesNot => !matches,
        }
    }

    /// The label it asks for.
    pub fn label(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            Op::Is => "=",
            Op::IsNot => "!=",
            Op::Matches => "=~",
            Op::MatchesNot => "!~",
        };
        write!(f, "{}{op}{:?}", self.name, self.value)
    }
}

/// The parts between commas outside of quotes.
fn split(text: &str) -> Result<Vec<&str>, InvalidMatcher> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if quoted {
        return Err(InvalidMatcher("has a quote that does not end".into()));
    }
    parts.push(&text[begin..]);
    Ok(parts)
}

/// Where the quote that `text` begins with ends.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// A text in quotes, whose escapes are `\"`, `\\` and `\n`; any other backslash stands for itself.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next()? {
                'n' => plain.push('\n'),
                c @ ('"' | '\\') => plain.push(c),
                c => plain.extend(['\\', c]),
            },
            c => plain.push(c),
        }
    }
    Some(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_holds_by_this_table() {
        let labels: BTreeMap<String, String> =
            [("team", "db"), ("severity", "critical"), ("a b", "x"), ("quote", "\"")]
                .map(|(k, v)| (k.into(), v.into()))
                .into();
        for (text, expected) in [
            (r#"team="db""#, true),
            ("team=db", true),
            (" team = db ", true),
            (r#"team="web""#, false),
            (r#"team!="web""#, true),
            (r#"severity=~"crit.*|page""#, true),
            (r#"severity=~"crit""#, false),
            (r#"severity=~"warning|critical""#, true),
            (r#"severity!~"crit.*""#, false),
            (r#"absent="""#, true),
            (r#"absent!="x""#, true),
            (r#"absent=~".+""#, false),
            (r#"{team="db", severity="critical"}"#, true),
            (r#"team="db",severity="info""#, false),
            (r#"team=~"a,b|db""#, true),
            (r#"quote="\"""#, true),
            (r#"severity=~"\w+""#, true),
            (r#""team"="db""#, true),
        ] {
            let all = Matcher::parse_all(text).unwrap();
            assert_eq!(all.iter().all(|matcher| matcher.holds(&labels)), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_matcher_is_refused() {
        for text in ["team", r#"team="db"#, r#"="db""#, "team~db", r#"team=~"(""#, r#"team="a"b""#, "a b=c"] {
            assert!(Matcher::parse_all(text).is_err(), "{text}");
        }
        assert!(Matcher::parse_all("{}").unwrap().is_empty());
    }

    #[test]
    fn a_matcher_reads_back_as_it_prints() {
        for text in [r#"team="db""#, r#"severity=~"a|b""#, r#"x!~"\\d""#] {
            assert_eq!(Matcher::parse_all(text).unwrap()[0].to_string(), text);
        }
    }
}
