#!/bin/sh
# Creates Dagster's database and its user, once, in a new server. Dagster is no superuser there: code of a module, which
# reports its runs with this user, could start programs in the server's container otherwise.
set -eu
psql --set=ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set=name="$DAGSTER_POSTGRES_DB" --set=user="$DAGSTER_POSTGRES_USER" --set=password="$DAGSTER_POSTGRES_PASSWORD" <<'SQL'
CREATE ROLE :"user" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"user";
SQL
