"""What a table's folder in a lake, which is its name in the catalog as well, is called."""

from __future__ import annotations

import re

from airflow_provider_ddbexport.errors import BadCallError

_TABLE = re.compile(r"[a-z0-9_]{1,255}")


def table_folder(name: str) -> str:
    """Return the folder, and the name in the catalog, of the DynamoDB table *name*: ``My-Table`` becomes ``my_table``.

    Other letters than ``a-z``, ``0-9`` and ``_`` become ``_``, so two tables may get one folder; name one of them with
    ``table=`` then.
    """
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def check_table(table: str) -> str:
    """Return *table* if it can be a table's folder and its name in the catalog; raises BadCallError otherwise."""
    if not isinstance(table, str) or not _TABLE.fullmatch(table):
        alike = table_folder(str(table))
        raise BadCallError(
            f"table: expected 1 to 255 lower-case letters, digits and _ (it names a folder and a table of the Glue "
            f"Catalog), found {table!r}{f'; {alike!r} would do' if _TABLE.fullmatch(alike) else ''}",
            table=table,
        )
    return table
