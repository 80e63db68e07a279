# Part of scripts/postgres.sh: a folder's servers. Each has SERVER.port, SERVER.log and, made once, its data.
# shellcheck shell=bash disable=SC2154

own() { [[ $EUID != 0 ]] || chown -R 65534:65534 "$@"; }
host() { sed 's/,.*//; s/^\(0\.0\.0\.0\|\*\)$/127.0.0.1/' "$data/listen"; }

# The process of a server of this folder, and of no other.
pid_of() { # SERVER
  local pid
  if [[ $1 == pooler ]]; then
    pid=$(cat "$data/pooler.pid" 2>/dev/null) && grep -qzFx "$data/pooler.ini" "/proc/$pid/cmdline" 2>/dev/null || return 1
  else
    pid=$(head -n 1 "$data/$1/postmaster.pid" 2>/dev/null) && [[ /proc/$pid/cwd -ef $data/$1 ]] || return 1
  fi
  echo "$pid"
}

stop() { # SERVER SIGNAL
  local pid
  pid=$(pid_of "$1") || return 0
  kill -s "$2" "$pid" 2>/dev/null || true
  for _ in $(seq 1200); do
    pid_of "$1" >/dev/null || return 0
    sleep 0.05
  done
  die "the $1 (process $pid) did not stop within a minute"
}

# Tries it on the port that is written down; without one, on ports that no outgoing connection takes.
start() { # SERVER
  local server=$1 port tries=20
  pid_of "$server" >/dev/null && return
  while ((tries--)); do
    port=$(cat "$data/$server.port" 2>/dev/null) || port=$((RANDOM % 20000 + 12000))
    : >"$data/$server.log" && own "$data/$server.log"
    if [[ $server == pooler ]]; then
      sed -i "s/^listen_port = .*/listen_port = $port/" "$data/pooler.ini" && rm -f "$data/pooler.pid"
      as_owner "$pgbouncer" --quiet --daemon "$data/pooler.ini" >/dev/null 2>&1 || true
      for _ in $(seq 40); do
        pid_of pooler >/dev/null && (: <"/dev/tcp/$(host)/$port") 2>/dev/null && break 2
        sleep 0.05
      done
    elif pg pg_ctl start -s -w -t 120 -D "$data/$server" -l "$data/$server.log" -o "-p $port" >/dev/null 2>&1 </dev/null; then
      break
    fi
    [[ ! -e $data/$server.port ]] && grep -qi 'address already in use' "$data/$server.log" && continue
    tail -n 20 "$data/$server.log" >&2
    die "the $server did not start on port $port; its last words are above"
  done
  [[ -e $data/$server.port ]] || echo "$port" >"$data/$server.port"
}

make_primary() {
  local conf=$data/primary/postgresql.conf setting
  rm -rf "$data/primary" "$data/primary.port"
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$data/password"
  echo "$listen" >"$data/listen"
  [[ $debian == no ]] || touch "$data/debian"
  [[ $port == 0 ]] || echo "$port" >"$data/primary.port"
  chmod 700 "$data"
  own "$data"
  pg initdb -D "$data/primary" -U postgres -E UTF8 --locale=C.UTF-8 --no-sync --pwfile="$data/password" \
    --auth-local=trust --auth-host=scram-sha-256 >"$data/initdb.log" 2>&1 ||
    { cat "$data/initdb.log" >&2 && die "initdb failed; its words are above"; }
  printf 'host %s all all scram-sha-256\n' all replication >>"$data/primary/pg_hba.conf"
  {
    echo "listen_addresses = '$listen'"
    # A socket's path may have 107 bytes; where it would be longer there is none.
    if ((${#data} < 90)); then echo "unix_socket_directories = '$data'"; else echo "unix_socket_directories = ''"; fi
    echo "max_connections = 200"
    echo "wal_keep_size = 256MB"
    [[ $kind == shared ]] || printf '%s\n' "shared_preload_libraries = 'pg_textsearch'" "shared_buffers = 512MB" "maintenance_work_mem = 512MB"
    [[ $fast == no ]] || printf '%s = off\n' fsync synchronous_commit full_page_writes
    for setting in "${settings[@]}"; do echo "${setting%%=*} = '${setting#*=}'"; done
  } >>"$conf"
  if [[ $tls == yes ]]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
      -addext basicConstraints=critical,CA:FALSE -addext "subjectAltName=DNS:localhost,IP:$(host)" \
      -keyout "$data/server.key" -out "$data/server.crt" 2>/dev/null || die "openssl made no certificate"
    chmod 600 "$data/server.key"
    own "$data"/server.*
    printf '%s\n' "ssl = on" "ssl_cert_file = '$data/server.crt'" "ssl_key_file = '$data/server.key'" >>"$conf"
  fi
  start primary
  {
    # So that each database made from now on has them; made from template0 it has not.
    [[ $kind == shared ]] || printf '\\connect template1\nCREATE EXTENSION %s;\n' vector pg_textsearch
    echo "CREATE ROLE toolscout LOGIN CREATEDB PASSWORD '$(password)'; CREATE DATABASE toolscout OWNER toolscout;"
  } | pg psql -qX -v ON_ERROR_STOP=1 "$(admin=yes print_url primary)" 2>"$data/setup.log" ||
    { cat "$data/setup.log" >&2 && die "the new server could not be set up; psql's words are above"; }
  touch "$data/made"
}
