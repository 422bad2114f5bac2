FROM python:3.12-slim
RUN pip install dagster dagster-webserver
WORKDIR /srv
