#!/bin/bash
exec uv run --project ../lib dagster-daemon run
