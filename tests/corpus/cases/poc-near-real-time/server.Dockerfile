FROM python:3.12-slim
CMD ["dagster", "api", "grpc", "-m", "poc"]
