#!/bin/bash
exec uv run --project ../lib dagster-webserver -h 0.0.0.0 -p 3000 \
  --workspace workspace.yaml
