#!/usr/bin/env bash
# Makes the examples ready to run, with the versions that their lock files name: a venv for Python, node_modules for
# Node, programs built by Go. The Rust ones are a package of the workspace: cargo builds them.
#
# Run it again after a change of a Go example; where nothing changed it takes a second. A language whose toolchain is
# not on this machine is left out, and said. `cargo test -p watchbell-tests --test fleet examples` runs them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}
mkdir -p "$target/examples"
made=$(cd "$target/examples" && pwd)

# Where Debian keeps the sources of Go packages. They are older than go.mod's, and need no network.
debian=/usr/share/gocode/src

python() {
  local lock=$here/python/requirements.txt
  cmp -s "$lock" "$made/python/lock" && return
  rm -rf "$made/python"
  python3 -m venv "$made/python"
  "$made/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  cp "$lock" "$made/python/lock"
}

node() {
  local lock=$here/node/package-lock.json
  cmp -s "$lock" "$here/node/node_modules/.lock" && return
  (cd "$here/node" && npm ci --silent --no-audit --no-fund)
  cp "$lock" "$here/node/node_modules/.lock"
}

# A vendor folder of what Debian has, with the list that Go holds it to.
vendor_from_debian() {
  local from=$1 into=$2 module version at
  rm -rf "$into" && mkdir -p "$into"
  while read -r module version; do
    at=$debian/${module%/v[0-9]*}
    mkdir -p "$into/$module" && cp -rL "$at/." "$into/$module"
    printf '# %s %s\n## explicit\n%s\n' "$module" "$version" "$module" >>"$into/modules.txt"
  done < <(awk '/^require \(/ { on = 1; next } /^\)/ { on = 0 } on { print $1, $2 }' "$from/go.mod")
}

go_programs() {
  local sources=$made/go
  export GOCACHE=$made/go-cache GOTOOLCHAIN=local GOFLAGS=-mod=mod
  rm -rf "$sources" && mkdir -p "$sources"
  cp -r "$here/go/." "$sources"
  if [ -d "$debian/github.com/rabbitmq/amqp091-go" ]; then
    export GOFLAGS=-mod=vendor
    vendor_from_debian "$sources" "$sources/vendor"
  fi
  (cd "$sources" && go vet ./... && go build -o bin/ ./...)
}

if command -v python3 >/dev/null; then python; else echo 'left out: the Python examples (python3 is not installed)'; fi
if command -v npm >/dev/null; then node; else echo 'left out: the Node examples (npm is not installed)'; fi
if command -v go >/dev/null; then go_programs; else echo 'left out: the Go examples (go is not installed)'; fi
