//! Which metrics and labels a query in PromQL names. Enough of the language for the queries in `monitoring/`; whether one is
//! well-formed is for promtool to say.

use std::collections::BTreeSet;

/// What a query names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Each selector.
    pub selectors: Vec<Selector>,
    /// The labels that something is grouped or joined by.
    pub grouped: BTreeSet<String>,
}

/// A metric, narrowed by labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric, or one sample of a histogram.
    pub metric: String,
    /// The labels that it is narrowed by.
    pub matchers: Vec<Matcher>,
}

/// What a selector wants of one label.
#[derive(Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// Its values, those of a regular expression taken apart.
    pub values: Vec<String>,
}

/// What stands before a list of labels.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Other words of the language that are not functions.
const WORDS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "inf"];

/// A part of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(String),
    Sign(char),
}

/// Reads a query.
pub fn names_in(query: &str) -> Names {
    let tokens = tokens_of(query);
    let (mut names, mut at) = (Names::default(), 0);
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Name(name) = token else { continue };
        let next = tokens.get(at);
        if BEFORE_LABELS.contains(&name.as_str()) {
            while let Some(token) = tokens.get(at).filter(|token| **token != Token::Sign(')')) {
                at += 1;
                if let Token::Name(label) = token {
                    names.grouped.insert(label.clone());
                }
            }
        } else if next == Some(&Token::Sign('{')) {
            let end = tokens[at..].iter().position(|token| *token == Token::Sign('}'));
            let end = end.map_or(tokens.len(), |end| at + end);
            let matchers = matchers_in(&tokens[at..end]);
            names.selectors.push(Selector { metric: name.clone(), matchers });
            at = end;
        } else if next != Some(&Token::Sign('('))
            && !WORDS.contains(&name.as_str())
            && !is_aggregation(&tokens, at)
        {
            names.selectors.push(Selector { metric: name.clone(), matchers: Vec::new() });
        }
    }
    names
}

/// `sum by (…) (…)`: the aggregation has its labels first.
fn is_aggregation(tokens: &[Token], at: usize) -> bool {
    matches!(tokens.get(at), Some(Token::Name(name)) if name == "by" || name == "without")
}

fn matchers_in(tokens: &[Token]) -> Vec<Matcher> {
    let mut matchers: Vec<Matcher> = Vec::new();
    for token in tokens {
        match token {
            Token::Name(label) => matchers.push(Matcher { label: label.clone(), values: Vec::new() }),
            Token::Text(value) => {
                if let Some(matcher) = matchers.last_mut() {
                    matcher.values.extend(value.split('|').map(str::to_owned));
                }
            }
            Token::Sign(_) => {}
        }
    }
    matchers
}

fn tokens_of(query: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = query.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            '"' => tokens.push(Token::Text(rest.by_ref().take_while(|c| *c != '"').collect())),
            // A range: no name stands in it.
            '[' => {
                rest.by_ref().find(|c| *c == ']');
            }
            c if c.is_ascii_digit() => {
                while rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '.').is_some() {}
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let mut name = String::from(c);
                while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')) {
                    name.push(c);
                }
                tokens.push(Token::Name(name));
            }
            c if c.is_whitespace() => {}
            c => tokens.push(Token::Sign(c)),
        }
    }
    tokens
}

/// The name of the metric that a sample belongs to: a histogram has three kinds of them.
pub fn metric_of(sample: &str) -> &str {
    let parts = ["_bucket", "_sum", "_count"];
    parts.iter().find_map(|part| sample.strip_suffix(part)).unwrap_or(sample)
}

#[test]
fn a_query_names_its_metrics_and_labels() {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let names = names_in(
        r#"sum by (a, le) (rate(one_bucket{x=~"p|q",y!="r"}[5m])) / (count(two) > 0.5) and on (b) three or vector(1e3)"#,
    );
    let matcher = |label: &str, values| Matcher { label: label.to_owned(), values: owned(values) };
    let selector = |metric: &str, matchers| Selector { metric: metric.to_owned(), matchers };
    let matchers = vec![matcher("x", &["p", "q"]), matcher("y", &["r"])];
    let selectors =
        vec![selector("one_bucket", matchers), selector("two", vec![]), selector("three", vec![])];
    assert_eq!(names, Names { selectors, grouped: owned(&["a", "le", "b"]).into_iter().collect() });
    assert_eq!(metric_of("one_bucket"), "one");
}
