"""What converts an export's JSON to typed Parquet, and the floors below it: what has to be done at the least.

All write zstd at level 1. The peers, in :mod:`.peers`, are told the columns and their types, which ours finds out; and
ours verifies the export besides, which the peers do not.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from convert import peers
from convert.corpora import EXPORT_ID, Corpus

Convert = Callable[[], str]
"""Converts; returns a glob of the Parquet files, none for a floor."""

Engine = Callable[[Corpus, Path, int], Convert]
"""Gets ready, which is not measured, to convert a corpus into a folder with so many workers."""


def _ours(decoder: str) -> Engine:
    def prepare(corpus: Corpus, folder: Path, workers: int) -> Convert:
        os.environ["DDBEXPORT_DECODER"] = decoder
        import pyarrow.parquet  # noqa: F401

        from airflow_provider_ddbexport.core.export import read_export
        from airflow_provider_ddbexport.core.snapshot import convert_export
        from airflow_provider_ddbexport.core.store import LocalStore

        root = LocalStore(corpus.root)

        def convert() -> str:
            convert_export(root, read_export(root, EXPORT_ID), LocalStore(folder), table="t", workers=workers)
            return str(folder / "t/*/*.parquet")

        return convert

    return prepare


def _gunzip(corpus: Corpus, _folder: Path, _workers: int) -> Convert:
    """Unzipping alone."""
    from isal import igzip

    def convert() -> str:
        for path in corpus.data_files:
            with igzip.open(path) as file:
                while file.read(1 << 18):
                    pass
        return ""

    return convert


def _verify(corpus: Corpus, _folder: Path, _workers: int) -> Convert:
    """Unzipping, hashing, and walking through the JSON of every line."""
    from airflow_provider_ddbexport.core.export import read_export, verify_export
    from airflow_provider_ddbexport.core.store import LocalStore

    root = LocalStore(corpus.root)

    def convert() -> str:
        verify_export(root, read_export(root, EXPORT_ID))
        return ""

    return convert


def _write_parquet(corpus: Corpus, folder: Path, workers: int) -> Convert:
    """Writing what is in memory already."""
    import pyarrow.parquet as pq

    glob = Path(_ours("compiled")(corpus, folder, workers)())
    tables = [pq.ParquetFile(path).read() for path in sorted(folder.glob(str(glob.relative_to(folder))))]

    def convert() -> str:
        for number, table in enumerate(tables):
            pq.write_table(table, folder / f"{number}.parquet", compression="zstd", compression_level=1)
        return ""

    return convert


OURS = "ddbexport"
REFERENCE = "ddbexport, reference decoder"
PLAIN_PYTHON = "json + TypeDeserializer"

ENGINES: dict[str, Engine] = {
    OURS: _ours("compiled"),
    REFERENCE: _ours("reference"),
    PLAIN_PYTHON: peers.type_deserializer,
    "DuckDB": peers.duckdb,
    "Polars": peers.polars,
    "Spark": peers.spark,
    "floor: gunzip": _gunzip,
    "floor: gunzip, md5, JSON": _verify,
    "floor: write Parquet": _write_parquet,
}

ONE_WORKER = {REFERENCE, PLAIN_PYTHON, *(name for name in ENGINES if name.startswith("floor"))}

_MODULES = {"Polars": "polars", "DuckDB": "duckdb", "Spark": "pyspark"}


def missing(engine: str) -> str | None:
    """Return why *engine* cannot run here, None if it can."""
    module = _MODULES.get(engine)
    if module and importlib.util.find_spec(module) is None:
        return f"{module} is not installed"
    if engine == "Spark" and shutil.which("java") is None:
        return "there is no Java"
    return None
