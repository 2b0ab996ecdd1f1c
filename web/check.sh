#!/usr/bin/env bash
# Everything a change to web/ has to pass. tests/run calls it, with WATCHBELL_BIN built; it builds the fleet's harness itself.
#
#   web/check.sh            what CI runs: the tests in a browser on the embedded engine, and two of the frameworks' examples
#   web/check.sh quick      without the tests in a browser
#   web/check.sh services   the tests in a browser on RabbitMQ and PostgreSQL as well (3 minutes more)
#
# Needs Node 20.19 or newer and npm; the browser tests need Chromium. What is missing is left out, and said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

part() {
  local name=$1 began=$SECONDS; shift
  "$@"
  printf -- '-- web, %s: %s s\n' "$name" "$((SECONDS - began))"
}

is_node_new_enough() {
  command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}
if ! is_node_new_enough; then
  echo 'left out: web (Node 20.19 or newer and npm are not installed). The demo page in the binary is the one that was committed.'
  exit 0
fi

part 'packages' npm ci --no-audit --no-fund
part 'lint' npm run --silent lint
part 'types' npm run --silent types
part 'tests' npm run --silent test
part 'size' npm run --silent size
part 'the built pages are fresh' npm run --silent fresh
[ "${1-}" = quick ] && exit 0

CHROMIUM_BIN=${CHROMIUM_BIN:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$CHROMIUM_BIN" ]; then
  echo 'left out: the browser tests (Chromium is not installed; CHROMIUM_BIN may name one)'
  exit 0
fi
export CHROMIUM_BIN
target=${CARGO_TARGET_DIR:-$PWD/../target}
export WATCHBELL_BIN=${WATCHBELL_BIN:-$target/debug/watchbell} WATCHBELL_FLEET_BIN="$target/debug/examples/browser"
part 'browser, embedded' npm run --silent browser
part 'pictures' npm run --silent shots -- --check
part 'examples of frameworks' examples/run
[ "${1-}" = services ] || exit 0
(cd .. && cargo build --quiet --locked -p watchbell-tests --example browser)
WATCHBELL_ENGINE=services part 'browser, RabbitMQ and PostgreSQL' npm run --silent browser
