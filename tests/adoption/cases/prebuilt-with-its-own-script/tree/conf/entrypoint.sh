#!/bin/bash
jupyter lab &
cd /opt/dagster/conf
dagster-daemon run &
dagit -h 0.0.0.0 -p 3000 -w "/opt/dagster/conf/workspace.yaml"
