#!/usr/bin/env bash
# Draws where a worker spends its processor time while a fleet on RabbitMQ and PostgreSQL takes all the alerts that it can:
#
#   tests/load/flames.sh dispatch docs/perf/dispatch.svg     a flame graph (SVG)
#   tests/load/flames.sh dispatch stacks.txt                 the same as one line a stack, to compare two versions
#
# Needs Linux' `perf` and the right to use it. The program is compiled with frame pointers in a folder of its own, close to 10 minutes
# the first time; `WATCHBELL_BIN=…` records one that is there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

worker=${1:?the worker: ingest, dispatch, socket-1 or fallback}
to=${2:?where the drawing goes}
alerts=60000         # published at full speed, so that recording ends before they do
record_s=8
samples_hz=499       # no multiple of anything that works by the clock
busy_ticks=100       # of a worker that has begun: a second of processor time at 100 a second
wait_s=300           # for that

tests/services/install.sh
export CARGO_TERM_QUIET=true
tools=$PWD/target/tools
[ -x "$tools/bin/inferno-flamegraph" ] ||
  cargo install --quiet --locked --root "$tools" --version 0.12.4 inferno --no-default-features --features cli
if [ -z "${WATCHBELL_BIN:-}" ]; then
  RUSTFLAGS="-C force-frame-pointers=yes" CARGO_PROFILE_RELEASE_DEBUG=line-tables-only \
    cargo build --release --package watchbell-fleet --target-dir target/flames
  export WATCHBELL_BIN=$PWD/target/flames/release/watchbell
fi
cargo build --package watchbell-tests --example services

folder=$(mktemp -d)
fleet=
end() {
  [ -z "$fleet" ] || kill "$fleet" 2>/dev/null || true
  rm -rf "$folder"
}
trap end EXIT
target/debug/examples/services --alerts "$alerts" --seconds 1 --rate 20 > "$folder/report.txt" &
fleet=$!

# The worker of this fleet: a child of the program that was just started.
worker_pid() { pgrep --parent "$fleet" --full "run ${worker%-*}" | head -1; }
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat" 2>/dev/null || echo 0; }

pid=
for _ in $(seq "$wait_s"); do
  pid=$(worker_pid || true)
  if [ -n "$pid" ] && [ "$(ticks "$pid")" -gt "$busy_ticks" ]; then break; fi
  sleep 1
done
[ -n "$pid" ] || { echo "flames.sh: there is no worker \`$worker\`" >&2; exit 1; }
perf record --quiet --freq "$samples_hz" --call-graph fp --pid "$pid" --output "$folder/perf.data" -- sleep "$record_s"
perf script --no-inline --input "$folder/perf.data" 2>/dev/null | "$tools/bin/inferno-collapse-perf" > "$folder/stacks.txt"
mkdir -p "$(dirname "$to")"
case $to in
  *.svg) "$tools/bin/inferno-flamegraph" --title "$worker" --subtitle "samples of processor time at full speed" \
    --minwidth 0.3 < "$folder/stacks.txt" > "$to" ;;
  *) cp "$folder/stacks.txt" "$to" ;;
esac
wait "$fleet"
fleet=
cat "$folder/report.txt"
