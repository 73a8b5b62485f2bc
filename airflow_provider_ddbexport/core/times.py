"""Times as this package reads and writes them: aware, UTC, whole milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_ddbexport.errors import InvalidTimeError


def parse_time(value: str | datetime, *, what: str = "time") -> datetime:
    """Return *value* as an aware UTC datetime, cut to milliseconds.

    Text is ISO 8601 (``2026-01-14T10:18:50Z``, ``2026-01-14 10:18:50+00:00``, ``20260114T101850Z``) and names its
    offset: a time without one means another instant on every machine. Raises :class:`InvalidTimeError`.
    """
    if isinstance(value, datetime):
        moment = value
    else:
        try:
            moment = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise InvalidTimeError(
                f"{what}: expected an ISO 8601 time such as 2026-01-14T10:18:50Z, found {value!r}", what=what
            ) from None
    if moment.tzinfo is None:
        raise InvalidTimeError(
            f"{what}: {value!s} names no time zone; write it with its offset, such as {moment.isoformat()}Z", what=what
        )
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise InvalidTimeError(
            f"{what}: expected a time of the years 1 to 9999 in UTC, found {moment.isoformat()}", what=what
        ) from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    """Return *moment* as ``2026-01-14T10:18:50Z``, with milliseconds only where there are any."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def snapshot_timestamp(moment: datetime) -> str:
    """Return *moment* as the text that names a snapshot in paths and partitions: ``20260114T101850Z``.

    Without colons, which Hive would escape; sorts by time, second by second; :func:`parse_time` reads it back.
    """
    utc = moment.astimezone(UTC)
    millis = f".{utc.microsecond // 1000:03d}" if utc.microsecond else ""
    return f"{utc:%Y%m%dT%H%M%S}{millis}Z"
