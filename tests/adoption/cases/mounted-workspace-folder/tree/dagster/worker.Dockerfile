FROM python:3.9
RUN pip install "dagster<1.2"
WORKDIR /opt/dagster/app
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-d", "/opt/dagster/app", "-m", "pipelines"]
