FROM python:3.12-slim
RUN pip install dagster dagster-postgres
WORKDIR /opt/code
COPY line line
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "line"]
