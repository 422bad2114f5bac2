FROM python:3.12-slim
RUN pip install dagster dagster-postgres
WORKDIR /opt/code
COPY packages/ground ./
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "ground.definitions"]
