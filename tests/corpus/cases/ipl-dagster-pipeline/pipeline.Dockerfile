FROM python:3.12-slim
CMD ["dagster", "api", "grpc", "-p", "4000", "-m", "pipeline"]
