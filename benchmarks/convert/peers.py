"""What others convert exports with, each with the best settings we know for it."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert.corpora import Corpus
from convert.items import kind_of


def type_deserializer(corpus: Corpus, folder: Path, _workers: int) -> Callable[[], str]:
    """What most people write first: json, boto3's TypeDeserializer, pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from boto3.dynamodb.types import TypeDeserializer

    deserialize = TypeDeserializer().deserialize
    schema = pa.schema([(name.lower(), _arrow(kind)) for name, kind in kind_of(corpus.name).columns.items()])

    def convert() -> str:
        with pq.ParquetWriter(folder / "part.parquet", schema, compression="zstd") as writer:
            for path in corpus.data_files:
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

    return convert


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, set) else value


def _arrow(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, dict):
        return pa.struct([(name, _arrow(inner)) for name, inner in kind.items()])
    if isinstance(kind, list):
        return pa.map_(pa.string(), _arrow(kind[0]))
    plain = {"S": pa.string(), "N": pa.int64(), "D": pa.decimal128(38, 9), "BOOL": pa.bool_()}
    return pa.list_(pa.string()) if kind == "SS" else plain[kind]


def duckdb(corpus: Corpus, folder: Path, workers: int) -> Callable[[], str]:
    """DuckDB told the types of everything, free to write rows in any order."""
    import duckdb

    columns = kind_of(corpus.name).columns
    item = ", ".join(f'"{name}" {_duck_json(kind)}' for name, kind in columns.items())
    select = ", ".join(f"{_duck_value('Item', name, kind)} AS {name.lower()}" for name, kind in columns.items())
    files = [str(path) for path in corpus.data_files]

    def convert() -> str:
        with duckdb.connect(config={"threads": workers, "preserve_insertion_order": False}) as db:
            db.execute(
                f"COPY (SELECT {select} FROM read_json({files!r}, format='newline_delimited', "
                f"columns={{'Item': 'STRUCT({item})'}})) TO '{folder / 'part.parquet'}' "
                "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
            )
        return str(folder / "part.parquet")

    return convert


def _duck_json(kind: Any) -> str:
    if isinstance(kind, dict):
        return "STRUCT(M STRUCT(" + ", ".join(f'"{name}" {_duck_json(inner)}' for name, inner in kind.items()) + "))"
    if isinstance(kind, list):
        return f"STRUCT(M MAP(VARCHAR, {_duck_json(kind[0])}))"
    content = {"S": "VARCHAR", "N": "BIGINT", "D": "DECIMAL(38,9)", "BOOL": "BOOLEAN", "SS": "VARCHAR[]"}[kind]
    return f"STRUCT({_tag(kind)} {content})"


def _duck_value(outer: str, name: str, kind: Any) -> str:
    value = f'{outer}."{name}"'
    if isinstance(kind, dict):
        inner = ", ".join(f"'{key}': {_duck_value(f'{value}.M', key, k)}" for key, k in kind.items())
        return f"{{{inner}}}"
    if isinstance(kind, list):
        return f"map_from_entries(list_transform(map_entries({value}.M), lambda e: (e.key, e.value.{_tag(kind[0])})))"
    return f"{value}.{_tag(kind)}"


def polars(corpus: Corpus, folder: Path, workers: int) -> Callable[[], str]:
    """Polars told the types of everything, streaming."""
    os.environ["POLARS_MAX_THREADS"] = str(workers)
    import polars as pl

    columns = kind_of(corpus.name).columns
    schema = {"Item": pl.Struct({name: _polars_json(kind, pl) for name, kind in columns.items()})}
    item = pl.col("Item").struct
    frames = pl.scan_ndjson(corpus.data_files, schema=schema).select(
        [_polars_value(item.field(name), kind, pl).alias(name.lower()) for name, kind in columns.items()]
    )

    def convert() -> str:
        frames.sink_parquet(folder / "part.parquet", compression="zstd", compression_level=1)
        return str(folder / "part.parquet")

    return convert


def _polars_json(kind: Any, pl: Any) -> Any:
    if isinstance(kind, dict):
        return pl.Struct({"M": pl.Struct({name: _polars_json(inner, pl) for name, inner in kind.items()})})
    if isinstance(kind, list):
        raise SystemExit("Polars has no type for a map with any keys")
    content = {"BOOL": pl.Boolean, "SS": pl.List(pl.String)}.get(kind, pl.String)
    return pl.Struct({_tag(kind): content})


def _polars_value(value: Any, kind: Any, pl: Any) -> Any:
    if isinstance(kind, dict):
        inner = value.struct.field("M")
        return pl.struct([_polars_value(inner.struct.field(name), k, pl).alias(name) for name, k in kind.items()])
    content = value.struct.field(_tag(kind))
    if kind == "N":
        return content.cast(pl.Int64)
    return content.cast(pl.Decimal(38, 9)) if kind == "D" else content


def spark(corpus: Corpus, folder: Path, workers: int) -> Callable[[], str]:
    """Spark on this machine, told the types of everything; the JVM is running and has written a few rows before."""
    os.environ["SPARK_LOCAL_DIRS"] = str(folder)
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F  # noqa: N812 (as everybody calls it)

    settings = {
        "spark.driver.memory": "3g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.hadoop.parquet.compression.codec.zstd.level": "1",
    }
    session = SparkSession.builder.master(f"local[{workers}]").config(map=settings).getOrCreate()
    columns = kind_of(corpus.name).columns
    schema = "Item STRUCT<" + ", ".join(f"`{name}`: {_spark_json(kind)}" for name, kind in columns.items()) + ">"
    values = [_spark_value(F.col(f"Item.`{name}`"), kind, F).alias(name.lower()) for name, kind in columns.items()]
    files = [str(path) for path in corpus.data_files]
    session.read.json(files[0], schema=schema).limit(1000).select(values).write.parquet(str(folder / "warm"))

    def convert() -> str:
        session.read.json(files, schema=schema).select(values).write.parquet(str(folder / "parts"))
        return str(folder / "parts/*.parquet")

    return convert


def _spark_json(kind: Any) -> str:
    if isinstance(kind, dict):
        inner = ", ".join(f"`{name}`: {_spark_json(inner)}" for name, inner in kind.items())
        return f"STRUCT<M: STRUCT<{inner}>>"
    if isinstance(kind, list):
        return f"STRUCT<M: MAP<STRING, {_spark_json(kind[0])}>>"
    content = {"BOOL": "BOOLEAN", "SS": "ARRAY<STRING>"}.get(kind, "STRING")
    return f"STRUCT<{_tag(kind)}: {content}>"


def _spark_value(value: Any, kind: Any, functions: Any) -> Any:
    if isinstance(kind, dict):
        members = [_spark_value(value["M"][name], inner, functions).alias(name) for name, inner in kind.items()]
        return functions.struct(*members)
    if isinstance(kind, list):
        return functions.transform_values(value["M"], lambda _, inner: _spark_value(inner, kind[0], functions))
    content = value[_tag(kind)]
    casts = {"N": "bigint", "D": "decimal(38,9)"}
    return content.cast(casts[kind]) if kind in casts else content


def _tag(kind: str) -> str:
    return "N" if kind == "D" else kind
