#!/usr/bin/env bash
# Measures a fleet on real RabbitMQ and PostgreSQL, beside the floor. Arguments go on to `watchbell bench`:
#
#   tests/load/services.sh                          throughput and latency
#   tests/load/services.sh --sessions 10000 --json  memory as well, for scripts
#   tests/load/services.sh --dispatchers 4          four processes share what dispatch does (1 to 8)
#   tests/load/services.sh --pods 8                 the sessions are spread over eight pods (1 to 8)
#
# Everything runs on private ports and folders, and is gone afterwards. Close to 10 minutes of compiling the first time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tests/services/install.sh
export CARGO_TERM_QUIET=true
target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --release --package watchbell-fleet
export WATCHBELL_BIN=${WATCHBELL_BIN:-$target/release/watchbell}
cargo run --package watchbell-tests --example services -- "$@"
