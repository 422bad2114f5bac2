#!/bin/bash
# The official image's variables and first start: POSTGRES_{PASSWORD,USER,DB}, PGPORT, PGDATA, /docker-entrypoint-initdb.d.
# As there, the server of the first start listens on its socket only.
set -euo pipefail

if [[ ${1:-postgres} != postgres && ${1:-} != -* ]]; then
    exec "$@"
fi
[[ ${1:-} == postgres ]] && shift

mkdir -p "$PGDATA"
if ((EUID == 0)); then
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups bash "$0" postgres "$@"
fi

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

run_sql() {
    # Connections of psql go to the socket, whatever PGHOST says.
    PGHOST='' PGPASSWORD=$POSTGRES_PASSWORD psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$user" "$@"
}

first_start() {
    if [[ -z ${POSTGRES_PASSWORD:-} ]]; then
        echo 'Database is uninitialized and superuser password is not specified: set POSTGRES_PASSWORD.' >&2
        exit 1
    fi
    initdb --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    pg_ctl -w -D "$PGDATA" -o "-c listen_addresses='' -p ${PGPORT:-5432}" start
    if [[ $database != postgres ]]; then
        run_sql --dbname postgres --set name="$database" <<<'CREATE DATABASE :"name";'
    fi
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sql) echo "$0: running $file"; run_sql --dbname "$database" --file "$file" ;;
            *.sh) echo "$0: running $file"; bash "$file" ;;
        esac
    done
    pg_ctl -w -D "$PGDATA" -m fast stop
}

if [[ ! -s $PGDATA/PG_VERSION ]]; then
    first_start
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' "$@"
