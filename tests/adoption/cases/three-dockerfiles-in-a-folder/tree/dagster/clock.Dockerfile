FROM python:3.12-slim
RUN pip install dagster dagster-webserver dagster-postgres
ENV DAGSTER_HOME=/opt/dagster/home
WORKDIR /opt/dagster/home
COPY dagster.yaml workspace.yaml ./
