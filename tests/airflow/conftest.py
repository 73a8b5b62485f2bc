"""Airflow, as little of it as operators need: a home of its own, no examples, no metadata database."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Airflow reads its configuration when it is first imported, so this precedes every import of it. Under xdist each
# worker is a process of its own and gets its own home.
_HOME = Path(tempfile.mkdtemp(prefix="ddbexport-airflow-"))
os.environ.update(
    {
        "AIRFLOW_HOME": str(_HOME),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(_HOME / "logs"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "False",
        "_AIRFLOW__AS_LIBRARY": "1",
    }
)
