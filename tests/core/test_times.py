"""Times as this package reads them."""

from __future__ import annotations

import pytest

from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.errors import InvalidTimeError


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_has_no_year_for_is_refused_as_any_other_wrong_one(text: str) -> None:
    """It can be written with an offset, and is out of the range of times without."""
    with pytest.raises(InvalidTimeError, match="--at: expected a time of the years 1 to 9999 in UTC, found"):
        parse_time(text, what="--at")
