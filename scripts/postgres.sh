#!/usr/bin/env bash
# Brings up a real PostgreSQL for tests and for trying things out, in a folder of its own.
#
#   scripts/postgres.sh shared COMMAND [OPTION…]   an installed PostgreSQL, 15 or newer
#   scripts/postgres.sh engine COMMAND [OPTION…]   PostgreSQL 18 with pgvector and pg_textsearch
#
#   up              starts it, made first where it is new, and prints its URL
#   url [SERVER]    prints the URL of primary (the default), standby or pooler
#   restart [SERVER]  stops it in an orderly way, if it runs, and starts it on the same port
#   kill [SERVER]   stops it at once, as a crash would; restart brings it back
#   standby         adds a streaming replica of it, and prints its URL
#   promote         makes the standby a primary of its own; the pooler, if any, goes over to it
#   pooler          puts pgbouncer before it, in transaction mode, and prints its URL
#   down            stops all of it and deletes the folder
#
#   --data DIR      the folder; each has its own servers (default: target/postgres/shared or engine)
#   --admin         with url and the like: the URL of the superuser
#   --system        missing programs may be installed with apt-get
#  and for up, where they hold until down:
#   --debian        engine: Debian's packages in a chroot (made once, in minutes, by root) instead of
#                   those from PyPI
#   --fast          no fsync: quicker, and a crash of the machine may damage it
#   --tls           with TLS; who trusts DIR/server.crt trusts the servers
#   --listen ADDR   the address to listen on (default: 127.0.0.1)
#   --port N        its port (default: one that is free)
#   --set NAME=VALUE  a setting for postgresql.conf; may be repeated
#   --for PID       down follows by itself, once this process has ended
#
#   psql "$(scripts/postgres.sh shared up --fast)"
#   url=$(scripts/postgres.sh engine up --data "$dir" --fast --for $$)
#   scripts/postgres.sh shared standby && scripts/postgres.sh shared kill && scripts/postgres.sh shared promote
#
# The URL's user may create databases; the superuser is postgres, with the same password. As root,
# the servers run as nobody. 3 says that a program is missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf 'postgres: %s\n' "$*" >&2; }
die() { say "$@" && exit 1; }
usage() { say "$*; see scripts/postgres.sh --help" && exit 2; }

[[ ${1-} != --help && ${1-} != -h ]] ||
  { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0; }
kind=${1-} command=${2-}
[[ $kind == shared || $kind == engine ]] || usage "say shared or engine first"
[[ $command =~ ^(up|url|restart|kill|standby|promote|pooler|down)$ ]] || usage "no command ${command:-is given}"
shift 2
data=$root/target/postgres/$kind server=primary
admin=no system=no debian=no fast=no tls=no listen=127.0.0.1 port=0 owner_of='' settings=()
while (($#)); do
  case $1 in
    --data | --listen | --port | --set | --for) (($# >= 2)) || usage "$1 wants a value" ;;&
    --data) data=$(realpath -m "$2") && shift ;;
    --listen) listen=$2 && shift ;;
    --port) port=$2 && shift ;;
    --set) settings+=("$2") && shift ;;
    --for) owner_of=$2 && shift ;;
    --admin | --system | --debian | --fast | --tls) declare "${1#--}=yes" ;;
    primary | standby | pooler) server=$1 ;;
    *) usage "unknown argument $1" ;;
  esac
  shift
done
password() { cat "$data/password"; }

# One command at a time in a folder. A folder that went while this waited is made anew.
lock() {
  while :; do
    mkdir -p "$data"
    exec 9<"$data"
    flock 9
    [[ ! $data -ef /dev/fd/9 ]] || break
  done
  [[ -e $data/password || -z $(ls -A "$data") ]] || die "$data holds something else: name an empty folder, or a new one"
}

. "$root/scripts/postgres/programs.sh"
. "$root/scripts/postgres/servers.sh"

print_url() { # SERVER
  [[ -e $data/$1.port ]] || die "there is no $1 in $data: scripts/postgres.sh $kind ${1/primary/up} makes it"
  local who=toolscout where=toolscout
  [[ $admin == no ]] || who=postgres where=postgres
  echo "postgres://$who:$(password)@$(host):$(cat "$data/$1.port")/$where"
}

command_up() {
  if [[ -e $data/made ]]; then start primary; else make_primary; fi
  if [[ -n $owner_of ]]; then
    # The folder's inode tells this one from a later one of the same name. Neither the lock nor the
    # caller's output may stay open in it.
    setsid bash -c '
      tail --pid="$1" -f /dev/null
      [[ $(stat -c %i "$4" 2>/dev/null) != "$5" ]] || exec "$2" "$3" down --data "$4"
    ' - "$owner_of" "$root/scripts/postgres.sh" "$kind" "$data" "$(stat -c %i "$data")" </dev/null >/dev/null 2>&1 9<&- &
  fi
  print_url primary
}

command_standby() {
  if [[ ! -e $data/standby/standby.signal ]]; then
    start primary
    rm -rf "$data/standby" "$data/standby.port"
    pg pg_basebackup -D "$data/standby" -d "$(admin=yes print_url primary)" -R -c fast --no-sync >&2 ||
      die "pg_basebackup failed; its words are above"
  fi
  start standby
  print_url standby
}

command_promote() {
  pid_of standby >/dev/null || die "no standby runs in $data: scripts/postgres.sh $kind standby first"
  pg pg_ctl promote -s -w -t 60 -D "$data/standby" || die "the standby was not promoted; see $data/standby.log"
  local pid
  if pid=$(pid_of pooler); then
    point_pooler_at standby
    kill -HUP "$pid"
  fi
}

point_pooler_at() { sed -i "s/^\* = .*/* = host=$(host) port=$(cat "$data/$1.port")/" "$data/pooler.ini"; }

command_pooler() {
  if [[ ! -e $data/pooler.ini ]]; then
    printf '"%s" "%s"\n' toolscout "$(password)" postgres "$(password)" >"$data/pooler.users"
    printf '%s\n' "[databases]" "* = later" "[pgbouncer]" "listen_addr = $(cat "$data/listen")" "listen_port = 0" \
      "pool_mode = transaction" "auth_type = scram-sha-256" "auth_file = $data/pooler.users" \
      "admin_users = postgres" "unix_socket_dir =" "max_client_conn = 500" "default_pool_size = 20" "server_login_retry = 1" \
      "pidfile = $data/pooler.pid" "logfile = $data/pooler.log" >"$data/pooler.ini"
    chmod 600 "$data/pooler.users"
    own "$data"/pooler.*
    point_pooler_at primary
  fi
  start pooler
  print_url pooler
}

case $command in
  url) print_url "$server" && exit ;;
  down) [[ -e $data ]] || exit 0 ;;
  up) ;;
  *) [[ -e $data/made ]] || die "there is no server in $data: scripts/postgres.sh $kind up makes it" ;;
esac
lock
pgbouncer=
if [[ $command == pooler || $server == pooler ]]; then
  PATH=$PATH:/usr/sbin need "command -v pgbouncer" pgbouncer
  pgbouncer=$(PATH=$PATH:/usr/sbin command -v pgbouncer)
fi
case $command in
  kill) stop "$server" "$([[ $server == pooler ]] && echo KILL || echo QUIT)" ;;
  down)
    for server in pooler standby primary; do stop "$server" "$([[ $server == pooler ]] && echo KILL || echo QUIT)"; done
    rm -rf --one-file-system "$data"
    ;;
  restart)
    find_programs
    stop "$server" INT
    start "$server"
    ;;
  *)
    find_programs
    "command_$command"
    ;;
esac
