"""Addresses of exports: ``<root>/<ExportId>``, where the root is a folder named AWSDynamoDB."""

from __future__ import annotations

import os
import re

from airflow_provider_ddbexport.core.store.keys import S3_SCHEME
from airflow_provider_ddbexport.errors import BadCallError

EXPORTS_FOLDER = "AWSDynamoDB"
"""Below the export's prefix; holds one folder for each export, and ``data`` for the incremental ones."""

_EXPORT_ID = re.compile(r"\d{10,20}-[0-9a-f]{8}")


def is_export_id(text: str) -> bool:
    """Return whether *text* looks like ``01768385930622-efd1a093``: ``0``, start in epoch ms, ``-``, 8 hex digits."""
    return _EXPORT_ID.fullmatch(text) is not None


def split_source(uri: str | os.PathLike[str]) -> tuple[str, str]:
    """Return ``…/AWSDynamoDB`` and the ExportId of the export's folder *uri*, with or without a ``/`` at its end.

    A local path comes back absolute. Nothing is read. Raises BadCallError.
    """
    text = os.fspath(uri)
    whole = text if text.startswith(S3_SCHEME) or "://" in text else os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 (Path keeps "..")
    root, _, export_id = whole.rstrip("/").rpartition("/")
    folder = root.rpartition("/")[2]
    if folder == EXPORTS_FOLDER and is_export_id(export_id):
        return root, export_id
    found = "is none"
    if export_id == EXPORTS_FOLDER:
        found = "is the folder of all exports: add the ExportId of one"
    elif is_export_id(folder):
        found = f"lies inside of one: give {root}"
    elif folder == EXPORTS_FOLDER and export_id == "data":
        found = "is the data folder that all incremental exports share: give the folder named by the ExportId"
    elif is_export_id(export_id):
        found = f"lies in {folder!r}: keep the name {EXPORTS_FOLDER} of the folder above it"
    raise BadCallError(
        f"{text!r}: expected an export's folder, …/{EXPORTS_FOLDER}/<ExportId> with an ExportId such as "
        f"01768385930622-efd1a093; this {found}",
        uri=text,
    )
