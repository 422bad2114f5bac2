FROM python:3.11 AS base
RUN pip install dagster dagster-webserver
ARG DAGSTER_HOME=/opt/dagster/home/
ENV DAGSTER_HOME=$DAGSTER_HOME
WORKDIR $DAGSTER_HOME
COPY dagster.docker.yaml ./dagster.yaml
COPY workspace.docker.yaml ./workspace.yaml
ENTRYPOINT []

FROM base AS page
EXPOSE 3000
CMD ["dagster-webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "workspace.yaml"]

FROM base AS clock
CMD ["dagster-daemon", "run"]
