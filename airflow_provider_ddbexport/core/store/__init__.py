"""Where objects are kept: local folders and S3."""

from airflow_provider_ddbexport.core.store.local import LocalStore
from airflow_provider_ddbexport.core.store.open import open_store
from airflow_provider_ddbexport.core.store.port import ObjectInfo, ObjectStore
from airflow_provider_ddbexport.core.store.retry import RetryPolicy
from airflow_provider_ddbexport.core.store.s3 import S3Store

__all__ = ["LocalStore", "ObjectInfo", "ObjectStore", "RetryPolicy", "S3Store", "open_store"]
