#!/bin/bash
# The official image's variables and first start: MYSQL_{ROOT_PASSWORD,DATABASE,USER,PASSWORD}, or the same with MARIADB_,
# MYSQL_TCP_PORT, /docker-entrypoint-initdb.d. As there, the server of the first start listens on its socket only.
set -euo pipefail

case ${1:-mariadbd} in
    mariadbd | mysqld) shift || true ;;
    -*) ;;
    *) exec "$@" ;;
esac

data=/var/lib/mysql
socket=/run/mysqld/mysqld.sock
root_password=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}
random_root=${MARIADB_RANDOM_ROOT_PASSWORD:-${MYSQL_RANDOM_ROOT_PASSWORD:-}}
database=${MARIADB_DATABASE:-${MYSQL_DATABASE:-}}
user=${MARIADB_USER:-${MYSQL_USER:-}}
password=${MARIADB_PASSWORD:-${MYSQL_PASSWORD:-}}

run_sql() {
    mariadb --no-defaults --socket="$socket" --user=root "$@"
}

# Text as a string of SQL.
quoted() {
    local text=${1//\\/\\\\}
    printf "'%s'" "${text//\'/\'\'}"
}

accounts() {
    if [[ -n $database ]]; then
        echo "CREATE DATABASE IF NOT EXISTS \`$database\`;"
    fi
    if [[ -n $user ]]; then
        echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
    fi
    if [[ -n $user && -n $database ]]; then
        echo "GRANT ALL ON \`${database//_/\\_}\`.* TO $(quoted "$user")@'%';"
    fi
}

root_account() {
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $(quoted "$root_password");"
    echo "CREATE USER 'root'@'%' IDENTIFIED BY $(quoted "$root_password");"
    echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
}

await_socket() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        run_sql --execute 'SELECT 1' >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo 'the server of the first start does not answer' >&2
    exit 1
}

first_start() {
    if [[ -z $root_password$random_root ]]; then
        echo 'Database is uninitialized and password option is not specified: set MYSQL_ROOT_PASSWORD.' >&2
        exit 1
    fi
    root_password=${root_password:-$(head -c 18 /dev/urandom | base64)}
    mariadb-install-db --user=mysql --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
    mariadbd --user=mysql --datadir="$data" --skip-networking --socket="$socket" &
    local server=$! file
    await_socket
    accounts | run_sql
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sql) echo "$0: running $file"; run_sql ${database:+"$database"} <"$file" ;;
            *.sh) echo "$0: running $file"; bash "$file" ;;
        esac
    done
    root_account | run_sql
    kill "$server"
    wait "$server"
}

mkdir -p "$data" /run/mysqld
chown -R mysql:mysql "$data" /run/mysqld
if [[ ! -d $data/mysql ]]; then
    first_start
fi
exec mariadbd --user=mysql --datadir="$data" --socket="$socket" --bind-address='*' --port="${MYSQL_TCP_PORT:-3306}" "$@"
