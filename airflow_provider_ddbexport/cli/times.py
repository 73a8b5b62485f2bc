"""Times as people give them to the shell."""

from __future__ import annotations

from datetime import UTC, date, datetime


def time_given(text: str, option: str) -> datetime:
    """Return the time in *text*; a day is its midnight in UTC, as it is to ``airflow backfill``.

    Raises InvalidTimeError, which names *option*.
    """
    from airflow_provider_ddbexport.core.times import parse_time

    try:
        day = date.fromisoformat(text)
    except ValueError:
        return parse_time(text, what=option)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
