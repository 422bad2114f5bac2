#!/bin/sh
set -e
case "$1" in
  page|webserver)
    exec dagster-webserver -h 0.0.0.0 -w /srv/workspace.yaml
    ;;
  clock)
    exec dagster-daemon run -w /srv/workspace.yaml
    ;;
  code)
    exec dagster api grpc -h 0.0.0.0 -p 4000 -m "${MODULE:-flow}"
    ;;
  *)
    exec "$@"
    ;;
esac
