"""What a crawler finds below an S3 target: tables, their columns, their partitions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from airflow_provider_ddbexport.local.hive import arrow_type, hive_type, widest
from airflow_provider_ddbexport.local.lake_objects import LakeObject, folder_partition, objects_under, split_uri

Columns = dict[str, pa.DataType]


@dataclass(slots=True)
class FoundFolder:
    """Parquet objects that share one folder of a table.

    Attributes:
        columns: of all objects together.
    """

    location: str
    columns: Columns = field(default_factory=dict)
    objects: int = 0
    rows: int = 0
    size: int = 0

    def add(self, item: LakeObject) -> None:
        """Count one object in."""
        file = item.parquet()
        merge_columns(self.columns, {name.name.lower(): arrow_type(hive_type(name.type)) for name in file.schema_arrow})
        self.objects += 1
        self.rows += file.metadata.num_rows
        self.size += item.size


@dataclass(slots=True)
class FoundTable:
    """A folder that is a table.

    Attributes:
        name: made from the folder's name, without the crawler's prefix.
        keys: names of the partition keys, outermost first.
        folders: by the partition's values; by ``()`` where there are no keys.
    """

    name: str
    location: str
    keys: tuple[str, ...]
    folders: dict[tuple[str, ...], FoundFolder] = field(default_factory=dict)

    @property
    def columns(self) -> Columns:
        """All folders' columns together; a column that is a partition key is the key's alone."""
        together: Columns = {}
        for folder in self.folders.values():
            merge_columns(together, folder.columns)
        return {name: kind for name, kind in together.items() if name not in self.keys}


def merge_columns(into: Columns, found: Columns) -> None:
    """Add *found* to *into*: new columns at the end, others widened so that they hold both."""
    for name, kind in found.items():
        into[name] = widest(into[name], kind) if name in into else kind


def discover(s3: Any, path: str, exclusions: list[str]) -> list[FoundTable]:
    """Return the tables below *path*, by location. Raises LakeError where there is no such bucket.

    A folder is a table where it holds Parquet objects or ``key=value`` folders; folders in between without ``=``
    become keys ``partition_0``, ``partition_1``, …. Hidden paths and excluded objects do not count, nor do objects
    that are not Parquet. Other than the service, it never joins sibling folders of similar columns into one table.
    """
    bucket, prefix = split_uri(path)
    base = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    excluded = [_glob(pattern) for pattern in exclusions]
    items = [
        item
        for item in objects_under(s3, path)
        if not any(pattern.fullmatch(item.key[len(base) :]) for pattern in excluded) and item.is_parquet()
    ]
    roots = _roots([item.key.split("/")[:-1] for item in items], depth=base.count("/"))
    by_root: dict[tuple[str, ...], list[LakeObject]] = defaultdict(list)
    for item in items:
        by_root[roots[tuple(item.key.split("/")[:-1])]].append(item)
    return [_table(bucket, root, found) for root, found in sorted(by_root.items())]


def _roots(folders: list[list[str]], depth: int) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return the table's folder for each folder with objects; no table's folder lies above the target's *depth*."""
    own: dict[tuple[str, ...], tuple[str, ...]] = {}
    for folder in folders:
        named = next((at for at, step in enumerate(folder) if at >= depth and folder_partition(step)), len(folder))
        own[tuple(folder)] = tuple(folder[:named])
    shallow = set(own.values())
    return {
        folder: next((root[:size] for size in range(depth, len(root)) if root[:size] in shallow), root)
        for folder, root in own.items()
    }


def _table(bucket: str, root: tuple[str, ...], items: list[LakeObject]) -> FoundTable:
    keys_of = {item.key: list(_pairs(item.key.split("/")[len(root) : -1])) for item in items}
    # Folders of another depth than most are not partitions of the same table.
    commonest = Counter(tuple(key for key, _ in pairs) for pairs in keys_of.values()).most_common(1)[0][0]
    location = f"s3://{bucket}/" + "".join(f"{step}/" for step in root)
    name = re.sub(r"[^a-z0-9_]", "_", (root[-1] if root else bucket).lower())
    table = FoundTable(name, location, commonest)
    for item in items:
        pairs = keys_of[item.key]
        if tuple(key for key, _ in pairs) == commonest:
            values = tuple(value for _, value in pairs)
            folder = table.folders.setdefault(values, FoundFolder(f"s3://{bucket}/{item.key.rpartition('/')[0]}/"))
            folder.add(item)
    return table


def _pairs(folders: list[str]) -> Iterator[tuple[str, str]]:
    unnamed = 0
    for folder in folders:
        pair = folder_partition(folder)
        yield pair or (f"partition_{unnamed}", folder)
        unnamed += pair is None


def _glob(pattern: str) -> re.Pattern[str]:
    """Return a crawler's exclusion as a regular expression over the path below the target.

    ``*`` and ``?`` stop at ``/``, ``**`` does not; ``{a,b}`` is either, ``[a-z]`` and ``[!a]`` are one character.
    """
    text, at, is_open = "", 0, 0
    while at < len(pattern):
        sign = pattern[at]
        if pattern.startswith("**", at):
            text, at = f"{text}.*", at + 1
        elif sign == "\\" and at + 1 < len(pattern):
            text, at = text + re.escape(pattern[at + 1]), at + 1
        elif sign == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\")
            text, at = f"{text}[{'^' + inside[1:] if inside.startswith('!') else inside}]", end
        elif sign == "{":
            text, is_open = f"{text}(?:", is_open + 1
        elif is_open and sign in "},":
            text, is_open = (f"{text})", is_open - 1) if sign == "}" else (f"{text}|", is_open)
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(sign, re.escape(sign))
        at += 1
    return re.compile(text, re.DOTALL)
