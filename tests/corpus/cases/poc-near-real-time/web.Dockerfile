FROM python:3.12-slim

ENV DAGSTER_HOME=/opt/dagster/home
RUN pip install --no-cache-dir dagster dagster-webserver dagster-postgres
WORKDIR /opt/dagster/home
COPY dagster.yaml workspace.yaml ./
CMD ["dagster-webserver", "-h", "0.0.0.0"]
