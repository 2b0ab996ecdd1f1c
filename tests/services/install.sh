#!/usr/bin/env bash
# Installs what the tests start for themselves: RabbitMQ, PostgreSQL, Alertmanager, Prometheus, HAProxy, nginx, Chromium (where npm is), Python's pika
# and venv, Go with the two libraries that the examples in Go use, and valgrind, which counts instructions.
#
# Run it as often as you like: where everything is there it only looks, in well under a second.
# What holds here:
# - Debian does not start a system service and no system service is touched: while packages are
#   installed a policy-rc.d answers 101 ("not allowed"), and the one that was there comes back after.
# - The tests use these programs on ports and folders of their own (tests/src), never the defaults.
set -euo pipefail

say() { printf 'install.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# newest PostgreSQL's server binaries; Debian keeps them out of PATH
has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
has_rabbitmq() { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && command -v epmd >/dev/null; }
has_alertmanager() { command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null; }
has_prometheus() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }
# Debian keeps both where only root's PATH looks.
has_balancers() { [ -x /usr/sbin/haproxy ] && [ -x /usr/sbin/nginx ]; }
# The worked examples are built with Debian's Go, from Debian's copies of their libraries: no network is needed.
has_go() { command -v go >/dev/null; }
has_go_libraries() { [ -d /usr/share/gocode/src/github.com/rabbitmq/amqp091-go ] && [ -d /usr/share/gocode/src/github.com/golang-jwt/jwt ]; }
has_valgrind() { command -v valgrind >/dev/null; }
has_pika() { python3 -c 'import pika' 2>/dev/null; }

missing=()
command -v python3 >/dev/null || missing+=(python3)
has_rabbitmq || missing+=(rabbitmq-server)
has_postgres || missing+=(postgresql)
has_alertmanager || missing+=(prometheus-alertmanager)
has_prometheus || missing+=(prometheus)
has_balancers || missing+=(haproxy nginx-light)
has_go || missing+=(golang-go)
has_go_libraries || missing+=(golang-github-rabbitmq-amqp091-go-dev golang-github-golang-jwt-jwt-dev)
has_valgrind || missing+=(valgrind)
# web/check.sh drives it; without npm there is nothing to drive.
if command -v npm >/dev/null && ! command -v chromium >/dev/null; then missing+=(chromium); fi
# Debian takes ensurepip out of its Python; k8s/check.sh makes a venv.
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)

as_root=()
need_root() {
  [ "$(id -u)" -eq 0 ] && return
  command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
    fail "missing: $*. Installing needs root: run this as root, or with sudo that asks no password."
  as_root=(sudo -n)
}

policy=/usr/sbin/policy-rc.d
restore_policy() {
  if "${as_root[@]}" test -e "$policy.before-watchbell"; then
    "${as_root[@]}" mv -f "$policy.before-watchbell" "$policy"
  else
    "${as_root[@]}" rm -f "$policy"
  fi
}

apt_install() {
  need_root "$@"
  command -v apt-get >/dev/null ||
    fail "missing: $*. This script knows Debian's apt-get only; install them in your system's way."
  say "installing $*"
  if "${as_root[@]}" test -e "$policy"; then "${as_root[@]}" cp -p "$policy" "$policy.before-watchbell"; fi
  trap restore_policy EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  "${as_root[@]}" apt-get update -qq || fail "apt-get update failed; see its message above"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
    fail "apt-get could not install $*; see its message above"
  restore_policy
  trap - EXIT
}

if [ "${#missing[@]}" -gt 0 ]; then apt_install "${missing[@]}"; fi

# Debian's pika is for Debian's Python; another python3 first in PATH needs pip's.
is_debians_python() { [ "$(readlink -f "$(command -v python3)")" = "$(readlink -f /usr/bin/python3)" ]; }
if ! has_pika && is_debians_python; then apt_install python3-pika; fi
if ! has_pika; then
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
  say "installing pika with pip for $(command -v python3)"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore 'pika==1.4.4' ||
    fail "pip could not install pika; see its message above"
fi

has_rabbitmq || fail "rabbitmq-server is installed but /usr/lib/rabbitmq/bin or epmd is not where it should be"
has_postgres || fail "postgresql is installed but /usr/lib/postgresql/*/bin/initdb is not there"
has_alertmanager || fail "prometheus-alertmanager is installed but it or amtool is not in PATH"
has_prometheus || fail "prometheus is installed but it or promtool is not in PATH"
has_balancers || fail "haproxy and nginx-light are installed but not in /usr/sbin"
has_pika || fail "pika is installed but python3 cannot import it"
