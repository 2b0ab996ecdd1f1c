//! `docs/traces.md` is what the table of spans says.

use std::{collections::BTreeMap, fs, path::Path};

use watchbell::runtime::traces::span_table::{Attribute, OF_MESSAGING, SPANS, SpanDef};

/// Writes the kept page anew: `WATCHBELL_RENEW=1 cargo test -p watchbell-fleet traces`.
const RENEW: &str = "WATCHBELL_RENEW";
const PAGE: &str = "../../docs/traces.md";
/// Between these lines of the page is what is made from the table.
const BEGIN: &str = "<!-- made from the table in the code -->\n";
const END: &str = "<!-- end of what is made -->\n";

fn attributes(span: &SpanDef) -> Vec<&'static Attribute> {
    let of_messaging = OF_MESSAGING.into_iter().filter(|_| span.messaging.is_some());
    of_messaging.chain(span.attributes).collect()
}

fn made() -> String {
    let mut text = "\n## Spans\n\n| span | kind | role | below | what |\n|---|---|---|---|---|\n".to_owned();
    for span in SPANS {
        let SpanDef { name, kind, role, parent, help, .. } = span;
        text +=
            &format!("| `{name}` | {} | {role} | {parent} | {help} |\n", format!("{kind:?}").to_lowercase());
    }
    text += "\n## Attributes\n\n| attribute | what it tells | of |\n|---|---|---|\n";
    let mut of: BTreeMap<&str, (&str, Vec<String>)> = BTreeMap::new();
    for span in SPANS {
        for Attribute { name, help } in attributes(span) {
            of.entry(*name).or_insert((*help, Vec::new())).1.push(format!("`{}`", span.name));
        }
    }
    for (name, (help, spans)) in of {
        text += &format!("| `{name}` | {help} | {} |\n", spans.join("<br>"));
    }
    text.push('\n');
    text
}

#[test]
fn the_page_of_traces_is_the_one_that_is_kept() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let kept = fs::read_to_string(&path).unwrap();
    let (head, rest) = kept.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let whole = format!("{head}{BEGIN}{}{END}{tail}", made());
    if std::env::var_os(RENEW).is_some() {
        fs::write(&path, &whole).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(
        kept == whole,
        "docs/traces.md is not what the table says. Renew it with `{RENEW}=1 cargo test -p watchbell-fleet traces`"
    );
}
