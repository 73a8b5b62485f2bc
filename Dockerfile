# Airflow with this provider and the embedded AWS; docker-compose.yaml runs every service from this one image.
FROM python:3.11-slim
RUN pip install --no-cache-dir uv && useradd --create-home --uid 50000 airflow
WORKDIR /opt/ddbexport
COPY requirements/dev.txt requirements/dev.txt
RUN uv pip install --system --no-cache --require-hashes -r requirements/dev.txt
COPY pyproject.toml README.md LICENSE ./
COPY airflow_provider_ddbexport airflow_provider_ddbexport
RUN uv pip install --system --no-cache --no-deps .
COPY dags dags
RUN mkdir -p /opt/airflow/logs && chown -R airflow /opt/airflow
USER airflow
ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/ddbexport/dags
