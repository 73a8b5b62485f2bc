"""What converts an export's JSON to typed Parquet, each with the best settings we know for it.

All write zstd at level 1. The peers are told the columns and their types, which ours finds out; and ours verifies the
export besides, which the peers do not.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert.corpora import WIDE_ATTRIBUTES, Corpus

Convert = Callable[[Corpus, Path, int], str]
"""Converts a corpus into a folder with so many workers; returns a glob of the Parquet files."""


def _ours(decoder: str) -> Convert:
    def convert(corpus: Corpus, folder: Path, workers: int) -> str:
        os.environ["DDBEXPORT_DECODER"] = decoder
        from airflow_provider_ddbexport.core.export import read_export
        from airflow_provider_ddbexport.core.snapshot import convert_export
        from airflow_provider_ddbexport.core.store import LocalStore

        root = LocalStore(corpus.root)
        convert_export(root, read_export(root, corpus.export_id), LocalStore(folder), table="t", workers=workers)
        return str(folder / "t/*/*.parquet")

    return convert


def _data_files(corpus: Corpus) -> list[str]:
    return sorted(str(path) for path in (corpus.root / corpus.export_id / "data").glob("*.json.gz"))


def _type_deserializer(corpus: Corpus, folder: Path, _workers: int) -> str:
    """What most people write first: json, boto3's TypeDeserializer, pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from boto3.dynamodb.types import TypeDeserializer

    deserialize = TypeDeserializer().deserialize
    schema = pa.schema([(name.lower(), _arrow(kind)) for name, kind in COLUMNS[corpus.name].items()])
    with pq.ParquetWriter(folder / "part.parquet", schema, compression="zstd") as writer:
        for path in _data_files(corpus):
            rows: list[dict[str, Any]] = []
            with gzip.open(path) as file:
                for line in file:
                    item = json.loads(line)["Item"]
                    rows.append({name.lower(): _plain(deserialize(value)) for name, value in item.items()})
                    if len(rows) == 20_000:
                        writer.write_table(pa.Table.from_pylist(rows, schema))
                        rows = []
            writer.write_table(pa.Table.from_pylist(rows, schema))
    return str(folder / "part.parquet")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, set) else value


