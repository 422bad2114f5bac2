FROM city/tools:1
COPY packages/roofs /opt/roofs
RUN pip install /opt/roofs dagster
