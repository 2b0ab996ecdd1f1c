//! Who may import whom, and the one place of each vendor's crate. `docs/architecture.md`, "Layout and imports", has the
//! same tables for people.

use super::Finding;
use super::source::{Source, code_of};

/// The parts of `src/`, and the parts each may import.
const PARTS: [(&str, &[&str], &str); 5] = [
    (
        "domain",
        &[],
        "The domain is nouns and pure decisions. Pass it what it needs as an argument, or put the code in \
         the part that does the I/O.",
    ),
    (
        "wire",
        &["domain"],
        "A wire format is converted to and from the domain and knows nothing else. Move the code to the \
         part that sends or stores it.",
    ),
    (
        "broker",
        &["domain", "wire", "runtime"],
        "The broker moves work and does not look at the truth. Let the worker, which has both, ask the store.",
    ),
    (
        "store",
        &["domain", "runtime"],
        "The store keeps domain values, not wire formats, and publishes nothing. Convert at the edge; let \
         the worker publish.",
    ),
    (
        "runtime",
        &["domain", "wire"],
        "Broker and store stand on the runtime, so it cannot stand on them. Take a closure or a trait of the \
         runtime's own, or move what needs them to the worker.",
    ),
];

/// A crate, the paths that may use it, and why not elsewhere.
struct Vendor {
    /// As code names it; in a manifest, `_` may be `-`.
    name: &'static str,
    places: &'static [&'static str],
    because: &'static str,
}

const VENDORS: [Vendor; 14] = [
    Vendor {
        name: "lapin",
        places: &["src/broker/rabbitmq", "workers/fleet/Cargo.toml", DURABLE_FLOOR],
        because: "The client supervises itself wrongly (docs/rabbitmq.md, \"The nine rules\"), so one module supervises it. \
                  Use the seam in watchbell::broker.",
    },
    Vendor {
        name: "async_rs",
        places: &["src/broker/rabbitmq"],
        because: "It is how lapin is given a stream of ours. Everything else runs on tokio.",
    },
    Vendor {
        name: "sqlx",
        places: &["src/store", "workers/fleet/Cargo.toml", DURABLE_FLOOR],
        because: "All SQL is in one place, so that both stores pass one contract. Add a method to the store's seam.",
    },
    Vendor {
        name: "opentelemetry",
        places: &["src/runtime/traces", "workers/fleet/Cargo.toml", "workers/fleet/src/traces"],
        because: ONE_SPAN,
    },
    Vendor {
        name: "opentelemetry_sdk",
        places: &["src/runtime/traces", "workers/fleet/Cargo.toml", "workers/fleet/src/traces"],
        because: ONE_SPAN,
    },
    Vendor {
        name: "opentelemetry_proto",
        places: &["workers/fleet/Cargo.toml", "workers/fleet/src/traces"],
        because: ONE_SPAN,
    },
    Vendor {
        name: "prost",
        places: &["workers/fleet/Cargo.toml", "workers/fleet/src/traces"],
        because: ONE_SPAN,
    },
    Vendor { name: "clap", places: &["workers/fleet"], because: ONLY_FLEET },
    Vendor { name: "clap_complete", places: &["workers/fleet"], because: ONLY_FLEET },
    Vendor { name: "indicatif", places: &["workers/fleet"], because: ONLY_FLEET },
    Vendor { name: "lettre", places: &["workers/fallback"], because: ONLY_FALLBACK },
    Vendor { name: "apns_h2", places: &["workers/fallback"], because: ONLY_FALLBACK },
    Vendor {
        name: "reqwest",
        places: &[
            "workers/fallback",
            "workers/fleet",
            "workers/socket/Cargo.toml",
            "workers/socket/src/token/jwks.rs",
            "workers/ingest/Cargo.toml",
            "workers/ingest/src/mail_events/sns.rs",
            "workers/simulator/Cargo.toml",
            "workers/simulator/src/mail_events.rs",
            "workers/simulator/src/extension.rs",
        ],
        because: "Calls to providers live in workers/fallback, each behind its bulkhead and breaker; the operator's \
                  commands in workers/fleet; a sign-in service's keys in workers/socket/src/token/jwks.rs; Amazon's certificates \
                  in workers/ingest/src/mail_events/sns.rs; what simulated mail providers post in workers/simulator/src/mail_events.rs, and \
                  what simulated phones confirm in workers/simulator/src/extension.rs. Nobody else calls out over HTTP.",
    },
    Vendor {
        name: "tokio_tungstenite",
        places: &["workers/socket", "workers/fleet"],
        because: "Only workers/socket holds user connections; workers/fleet is a client of it. \
                  Use the session protocol of watchbell::wire.",
    },
];

/// What `watchbell bench` compares the fleet with shares no code with it.
const DURABLE_FLOOR: &str = "workers/fleet/src/commands/bench/pipeline.rs";
const ONLY_FLEET: &str =
    "The command line is workers/fleet's. Take a checked configuration as an argument instead.";
