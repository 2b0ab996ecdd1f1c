#!/usr/bin/env bash
# Installs what tests/compose/run starts: Debian's container engine, and Compose. Debian 12 has only the first version of
# Compose, so the plugin is taken out of Debian 13's package, without making anything else of Debian 13 known to apt.
# Where everything is there it only looks.
set -euo pipefail

say() { printf 'install.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

has_engine() { command -v dockerd >/dev/null && command -v iptables >/dev/null && command -v docker >/dev/null; }
has_compose() { docker compose version >/dev/null 2>&1; }
if has_engine && has_compose; then exit; fi
[ "$(id -u)" -eq 0 ] || fail 'installing needs root'
command -v apt-get >/dev/null || fail "this script knows Debian's apt-get only; install Docker and its Compose in your system's way"

scratch=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
leave() {
  if [ -e "$scratch/policy" ]; then cp -p "$scratch/policy" "$policy"; elif [ -e "$scratch/no-policy" ]; then rm -f "$policy"; fi
  rm -rf "$scratch"
}
trap leave EXIT

if ! has_engine; then
  say 'installing docker.io'
  # No system service is started by it.
  if [ -e "$policy" ]; then cp -p "$policy" "$scratch/policy"; else touch "$scratch/no-policy"; fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends docker.io iptables iproute2 >/dev/null
fi

if ! has_compose; then
  say "installing the plugin of Debian 13's docker-compose"
  mkdir -p "$scratch"/{sources,lists/partial,cache/archives/partial}
  # The mirror that apt uses already. The expression is apt's.
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' | sed -n '/\/debian\/\?$/p' | sort -u | tail -1)
  [ -n "$mirror" ] || fail 'apt has no mirror of Debian: run apt-get update'
  cat >"$scratch/sources/trixie.sources" <<SOURCES
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  apart=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$scratch/sources"
    -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o APT::Sandbox::User=root)
  apt-get "${apart[@]}" update -qq
  (cd "$scratch" && apt-get "${apart[@]}" download -qq docker-compose)
  dpkg-deb -x "$scratch"/docker-compose_*.deb "$scratch/package"
  install -D "$scratch/package/usr/libexec/docker/cli-plugins/docker-compose" /usr/local/lib/docker/cli-plugins/docker-compose
fi

has_engine || fail 'docker.io is installed, and dockerd, docker or iptables is not there'
has_compose || fail 'the plugin is installed, and docker compose does not find it'
