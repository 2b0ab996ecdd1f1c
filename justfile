# Short names for the commands of CONTRIBUTING.md. `just` without a name lists them.

_list:
    @just --list --unsorted

# Format, clippy, unit tests and architecture rules of what changed.
quick:
    tests/run quick

# Everything a change has to pass, as CI runs it.
test:
    tests/run

# What is in the binary, as a software bill of materials (CycloneDX).
sbom:
    release/sbom.py

# Known vulnerabilities of the dependencies, by RustSec's database.
advisories:
    release/advisories

# Every fuzz target, a hundred million inputs each.
fuzz:
    fuzz/run --runs 100000000

# The whole of Watchbell in one process, with a demo page.
up:
    cargo run --release -- up

# The documents of the code, and the checks of the pages beside it.
docs:
    cargo doc --workspace --no-deps --locked
    cargo test -p watchbell-tests --test tidy --locked
