//! What the pure parts cost, counted: instructions and allocations, which do not depend on how busy a machine is.
//!
//!     cargo bench -p watchbell-tests --bench guard                      compares with what is committed, fails on 10 % more
//!     WATCHBELL_RENEW=1 cargo bench -p watchbell-tests --bench guard    writes what it counts into counts.json
//!     cargo test -p watchbell-tests --bench guard                       the same in the test profile, as CI does
//!
//! It runs itself under valgrind's callgrind, whose processor is simulated: the same program counts the same. `tests/services/install.sh`
//! installs it; where it is not, this says so and compares nothing.
//!
//! | file | what |
//! |---|---|
//! | `cases.rs` | what is counted |
//! | `callgrind.rs` | runs a program under callgrind, and reads what it writes |
//! | `compare.rs` | what was counted beside what is committed: pure |

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

mod callgrind;
mod cases;
mod compare;

use std::{fs, hint::black_box, path::Path};

use anyhow::{Context as _, bail};

use self::{callgrind::Counted, cases::Case, compare::Committed};

/// What tells the process that it is the one that is counted.
const ARGUMENT: &str = "counted-process";
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/guard/counts.json");

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == ARGUMENT) {
        for case in cases::all()? {
            // What is made once, is made.
            black_box((case.run)());
            counted_case(&case);
        }
        return Ok(());
    }
    // As any test: not when tests of other names are asked for, and not when they are only listed.
    let mut names = arguments.iter().filter(|argument| !argument.starts_with('-'));
    let is_asked_for = arguments.iter().all(|argument| argument.starts_with('-'))
        || names.any(|name| "guard".contains(name.as_str()));
    if !is_asked_for || arguments.iter().any(|argument| argument == "--list") {
        return Ok(());
    }
    guard()
}

/// Counted from its beginning to its end, by its name.
#[inline(never)]
fn counted_case(case: &Case) {
    black_box((case.run)());
}

fn guard() -> anyhow::Result<()> {
    let cases: Vec<&str> = cases::all()?.iter().map(|case| case.name).collect();
    let program = std::env::current_exe()?;
    let Some(counted) = callgrind::counted(&program, ARGUMENT, "guard::counted_case")? else {
        println!("guard: left out: valgrind is not installed (tests/services/install.sh installs it)");
        return Ok(());
    };
    anyhow::ensure!(counted.len() == cases.len(), "{} cases were counted, of {}", counted.len(), cases.len());
    let counted: Vec<(&str, Counted)> = cases.into_iter().zip(counted).collect();
    let profile = if cfg!(debug_assertions) { "dev" } else { "bench" };
    let profile = format!("{} {profile}", std::env::consts::ARCH);
    let mut committed = Committed::read(&fs::read_to_string(COMMITTED).unwrap_or_default())?;
    if std::env::var_os("WATCHBELL_RENEW").is_some() {
        committed.renew(&profile, &counted);
        return fs::write(Path::new(COMMITTED), committed.written()?).context("counts.json");
    }
    if !committed.knows(&profile) {
        println!("guard: nothing is committed for {profile}, so nothing is compared");
    }
    let compared = committed.compared(&profile, &counted);
    compared.lines.iter().for_each(|line| println!("guard: {line}"));
    match compared.faults.as_slice() {
        [] => Ok(()),
        faults => bail!(
            "{}\nIf that is meant, WATCHBELL_RENEW=1 writes what was counted, in both profiles: see tests/README.md",
            faults.join("\n")
        ),
    }
}
