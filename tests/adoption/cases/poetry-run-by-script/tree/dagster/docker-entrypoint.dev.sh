#!/bin/bash
poetry install --with dev,dagster
exec poetry run python -m debugpy --listen 0.0.0.0:5678 -m dagster_webserver -h 0.0.0.0 -p 3002
