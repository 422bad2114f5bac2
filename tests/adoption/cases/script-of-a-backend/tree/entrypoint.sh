#!/bin/sh
if [ "$1" = "dagster" ] && [ "$2" = "api" ]; then
  exec dagster api execute_run "$@"
fi
if [ "$1" = "dagster-service" ]; then
  dagster-daemon run -w /srv/orchestration/workspace.yaml &
  exec dagster-webserver -h 0.0.0.0 -w /srv/orchestration/workspace.yaml
fi
exec "$@"
