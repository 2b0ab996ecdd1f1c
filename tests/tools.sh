#!/usr/bin/env bash
# Makes ready what the tests drive the program with and that no package of Debian's has, each in a venv of its own: schemathesis,
# and dkimpy, which verifies signatures of mails. Where it is there already it only looks.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}

# NAME LOCK: a venv of this name in the target folder, with what LOCK lists.
venv() {
  local made=$target/$1 lock=$2
  if cmp -s "$lock" "$made/lock"; then return; fi
  rm -rf "$made"
  python3 -m venv "$made" || { echo 'tools.sh: Python has no venv: apt-get install python3-venv' >&2; exit 1; }
  "$made/bin/pip" install --quiet --disable-pip-version-check -r "$lock"
  cp "$lock" "$made/lock"
}

venv schemathesis "$here/openapi/requirements.txt"
venv dkimpy "$here/mails/requirements.txt"
