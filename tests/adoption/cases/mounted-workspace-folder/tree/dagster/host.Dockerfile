FROM python:3.9
RUN pip install "dagster<1.2" "dagit<1.2"
ENV DAGSTER_HOME=/opt/dagster/home
WORKDIR $DAGSTER_HOME
