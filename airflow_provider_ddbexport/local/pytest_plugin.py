"""The pytest fixture ``local_aws``: an AWS of its own for each test. Loaded by pytest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_ddbexport.local.handle import LocalAws


@pytest.fixture(scope="session")
def local_aws_server() -> Iterator[LocalAws]:
    """One embedded AWS per test process; tests want ``local_aws``."""
    from airflow_provider_ddbexport.local import local_aws as serving

    with serving() as aws:
        yield aws


@pytest.fixture
def local_aws(local_aws_server: LocalAws) -> LocalAws:
    """An embedded AWS, empty, in real time; its server is shared, its contents are not."""
    local_aws_server.reset()
    return local_aws_server
