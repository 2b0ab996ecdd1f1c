#!/usr/bin/env bash
# Makes ready what the tests drive the program with and that no package of Debian's has: schemathesis, in a venv of its own.
# Where it is there already it only looks.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
made=${CARGO_TARGET_DIR:-$here/../target}/schemathesis
lock=$here/openapi/requirements.txt

if ! cmp -s "$lock" "$made/lock"; then
  rm -rf "$made"
  python3 -m venv "$made" || { echo 'tools.sh: Python has no venv: apt-get install python3-venv' >&2; exit 1; }
  "$made/bin/pip" install --quiet --disable-pip-version-check -r "$lock"
  cp "$lock" "$made/lock"
fi
