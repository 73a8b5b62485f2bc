"""Which folder an item belongs to, when attributes partition a snapshot."""

from __future__ import annotations

import re
from urllib.parse import quote

from airflow_provider_ddbexport.core.columns.numbers import Fit, canonical, fit
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, Schema
from airflow_provider_ddbexport.core.decode import AttributeValue, Item

DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""What Hive, Spark and Athena write into the path of rows without a value."""

PARTITION_KINDS = (Kind.STRING, Kind.NUMBER, Kind.BOOLEAN)
"""What can be in a path."""

_LONGEST_FOLDER = 255
"""Bytes of a folder's name in local file systems."""

_LONGEST_FOLDERS = 512
"""Bytes of all folders of a part together, half of what S3 takes for a key; the rest is for the lake and the table."""
# The Glue Catalog takes partition values of one line without control characters.
_REFUSED_CHARACTER = re.compile("[\x00-\x08\x0a-\x1f\ufffe\uffff]")


class PartitionKey:
    """How the values of one ``partition_by`` column are written into paths, and read back."""

    def __init__(self, column: Column, most_bytes: int) -> None:
        """*most_bytes* there are for a folder's name."""
        self.attribute = column.attribute
        self._kind = column.kind
        self._fit: Fit | None = fit(column.arrow) if column.kind is Kind.NUMBER else None
        self._room = most_bytes - len(column.name) - 1

    def text(self, value: AttributeValue) -> str | None:
        """Return *value* as it stands in the path (before escaping), or None for the default partition.

        None is the answer to NULL, a value of another type, one that the column's type does not hold, and text that
        no path or catalog could give back: empty, the default partition's own name, control characters, too long.
        """
        content = value.get(self._kind.value)
        if content is None:
            return None
        if self._kind is Kind.BOOLEAN:
            return "true" if content else "false"
        if self._fit is not None:
            return canonical(content) if self._fit(content) is not None else None
        text: str = content
        if text in ("", DEFAULT_PARTITION) or _REFUSED_CHARACTER.search(text):
            return None
        return text if len(quote(text, safe="")) <= self._room else None

    def value(self, text: str) -> AttributeValue:
        """Return the value that :meth:`text` wrote."""
        if self._kind is Kind.BOOLEAN:
            return {"BOOL": text == "true"}
        return {self._kind.value: text}


def partition_keys(schema: Schema) -> tuple[PartitionKey, ...]:
    """Return the keys of the ``partition_by`` columns, outermost first."""
    by_name = {column.name: column for column in schema.columns if column.kind is not Kind.FLAT}
    most_bytes = min(_LONGEST_FOLDER, _LONGEST_FOLDERS // max(1, len(schema.partition_by)))
    return tuple(PartitionKey(by_name[name], most_bytes) for name in schema.partition_by)


def partition_of(item: Item, schema: Schema) -> tuple[str | None, ...]:
    """Return the text of *item*'s partition values, unescaped; None stands for the default partition.

    For many items make :func:`partition_keys` once and ask :func:`partition_under`.
    """
    return partition_under(item, partition_keys(schema)) if schema.partition_by else ()


def partition_under(item: Item, keys: tuple[PartitionKey, ...]) -> tuple[str | None, ...]:
    """Return what :func:`partition_of` does, for the keys of a schema."""
    return tuple([key.text(item[key.attribute]) if key.attribute in item else None for key in keys])
