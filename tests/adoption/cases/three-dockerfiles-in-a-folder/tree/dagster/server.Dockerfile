FROM python:3.12-slim
RUN pip install dagster
WORKDIR /opt/app
COPY server/source ./
