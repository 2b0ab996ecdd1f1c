//! What a person reads in the terminal. Logs go to standard error by `tracing`; this is the answer to a command.
#![allow(clippy::print_stdout, clippy::print_stderr)]

/// One line of the answer.
pub(crate) fn line(text: impl std::fmt::Display) {
    println!("{text}");
}

/// Something worth knowing that is not part of the answer.
pub(crate) fn note(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// Why the command failed, with its causes.
pub(crate) fn problem(error: &anyhow::Error) {
    eprintln!("watchbell: {error:#}");
}
