#!/usr/bin/env bash
# Makes the secrets of docker-compose.yml in DIR, once: what is there is kept. DIR has a folder, a volume each, for who reads
# them: workers, rabbitmq, postgres.
#
#   secrets.sh DIR
#
# Each service mounts its own volume only, and runs as a user of its own, whom we do not know: so the files can be read by
# whoever has the volume. On the host that is root.
set -euo pipefail
dir=$1
umask 022

random() { od -An -tx1 -N32 /dev/urandom | tr -d ' \n'; }
write() { cat >"$1.new" && mv "$1.new" "$1"; } # Whole or not at all.
keep() { # FILE COMMAND…: the file is what the command printed the first time
  local file=$1; shift
  [ -s "$file" ] || "$@" | write "$file"
}

keep "$dir/postgres/password" random
printf 'postgres://watchbell:%s@postgres:5432/watchbell' "$(cat "$dir/postgres/password")" | write "$dir/workers/store-url"

keep "$dir/workers/rabbitmq-password" random
password=$(cat "$dir/workers/rabbitmq-password")
# A new node makes this user; the workers sign in as it, and so do you at its management page.
printf 'default_user = watchbell\ndefault_pass = %s\n' "$password" | write "$dir/rabbitmq/rabbitmq.conf"
printf 'amqp://watchbell:%s@rabbitmq:5672/%%2f' "$password" | write "$dir/workers/broker-url"

keep "$dir/workers/hs256-secret" random
keep "$dir/workers/unsubscribe-secret" random
keep "$dir/workers/vapid" watchbell key vapid
for half in public private; do
  sed -n "s/^${half}_key = \"\(.*\)\"$/\1/p" "$dir/workers/vapid" | write "$dir/workers/vapid-$half-key"
  [ -s "$dir/workers/vapid-$half-key" ] || { echo "secrets.sh: \`watchbell key vapid\` printed no ${half}_key" >&2; exit 1; }
done
