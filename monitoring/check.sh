#!/usr/bin/env bash
# Checks the rules of Prometheus: they are well-formed, each alert rule fires when it should and is quiet when it should be.
# Needs promtool, which is in Debian's package prometheus (tests/services/install.sh).
# That rules and dashboard name only metrics that exist is checked on a running fleet, in tests/tests/fleet/metrics.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v promtool >/dev/null || { echo 'check.sh: promtool is missing: tests/services/install.sh' >&2; exit 1; }

promtool check rules rules/*.yml
promtool test rules tests/*.yml
# An alert rule without both tests could never fire, or always.
while read -r alert; do
  for what in fires 'is quiet'; do
    grep -q -- "- name: $alert $what\$" tests/alerts.yml || { echo "check.sh: no test that $alert $what" >&2; exit 1; }
  done
  grep -qx -- "### $alert" ../docs/runbook/alerts.md || { echo "check.sh: the runbook has nothing about $alert" >&2; exit 1; }
  grep -A 12 -- "- alert: $alert\$" rules/alerts.yml | grep -q "runbook_url: docs/runbook/alerts.md#${alert,,}\$" \
    || { echo "check.sh: $alert does not lead to its part of the runbook" >&2; exit 1; }
  grep -q "^| \`$alert\` |" README.md || { echo "check.sh: $alert is not in the list of README.md" >&2; exit 1; }
done < <(sed -n 's/^ *- alert: //p' rules/*.yml | sort -u)
while read -r alert; do
  grep -q -- "- alert: $alert\$" rules/alerts.yml || { echo "check.sh: README.md lists $alert, which is no rule" >&2; exit 1; }
done < <(sed -n 's/^| `\(Watchbell[A-Za-z]*\)` |.*/\1/p' README.md)
