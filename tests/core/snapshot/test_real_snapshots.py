"""Exports made by AWS: what comes out of a snapshot is what the data files hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from snapshot_exports import in_order, items_of, resealed

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.export import read_export, split_source
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore, open_store
from airflow_provider_ddbexport.errors import BadCallError

KEYS = ("pk", "sk")
OPTIONS = [
    ColumnOptions(numbers=numbers, nested=nested, partition_by=partition_by)
    for numbers in ("auto", "double", "string", "decimal(38,9)")
    for nested in ("struct", "flatten", "json")
    for partition_by in ((), KEYS[:1], KEYS)
]


def test_every_item_comes_back_for_every_option(real_exports: Path, tmp_path: Path) -> None:
    """Both full exports, 36 combinations of options: the items are exactly those in the data files."""
    folders = resealed(real_exports, tmp_path / "exports")
    assert len(folders) == 2
    for folder in folders:
        lines = [line for file in folder.glob("data/*.gz") for line in gzip.decompress(file.read_bytes()).splitlines()]
        expected = in_order(json.loads(line)["Item"] for line in lines)
        assert len(expected) == 3
        root_uri, export_id = split_source(str(folder))
        root = open_store(root_uri)
        export = read_export(root, export_id)
        for number, options in enumerate(OPTIONS):
            lake = LocalStore(tmp_path / export_id / str(number))
            record = convert_export(root, export, lake, table="t", options=options)
            assert in_order(items_of(lake, "t")) == expected, options
            assert record.rows == 3


def test_increments_made_by_aws_are_refused(real_exports: Path, tmp_path: Path) -> None:
    """The increments beside the full export are no tables."""
    resealed(real_exports, tmp_path / "exports")
    refused = 0
    for summary in (tmp_path / "exports").rglob("manifest-summary.json"):
        if "INCREMENTAL_EXPORT" in summary.read_text():
            root_uri, export_id = split_source(str(summary.parent))
            root = open_store(root_uri)
            with pytest.raises(BadCallError, match="incremental export"):
                convert_export(root, read_export(root, export_id), LocalStore(tmp_path / "lake"))
            refused += 1
    assert refused == 2
