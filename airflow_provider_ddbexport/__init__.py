"""Apache Airflow provider that turns DynamoDB tables into verified, queryable Parquet snapshots."""

__version__ = "0.1.0"
