FROM city/tools:1
COPY packages/floors /opt/floors
RUN pip install /opt/floors dagster
