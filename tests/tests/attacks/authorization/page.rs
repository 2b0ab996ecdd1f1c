//! The matrix as a page of the documentation, so that it can be read without the code: `docs/authorization.md`.
//!
//! Credentials that are let in at the same routes share a column.

use std::{env, fs, path::Path};

use anyhow::{Context as _, ensure};
use watchbell::domain::Scopes;

use super::{
    Cell, Route, Takes,
    credentials::{Credential, Worth},
};

/// Writes the page anew instead of comparing it.
const RENEW: &str = "WATCHBELL_RENEW";
const COMMAND: &str = "WATCHBELL_RENEW=1 cargo test -p watchbell-tests --test attacks authorization";

/// The page is the one that is kept.
pub fn is_kept(routes: &[&Route], credentials: &[Credential]) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/authorization.md");
    let page = page_of(routes, credentials);
    if env::var_os(RENEW).is_some() {
        fs::write(&path, &page)?;
    }
    let kept = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(kept == page, "docs/authorization.md is not what the table says: renew it with `{COMMAND}`");
    Ok(())
}

fn page_of(routes: &[&Route], credentials: &[Credential]) -> String {
    let mut columns: Vec<(String, Worth, Vec<&str>)> = Vec::new();
    for Credential { name, worth, .. } in credentials {
        let heading = heading_of(*worth);
        match columns.iter_mut().find(|(known, ..)| *known == heading) {
            Some((.., names)) => names.push(name),
            None => columns.push((heading, *worth, vec![name])),
        }
    }
    let mut page = format!(
        "# Who may ask what\n\n\
         Every route with every credential, as `tests/tests/attacks/authorization.rs` asks them of a running `watchbell up`. This page is \
         made from the table of that test, which fails for a route without a row, for a cell that is not so, and for a page that \
         differs. It is renewed with\n\n    {COMMAND}\n\n\
         What the scopes of keys are for is in [workers/ingest](../workers/ingest/README.md#keys), and what else is promised in \
         [SECURITY.md](../SECURITY.md).\n\n\
         ## Routes\n\n\
         `yes` is any answer but 401 and 403: what is asked for may still not be there, and of another tenant it never is. The routes at \
         the end, from `/operations/dead` on, are in no OpenAPI document. Below `/console/api/v1` are the routes that take a key in a header, for whoever \
         is signed in to the console, with the scopes of their key. A session is let in by its upgrade, because a browser cannot see how one \
         was refused, and is then greeted or closed with a code.\n\n"
    );
    let headings: Vec<&str> = columns.iter().map(|(heading, ..)| heading.as_str()).collect();
    page.push_str(&format!("| route | takes | {} |\n", headings.join(" | ")));
    page.push_str(&format!("|{}\n", "---|".repeat(headings.len() + 2)));
    for (method, path, takes) in routes {
        let cells: Vec<&str> =
            columns.iter().map(|(_, worth, _)| word_of(Cell::expected(*takes, *worth), *takes)).collect();
        page.push_str(&format!("| `{method} {path}` | {} | {} |\n", described(*takes), cells.join(" | ")));
    }
    page.push_str("\n## Credentials\n\n| column | what was tried |\n|---|---|\n");
    for (heading, _, names) in &columns {
        page.push_str(&format!("| {heading} | {} |\n", names.join("; ")));
    }
    page
}

fn heading_of(worth: Worth) -> String {
    match worth {
        Worth::Nothing => "nothing valid".to_owned(),
        Worth::Push => "the receipt token of a push".to_owned(),
        Worth::User { has_topic: false, .. } => "a user's token".to_owned(),
        Worth::User { has_topic: true, .. } => "a token with the topic".to_owned(),
        Worth::Key { is_demo: false, .. } => "a key of another tenant, all scopes".to_owned(),
        Worth::Key { scopes, .. } if scopes.to_string() == Scopes::ALL.to_string() => {
            "a key, all scopes".to_owned()
        }
        Worth::Key { scopes, .. } => format!("a key, `{scopes}`"),
    }
}

fn described(takes: Takes) -> String {
    match takes {
        Takes::Key(scope) => format!("a key with `{scope}`"),
        Takes::OperatorsKey => "a key of the operator's tenant with `operations`".to_owned(),
        Takes::User | Takes::Session => "a user's token".to_owned(),
        Takes::UserOrPush => "a user's token, or the receipt token of a push".to_owned(),
        Takes::Topic => "a token that allows the topic".to_owned(),
        Takes::Console => {
            "a session of the [console](console.md), by a key of the operators' tenant with `operations` or an account that is let in"
                .to_owned()
        }
        Takes::Nothing => "nothing".to_owned(),
    }
}

fn word_of(cell: Cell, takes: Takes) -> &'static str {
    match (cell, takes) {
        (Cell::LetIn, _) => "yes",
        (Cell::Unauthorized, Takes::Session) => "4001, or 4300 where its time is over",
        (Cell::Forbidden, Takes::Session) => "4003",
        (Cell::Unauthorized, _) => "401",
        (Cell::Forbidden, _) => "403",
    }
}
