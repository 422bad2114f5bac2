FROM python:3.10-slim
RUN pip install dagster dagster-webserver dagster-docker
ENV DAGSTER_HOME=/opt/dagster/home/
RUN mkdir -p $DAGSTER_HOME
COPY .docker/dagster.yaml workspace.yaml $DAGSTER_HOME
WORKDIR $DAGSTER_HOME