const ONE_SPAN: &str = "A span costs nothing where it is not wanted, and every attribute stands in one table. Use \
                        watchbell::runtime::traces; workers/fleet/src/traces sends what has ended.";
const ONLY_FALLBACK: &str = "Providers are reached from workers/fallback alone, behind its one seam a channel. \
                             Publish to watchbell.undelivered instead.";
/// Where they may be: the worker, and the bare server that `watchbell bench` takes its floor from.
const WEBSOCKET_PLACES: [&str; 3] = [
    "workers/socket",
    "workers/fleet/src/commands/bench/floor.rs",
    "workers/fleet/src/commands/bench/floor_sessions.rs",
];
/// Parts of axum that make a WebSocket server.
const WEBSOCKET_SERVER: [&str; 2] = ["axum::extract::ws", "WebSocketUpgrade"];
const ONLY_SOCKET: &str = "Only workers/socket upgrades connections: limits, draining and close codes are there. \
                           Add the route to it.";
const NO_OTHER_WORKER: &str = "Workers are deployed apart. What two of them need moves to src/ \
                               (docs/architecture.md, \"Layout and imports\").";
const WORKERS: [&str; 6] = ["ingest", "dispatch", "socket", "fallback", "simulator", "fleet"];

/// Imports between our own parts, and between workers.
pub fn imports(sources: &[Source]) -> Vec<Finding> {
    let product = sources.iter().filter(|file| file.is_product());
    product.flat_map(|file| part_imports(file).into_iter().chain(worker_imports(file))).collect()
}

/// Vendor crates outside their places, in code.
pub fn vendors(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in sources.iter().filter(|file| file.is_product() && !file.is_worker_test()) {
        for (number, line) in file.code_lines() {
            let place = || format!("{}:{number}", file.path);
            for vendor in VENDORS.iter().filter(|vendor| !allowed(&file.path, vendor.places)) {
                if names_crate(&line, vendor.name) {
                    let what = format!("uses {}, whose place is {}", vendor.name, vendor.places.join(", "));
                    found.push(Finding { place: place(), what, because: vendor.because });
                }
            }
            if !allowed(&file.path, &WEBSOCKET_PLACES) {
                for name in WEBSOCKET_SERVER.iter().filter(|name| line.contains(**name)) {
                    let what = format!("uses {name}, whose place is workers/socket");
                    found.push(Finding { place: place(), what, because: ONLY_SOCKET });
                }
            }
        }
    }
    found
}

