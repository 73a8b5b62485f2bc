"""Fixtures for every test."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A machine that others share is slow now and then. The gate tries the same examples every time; `make fuzz`
# tries others.
settings.register_profile(
    "repository",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize="DDBEXPORT_DECODER_ROUNDS" not in os.environ,
)
settings.load_profile("repository")

# Airflow reads its configuration when it is first imported, so this precedes every import of it. Under xdist each
# worker is a process of its own and gets its own home.
_HOME = Path(tempfile.mkdtemp(prefix="ddbexport-airflow-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ.update(
    {
        "AIRFLOW_HOME": str(_HOME),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(_HOME / "logs"),
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "False",
        # Credentials come from the environment, as aws_default says when it is empty.
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
    }
)

REAL_EXPORTS = Path(__file__).parents[2] / "shared" / "exports"
_END_TO_END = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of a running Airflow first: they wait more than they work, and the others fill the time."""
    items.sort(key=lambda item: not item.path.is_relative_to(_END_TO_END))


@pytest.fixture(scope="session")
def real_exports() -> Path:
    """The folder of exports made by AWS, which lies beside the checkout where there is one."""
    if not REAL_EXPORTS.is_dir():
        pytest.skip("no exports made by AWS beside this checkout")
    return REAL_EXPORTS
