"""Writing what a crawl found into the catalog."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_ddbexport.local.crawl_discovery import Columns, FoundFolder, FoundTable
from airflow_provider_ddbexport.local.glue_catalog import Catalog, CatalogTable, glue_columns, parquet_storage

_BY_CRAWLER = "UPDATED_BY_CRAWLER"
_DEPRECATED = "DEPRECATED_BY_CRAWLER"


@dataclass(frozen=True, slots=True)
class CrawlRules:
    """How a crawler writes.

    Attributes:
        updates: UPDATE_IN_DATABASE, or LOG: tables that are there keep their columns; new partitions are added all
            the same.
        deletes: what becomes of tables and partitions whose objects are gone: DEPRECATE_IN_DATABASE,
            DELETE_FROM_DATABASE or LOG.
        merges_columns: columns are only added to a table, never changed (``MergeNewColumns``).
        inherits: partitions get the table's columns rather than their own (``InheritFromTable``).
        new_folders_only: folders that are partitions already are not looked at (CRAWL_NEW_FOLDERS_ONLY).
    """

    crawler: str
    database: str
    prefix: str = ""
    updates: str = "UPDATE_IN_DATABASE"
    deletes: str = "DEPRECATE_IN_DATABASE"
    merges_columns: bool = False
    inherits: bool = False
    new_folders_only: bool = False


@dataclass(slots=True)
class CrawlCounts:
    """What a crawl changed: names of tables."""

    created: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)


def rules_of(crawler: Any) -> CrawlRules:
    """Return the rules of moto's *crawler*."""
    policy = crawler.schema_change_policy or {}
    output = (json.loads(crawler.configuration) if crawler.configuration else {}).get("CrawlerOutput") or {}
    recrawl = (crawler.recrawl_policy or {}).get("RecrawlBehavior")
    return CrawlRules(
        crawler=crawler.name,
        database=(crawler.database_name or "default").lower(),
        prefix=(crawler.table_prefix or "").lower(),
        updates=policy.get("UpdateBehavior") or "UPDATE_IN_DATABASE",
        deletes=policy.get("DeleteBehavior") or "DEPRECATE_IN_DATABASE",
        merges_columns=(output.get("Tables") or {}).get("AddOrUpdateBehavior") == "MergeNewColumns",
        inherits=(output.get("Partitions") or {}).get("AddOrUpdateBehavior") == "InheritFromTable",
        new_folders_only=recrawl == "CRAWL_NEW_FOLDERS_ONLY",
    )


def write_crawl(
    catalog: Catalog, found: list[FoundTable], targets: list[str], rules: CrawlRules, now: datetime
) -> CrawlCounts:
    """Make the catalog say what was *found* below *targets*, by *rules*; return what changed."""
    counts = CrawlCounts()
    if rules.database not in catalog.glue.databases:
        catalog.create_database(rules.database)
    seen = set()
    for table in found:
        name = _table_name(catalog, table, rules)
        seen.add(name)
        known = catalog.table(rules.database, name)
        if known is None:
            _create_table(catalog, table, name, rules)
            counts.created.add(name)
        elif _update_table(catalog, table, known, rules):
            counts.updated.add(name)
        known = catalog.table(rules.database, name)
        if known is not None and table.keys and _write_partitions(catalog, table, known, rules):
            counts.updated.add(name)
    for name in catalog.tables(rules.database):
        table_of_name = catalog.table(rules.database, name)
        if name not in seen and table_of_name is not None:
            _retire_table(catalog, table_of_name, targets, rules, now=now, counts=counts)
    counts.updated -= counts.created
    return counts


def _table_name(catalog: Catalog, table: FoundTable, rules: CrawlRules) -> str:
    """Return the table's name, with a hash where another location has the name already."""
    name = rules.prefix + table.name
    known = catalog.table(rules.database, name)
    if known is None or known.location.rstrip("/") == table.location.rstrip("/"):
        return name
    return f"{name}_{hashlib.md5(table.location.encode(), usedforsecurity=False).hexdigest()}"


