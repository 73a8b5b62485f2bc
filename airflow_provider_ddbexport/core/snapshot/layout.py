"""Where everything lies in a lake.

::

    <lake>/<table>/ddb_export_timestamp=<T>/[column=value/…]part-00000-<digest>.parquet
    <lake>/<table>/_snapshots/<T>.json      commit records: the snapshots that are published
    <lake>/<table>/_schemas/000001.json     every set of columns the table ever had; the newest is the table's
    <lake>/<table>/_conversions/<T>/<digest>/…    what conversions under way have decided and done; gone afterwards
    <lake>/<table>/_chains/<T>-….json       what increments up to T follow, and what they could not be merged into

Keys are relative to the table's folder. Query engines skip folders whose names start with an underscore.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from airflow_provider_ddbexport.core.columns.partition import DEFAULT_PARTITION
from airflow_provider_ddbexport.core.times import parse_time, snapshot_timestamp
from airflow_provider_ddbexport.errors import BadCallError, InvalidTimeError

SNAPSHOT_COLUMN = "ddb_export_timestamp"
RECORDS_FOLDER = "_snapshots"
SCHEMAS_FOLDER = "_schemas"
CONVERSIONS_FOLDER = "_conversions"
CHAINS_FOLDER = "_chains"
FOLDERS_WITHOUT_PARTS = (RECORDS_FOLDER, SCHEMAS_FOLDER, CONVERSIONS_FOLDER, CHAINS_FOLDER)
"""Beside those of the snapshots."""

_PART = re.compile(r"part-[0-9]{5,}-[0-9a-f]{8}\.parquet")
_SCHEMA = re.compile(rf"{SCHEMAS_FOLDER}/([0-9]{{6,}})\.json")
_ESCAPED_IN_FOLDERS = re.compile(r"""[\x00-\x1f\x7f"#%'*/:=?\\{\[\]^]""")
_LONGEST_NAME_BYTES = 255
"""Of one folder in a local file system."""


def record_key(as_of: datetime) -> str:
    """Return the key of the commit record of the snapshot as of *as_of*."""
    return f"{RECORDS_FOLDER}/{snapshot_timestamp(as_of)}.json"


def as_of_in(record_key: str) -> datetime | None:
    """Return the time in the key of a commit record; None for another kind of object."""
    return _time_in(record_key, RECORDS_FOLDER, ".json")


def schema_key(number: int) -> str:
    """Return the key of link *number* (from 1) of the chain of schemas."""
    return f"{SCHEMAS_FOLDER}/{number:06d}.json"


def schema_number_in(key: str) -> int | None:
    """Return the number in the key of a link of the chain of schemas; None for another kind of object."""
    match = _SCHEMA.fullmatch(key)
    return int(match[1]) if match else None


def conversions_folder(as_of: datetime) -> str:
    """Return the folder of all conversions under way to a snapshot as of *as_of*."""
    return f"{CONVERSIONS_FOLDER}/{snapshot_timestamp(as_of)}"


def conversion_folder(as_of: datetime, digest: str) -> str:
    """Return the folder of the conversion that *digest* (hex) stands for."""
    return f"{conversions_folder(as_of)}/{digest[:16]}"


def chosen_base_key(as_of: datetime) -> str:
    """Return the key of the note of which snapshot the increments up to *as_of* follow."""
    return f"{CHAINS_FOLDER}/{snapshot_timestamp(as_of)}-base.json"


def chosen_base_in(key: str) -> datetime | None:
    """Return the time in the key of a note that :func:`chosen_base_key` names; None for another kind of object."""
    return _time_in(key, CHAINS_FOLDER, "-base.json")


def broken_chain_key(as_of: datetime) -> str:
    """Return the key of the note that increments could not be merged into the snapshot as of *as_of*."""
    return f"{CHAINS_FOLDER}/{snapshot_timestamp(as_of)}-broken.json"


def snapshot_folder(as_of: datetime) -> str:
    """Return the folder of the parts as of *as_of*."""
    return f"{SNAPSHOT_COLUMN}={snapshot_timestamp(as_of)}"


def partition_folder(columns: Sequence[str], values: Sequence[str | None]) -> str:
    """Return ``column=value/…/`` with a slash at its end, as Hive writes it; "" without columns.

    Raises BadCallError where a value is too long to name a folder. The message does not repeat the value.
    """
    folders = []
    for column, value in zip(columns, values, strict=True):
        folder = f"{column}={DEFAULT_PARTITION if value is None else escape(value)}"
        if len(folder.encode()) > _LONGEST_NAME_BYTES:
            raise BadCallError(
                f"partition_by: column {column!r} has a value that makes a folder name of {len(folder.encode())} "
                f"bytes, at most {_LONGEST_NAME_BYTES} are possible; partition by an attribute with few, short values",
                column=column,
            )
        folders.append(folder + "/")
    return "".join(folders)


def escape(value: str) -> str:
    """Return *value* as Hive writes it into a folder's name: ``a/b`` becomes ``a%2Fb``."""
    return _ESCAPED_IN_FOLDERS.sub(lambda match: f"%{ord(match[0]):02X}", value)


def part_name(number: int, digest: str) -> str:
    """Return the name of part *number* of what *digest* (hex) stands for."""
    return f"part-{number:05d}-{digest[:8]}.parquet"


def is_part(key: str) -> bool:
    """Return whether *key* has a name that :func:`part_name` gives."""
    return _PART.fullmatch(key.rpartition("/")[2]) is not None


def renamed_part(key: str, digest: str) -> str:
    """Return *key* with the name of the part of the same number of what *digest* stands for."""
    start, _, _ = key.rpartition("-")
    return f"{start}-{digest[:8]}.parquet"


def _time_in(key: str, folder: str, ending: str) -> datetime | None:
    name = key.removeprefix(f"{folder}/")
    if name == key or not name.endswith(f"Z{ending}"):
        return None
    try:
        return parse_time(name.removesuffix(ending))
    except InvalidTimeError:
        return None