def _duckdb(corpus: Corpus, folder: Path, workers: int) -> str:
    import duckdb

    columns = COLUMNS[corpus.name]
    item = ", ".join(f'"{name}" {_duck_json(kind)}' for name, kind in columns.items())
    select = ", ".join(f"{_duck_value('Item', name, kind)} AS {name.lower()}" for name, kind in columns.items())
    with duckdb.connect(config={"threads": workers, "preserve_insertion_order": False}) as db:
        db.execute(
            f"COPY (SELECT {select} FROM read_json({_data_files(corpus)!r}, format='newline_delimited', "
            f"columns={{'Item': 'STRUCT({item})'}})) TO '{folder / 'part.parquet'}' "
            "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )
    return str(folder / "part.parquet")


def _polars(corpus: Corpus, folder: Path, workers: int) -> str:
    os.environ["POLARS_MAX_THREADS"] = str(workers)
    import polars as pl

    columns = COLUMNS[corpus.name]
    schema = {"Item": pl.Struct({name: _polars_json(kind, pl) for name, kind in columns.items()})}
    frames = pl.scan_ndjson(_data_files(corpus), schema=schema).select(
        [
            _polars_value(pl.col("Item").struct.field(name), kind, pl).alias(name.lower())
            for name, kind in columns.items()
        ]
    )
    frames.sink_parquet(folder / "part.parquet", compression="zstd", compression_level=1)
    return str(folder / "part.parquet")


def _gunzip(corpus: Corpus, _folder: Path, _workers: int) -> str:
    """A floor: unzipping alone."""
    from isal import igzip

    for path in _data_files(corpus):
        with igzip.open(path) as file:
            while file.read(1 << 18):
                pass
    return ""


def _verify(corpus: Corpus, _folder: Path, _workers: int) -> str:
    """A floor: unzipping, hashing and checking every line."""
    from airflow_provider_ddbexport.core.export import read_export, verify_export
    from airflow_provider_ddbexport.core.store import LocalStore

    root = LocalStore(corpus.root)
    verify_export(root, read_export(root, corpus.export_id))
    return ""


ENGINES: dict[str, Convert] = {
    "ddbexport": _ours("compiled"),
    "ddbexport, reference decoder": _ours("reference"),
    "json + TypeDeserializer": _type_deserializer,
    "DuckDB": _duckdb,
    "Polars": _polars,
    "floor: gunzip": _gunzip,
    "floor: verify": _verify,
}

NOT_PARALLEL = {"json + TypeDeserializer", "floor: gunzip", "floor: verify"}


def missing(engine: str) -> str | None:
    """Return why *engine* cannot run here, None if it can."""
    module = {"Polars": "polars", "DuckDB": "duckdb"}.get(engine)
    return f"{module} is not installed" if module and importlib.util.find_spec(module) is None else None


_REVIEW: dict[str, Any] = {
    "User": "S",
    "Book": "S",
    "Rating": "N",
    "Price": "D",
    "Review": "S",
    "Author": "S",
    "Created": "N",
    "Verified": "BOOL",
    "Details": {"pages": "N", "lang": "S", "format": "S"},
    "Tags": "SS",
}

COLUMNS: dict[str, dict[str, Any]] = {
    "reviews": _REVIEW,
    "late": {**_REVIEW, "Rating": "D", "Late": "S", "LateNumber": "D"},
    "wide": {"pk": "S", **{f"attribute_{n:03d}": "N" if n % 2 else "S" for n in range(WIDE_ATTRIBUTES)}},
    "many-keys": {"pk": "S", "quantities": ["N"]},
}
"""What the peers are told. N is a whole number, D a decimal, a dict a map, a list a map with any keys."""

AGREE: dict[str, str] = {
    "reviews": "count(*), sum(rating), sum(price), sum(length(review)), sum(details.pages), sum(len(tags))",
    "late": "count(*), sum(rating), sum(price), sum(length(review)), count(late), sum(latenumber), sum(details.pages)",
    "wide": "count(*), count(attribute_001), sum(attribute_001), sum(attribute_499), sum(length(attribute_250))",
    "many-keys": "count(*), sum(cardinality(quantities)), sum(list_sum(map_values(quantities)))",
}
"""SQL whose answer must be the same whoever wrote the Parquet files."""


def _arrow(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, dict):
        return pa.struct([(name, _arrow(inner)) for name, inner in kind.items()])
    if isinstance(kind, list):
        return pa.map_(pa.string(), _arrow(kind[0]))
    plain = {
        "S": pa.string(),
        "N": pa.int64(),
        "D": pa.decimal128(38, 9),
        "BOOL": pa.bool_(),
        "SS": pa.list_(pa.string()),
    }
    return plain[kind]


def _duck_json(kind: Any) -> str:
    if isinstance(kind, dict):
        return "STRUCT(M STRUCT(" + ", ".join(f'"{name}" {_duck_json(inner)}' for name, inner in kind.items()) + "))"
    if isinstance(kind, list):
        return f"STRUCT(M MAP(VARCHAR, {_duck_json(kind[0])}))"
    tag = "N" if kind == "D" else kind
    content = {"S": "VARCHAR", "N": "BIGINT", "D": "DECIMAL(38,9)", "BOOL": "BOOLEAN", "SS": "VARCHAR[]"}[kind]
    return f"STRUCT({tag} {content})"


def _duck_value(outer: str, name: str, kind: Any) -> str:
    value = f'{outer}."{name}"'
    if isinstance(kind, dict):
        inner = ", ".join(f"'{key}': {_duck_value(f'{value}.M', key, k)}" for key, k in kind.items())
        return f"{{{inner}}}"
    if isinstance(kind, list):
        return f"map_from_entries(list_transform(map_entries({value}.M), lambda e: (e.key, e.value.{kind[0]})))"
    return f"{value}.{'N' if kind == 'D' else kind}"


def _polars_json(kind: Any, pl: Any) -> Any:
    if isinstance(kind, dict):
        return pl.Struct({"M": pl.Struct({name: _polars_json(inner, pl) for name, inner in kind.items()})})
    if isinstance(kind, list):
        raise SystemExit("Polars has no type for a map with any keys")
    content = {"BOOL": pl.Boolean, "SS": pl.List(pl.String)}.get(kind, pl.String)
    return pl.Struct({"N" if kind == "D" else kind: content})


def _polars_value(value: Any, kind: Any, pl: Any) -> Any:
    if isinstance(kind, dict):
        inner = value.struct.field("M")
        return pl.struct([_polars_value(inner.struct.field(name), k, pl).alias(name) for name, k in kind.items()])
    content = value.struct.field("N" if kind == "D" else kind)
    if kind == "N":
        return content.cast(pl.Int64)
    return content.cast(pl.Decimal(38, 9)) if kind == "D" else content