def _parameters(rules: CrawlRules, folders: list[FoundFolder]) -> dict[str, str]:
    rows, size = sum(folder.rows for folder in folders), sum(folder.size for folder in folders)
    return {
        "CrawlerSchemaDeserializerVersion": "1.0",
        "CrawlerSchemaSerializerVersion": "1.0",
        _BY_CRAWLER: rules.crawler,
        "averageRecordSize": str(size // rows if rows else 0),
        "classification": "parquet",
        "compressionType": "none",
        "objectCount": str(sum(folder.objects for folder in folders)),
        "recordCount": str(rows),
        "sizeKey": str(size),
        "typeOfData": "file",
    }


def _create_table(catalog: Catalog, table: FoundTable, name: str, rules: CrawlRules) -> None:
    parameters = _parameters(rules, list(table.folders.values()))
    record = {
        "Name": name,
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in table.keys],
        "Parameters": parameters,
        "StorageDescriptor": parquet_storage(table.location, glue_columns(table.columns), parameters),
    }
    catalog.glue.create_table(rules.database, name, record)


def _update_table(catalog: Catalog, table: FoundTable, known: CatalogTable, rules: CrawlRules) -> bool:
    """Bring the table's columns up to date; return whether anything but its figures changed."""
    if rules.updates == "LOG":
        return False
    columns: Columns = table.columns
    if rules.merges_columns or rules.new_folders_only:
        columns = {**columns, **known.columns}
        columns = {name: columns[name] for name in [*known.columns, *columns]}
    is_changed = columns != known.columns or _DEPRECATED in (known.record.get("Parameters") or {})
    if is_changed:
        parameters = {**(known.record.get("Parameters") or {}), **_parameters(rules, list(table.folders.values()))}
        parameters.pop(_DEPRECATED, None)
        comments = known.comments
        storage = {**(known.record.get("StorageDescriptor") or {}), "Parameters": parameters}
        storage["Columns"] = [
            {**column, **({"Comment": comments[column["Name"]]} if column["Name"] in comments else {})}
            for column in glue_columns(columns)
        ]
        changed = {**known.record, "Parameters": parameters, "StorageDescriptor": storage}
        catalog.glue.update_table(known.database, known.name, changed)
    return is_changed


def _write_partitions(catalog: Catalog, table: FoundTable, known: CatalogTable, rules: CrawlRules) -> bool:
    registered = {partition.values: partition for partition in catalog.partitions(known)}
    is_changed = False
    for values, folder in table.folders.items():
        own = {name: kind for name, kind in folder.columns.items() if name not in table.keys}
        columns = known.columns if rules.inherits else own
        partition = registered.get(values)
        if partition is not None and (rules.new_folders_only or rules.updates == "LOG"):
            continue
        if partition is not None and (partition.columns, partition.location) == (columns, folder.location):
            continue
        if partition is not None:
            catalog.drop_partition(known, values)
        catalog.add_partition(known, values, folder.location, glue_columns(columns))
        is_changed = True
    if rules.deletes == "DELETE_FROM_DATABASE" and not rules.new_folders_only:
        for values in registered.keys() - table.folders.keys():
            catalog.drop_partition(known, values)
            is_changed = True
    return is_changed


def _retire_table(
    catalog: Catalog, table: CatalogTable, targets: list[str], rules: CrawlRules, *, now: datetime, counts: CrawlCounts
) -> None:
    """Deal with a table that was not found again; one of another crawler, or outside the targets, is let be."""
    parameters = table.record.get("Parameters") or {}
    is_below = any(table.location.startswith(target) for target in targets)
    if parameters.get(_BY_CRAWLER) != rules.crawler or not is_below:
        return
    if rules.deletes == "DELETE_FROM_DATABASE":
        catalog.glue.delete_table(table.database, table.name)
        counts.deleted.add(table.name)
    elif rules.deletes == "DEPRECATE_IN_DATABASE" and _DEPRECATED not in parameters:
        stamped = {**parameters, _DEPRECATED: str(round(now.timestamp() * 1000))}
        catalog.glue.update_table(table.database, table.name, {**table.record, "Parameters": stamped})
        counts.updated.add(table.name)