/// The same walls in the manifests of the workers, so that a dependency nobody may use is not carried.
pub fn manifests(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    let ours = |file: &&Source| file.path.starts_with("workers/") && file.path.ends_with("Cargo.toml");
    for file in sources.iter().filter(ours) {
        let mut section = "";
        for (index, line) in file.text.lines().enumerate() {
            if line.starts_with('[') {
                section = line.trim();
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default().replace('-', "_");
            let place = format!("{}:{}", file.path, index + 1);
            if let Some(vendor) = VENDORS.iter().find(|vendor| vendor.name == name)
                && section != "[dev-dependencies]"
                && !allowed(&file.path, vendor.places)
            {
                let what = format!("depends on {name}, whose place is {}", vendor.places.join(", "));
                found.push(Finding { place, what, because: vendor.because });
            } else if let Some(worker) = name.strip_prefix("watchbell_")
                && WORKERS.contains(&worker)
                && !file.path.starts_with("workers/fleet/")
            {
                let what = format!("depends on the worker {worker}");
                found.push(Finding { place, what, because: NO_OTHER_WORKER });
            }
        }
    }
    found
}

fn part_imports(file: &Source) -> Vec<Finding> {
    let part = PARTS.iter().find(|(part, ..)| allowed(&file.path, &[&format!("src/{part}")]));
    let Some((part, may, because)) = part else { return Vec::new() };
    let banned = |name: &str| {
        let is_part = PARTS.iter().any(|(other, ..)| *other == name);
        is_part && name != *part && !may.contains(&name)
    };
    let code = code_of(&file.text);
    let mut found = Vec::new();
    for root in ["crate::", "watchbell::", "super::"] {
        for (at, name) in first_segments(&code, root) {
            if banned(&name) {
                let line = code[..at].lines().count().max(1);
                let place = format!("{}:{line}", file.path);
                let what = format!("{part} imports {name}; it may import {}", listed(may));
                found.push(Finding { place, what, because });
            }
        }
    }
    found
}

fn worker_imports(file: &Source) -> Vec<Finding> {
    let mut parts = file.path.split('/');
    let (Some("workers"), Some(own)) = (parts.next(), parts.next()) else { return Vec::new() };
    if own == "fleet" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in file.code_lines() {
        for other in WORKERS.iter().filter(|other| **other != own) {
            if names_crate(&line, &format!("watchbell_{other}")) {
                let place = format!("{}:{number}", file.path);
                let what = format!("the worker {own} imports the worker {other}");
                found.push(Finding { place, what, because: NO_OTHER_WORKER });
            }
        }
    }
    found
}

/// What follows `root` in paths: one name, or the first names inside `{…}`. With each, where it is.
fn first_segments(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices(root) {
        let at = start + root.len();
        if code[..start].ends_with(is_word) {
            continue; // `my_crate::`
        }
        let rest = &code[at..];
        if !rest.starts_with('{') {
            found.push((at, leading_word(rest)));
            continue;
        }
        let mut depth = 0;
        let mut expecting = true;
        for (offset, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => break,
                '}' => depth -= 1,
                ',' if depth == 1 => expecting = true,
                c if expecting && depth == 1 && is_word(c) => {
                    found.push((at + offset, leading_word(&rest[offset..])));
                    expecting = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// Whether `line` uses the crate `name`: in a path, or whole in a `use`.
fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        let starts = !before.ends_with(is_word) && !before.ends_with("::") && !before.ends_with('.');
        let in_path = after.starts_with("::");
        let in_use = before.trim_end().ends_with("use") && after.trim_start().starts_with([';', ' ']);
        starts && (in_path || in_use)
    })
}

/// Whether `path` is one of `places` or inside one; a place may be a file without its `.rs`.
fn allowed(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| {
        path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.', '_']))
    })
}

fn leading_word(text: &str) -> String {
    text.chars().take_while(|&c| is_word(c)).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "nothing of ours".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    #[test]
    fn an_import_over_a_wall_is_found_wherever_it_hides() {
        for (why, path, text, expected) in [
            ("a plain use", "src/domain/alert.rs", "use crate::wire::Frame;", 1),
            ("a group", "src/store/mod.rs", "use crate::{domain::{A, wire}, wire::B, runtime};", 1),
            ("a path in code", "src/wire/frame.rs", "fn f() { crate::store::open() }", 1),
            ("over super", "src/broker/mod.rs", "use super::super::store::Store;", 1),
            ("the part's file", "src/domain.rs", "use watchbell::runtime::clock;", 1),
            ("allowed", "src/broker/rabbitmq.rs", "use crate::{domain::A, wire::B, runtime::C};", 0),
            ("its own part", "src/domain/alert.rs", "use crate::domain::receipt::Receipt;", 0),
            ("only a comment", "src/domain/alert.rs", "// see crate::wire::Frame", 0),
            ("a worker by a worker", "workers/socket/src/lib.rs", "use watchbell_ingest::auth;", 1),
            ("a worker by itself", "workers/socket/tests/x.rs", "use watchbell_socket::run;", 0),
            ("a worker by fleet", "workers/fleet/src/main.rs", "use watchbell_ingest::run;", 0),
        ] {
            let found = imports(&[Source::new(path, text)]);
            assert_eq!(found.len(), expected, "{why}: {found:?}");
        }
    }

    #[test]
    fn a_finding_gives_the_line() {
        let file = Source::new("src/domain/alert.rs", "//! x\n\nuse crate::wire::Frame;\n");
        assert_eq!(places(&imports(&[file])), ["src/domain/alert.rs:3"]);
    }

    #[test]
    fn a_vendor_crate_out_of_place_is_found() {
        for (why, path, text, expected) in [
            ("a use", "workers/dispatch/src/lib.rs", "use lapin::Channel;", 1),
            ("a path", "workers/ingest/src/lib.rs", "fn f(e: sqlx::Error) {}", 1),
            ("a whole crate", "src/runtime/mod.rs", "use clap;", 1),
            ("a WebSocket", "workers/ingest/src/lib.rs", "use axum::extract::ws::WebSocket;", 1),
            ("in its place", "src/broker/rabbitmq/connection.rs", "use lapin::Channel;", 0),
            ("beside its place", "src/broker/embedded.rs", "use lapin::Channel;", 1),
            ("SQL in the store", "src/store/postgres.rs", "use sqlx::PgPool;", 0),
            ("a field of that name", "src/runtime/config.rs", "let x = raw.lettre;", 0),
            ("a client in a worker's test", "workers/socket/tests/it.rs", "use reqwest::Client;", 0),
            ("a longer name", "src/runtime/config.rs", "use my_lapin::X;", 0),
        ] {
            let found = vendors(&[Source::new(path, text)]);
            assert_eq!(found.len(), expected, "{why}: {found:?}");
        }
    }

    #[test]
    fn a_manifest_over_a_wall_is_found() {
        let bad = "[dependencies]\nlapin.workspace = true\nwatchbell-socket = { path = \"../socket\" }\nserde.workspace = true\n";
        let file = Source::new("workers/ingest/Cargo.toml", bad);
        assert_eq!(
            places(&manifests(&[file])),
            ["workers/ingest/Cargo.toml:2", "workers/ingest/Cargo.toml:3"]
        );
        for fine in [
            Source::new(
                "workers/fleet/Cargo.toml",
                "[dependencies]\nwatchbell-socket.workspace = true\nclap.workspace = true\n",
            ),
            Source::new("workers/simulator/Cargo.toml", "[dev-dependencies]\nreqwest.workspace = true\n"),
        ] {
            assert_eq!(manifests(&[fine]), []);
        }
    }
}
