# Short names for the commands of CONTRIBUTING.md. `just` without a name lists them.

_list:
    @just --list --unsorted

# Everything but services and browsers: format, clippy, unit tests, architecture rules.
quick:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo test --workspace --exclude watchbell-tests --locked
    cargo test -p watchbell-tests --test tidy --locked

# Everything a change has to pass, as CI runs it.
test:
    tests/run

# The whole of Watchbell in one process, with a demo page.
up:
    cargo run --release -- up

# The documents of the code, and the checks of the pages beside it.
docs:
    cargo doc --workspace --no-deps --locked
    cargo test -p watchbell-tests --test tidy --locked
