"""Whether a corpus comes back from a snapshot as it went in, whatever the options."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Context
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.export import read_export
from airflow_provider_ddbexport.core.snapshot import convert_export, snapshot_items
from airflow_provider_ddbexport.core.store import LocalStore
from convert.corpora import EXPORT_ID, Corpus
from convert.items import kind_of

Fingerprint = tuple[int, int]
"""How many items, and the sum of their hashes: the same for the same items in any order."""


def settings(corpus: Corpus) -> dict[str, dict[str, Any]]:
    """Return what a conversion of *corpus* can be asked for: arguments by the words for them."""
    kind = kind_of(corpus.name)
    number = next((column for column, what in kind.columns.items() if what in ("N", "D")))
    columns: dict[str, dict[str, Any]] = {
        "defaults": {},
        "numbers double": {"numbers": "double"},
        "numbers string": {"numbers": "string"},
        "numbers decimal(9,1)": {"numbers": "decimal(9,1)"},
        f"numbers of {number} double, others string": {"numbers": {number: "double", "*": "string"}},
        "nested flatten": {"nested": "flatten"},
        "nested json": {"nested": "json"},
        f"partitioned by {kind.folders}": {"partition_by": (kind.folders,)},
        f"{number} renamed": {"column_names": {number: "another_name"}},
    }
    arguments = {words: {"options": ColumnOptions(**options)} for words, options in columns.items()}
    return arguments | {
        "small parts, 2 workers": {"rows_per_part": corpus.items // 10, "workers": 2},
        "parts of 64 KB": {"part_bytes": 1 << 16},
        f"sorted by {number}": {"sort_by": (number,)},
        f"flattened, in folders of {kind.folders}, sorted by {number}": {
            "options": ColumnOptions(nested="flatten", partition_by=(kind.folders,)),
            "sort_by": (number,),
        },
        "JSON, numbers double, parts of 64 KB, 2 workers": {
            "options": ColumnOptions(nested="json", numbers="double"),
            "part_bytes": 1 << 16,
            "workers": 2,
        },
    }


def exported(corpus: Corpus) -> Fingerprint:
    """Return the fingerprint of the items of *corpus*, read with nothing of ours."""

    def lines() -> Iterator[bytes]:
        for path in corpus.data_files:
            with gzip.open(path) as file:
                yield from file

    return fingerprint(lines())


def restored(corpus: Corpus, arguments: Mapping[str, Any], folder: Path) -> Fingerprint:
    """Return the fingerprint of the items that come back after a conversion into *folder*."""
    root, lake = LocalStore(corpus.root), LocalStore(folder)
    convert_export(root, read_export(root, EXPORT_ID), lake, table="t", **arguments)
    return fingerprint(snapshot_items(lake, "t"))


def restored_by_shell(corpus: Corpus, folder: Path) -> Fingerprint:
    """Return the fingerprint of what ``ddbexport items`` prints after ``ddbexport convert`` into *folder*."""
    shell = str(Path(sys.executable).with_name("ddbexport"))
    source, lake = str(corpus.root / EXPORT_ID), str(folder)
    subprocess.run([shell, "convert", source, lake, "--table", "t"], check=True, capture_output=True)
    with subprocess.Popen([shell, "items", lake, "--table", "t"], stdout=subprocess.PIPE) as items:
        found = fingerprint(items.stdout or ())
    if items.returncode:
        raise subprocess.CalledProcessError(items.returncode, "ddbexport items")
    return found


def fingerprint(lines: Iterable[bytes]) -> Fingerprint:
    """Return the fingerprint of the items of *lines*: numbers are the same as decimals, sets as sets."""
    items = total = 0
    encode = msgspec.json.Encoder(order="sorted").encode
    for line in lines:
        item = msgspec.json.decode(line)["Item"]
        body = encode({name: _canonical(value) for name, value in item.items()})
        total += int.from_bytes(hashlib.blake2b(body, digest_size=16).digest())
        items += 1
    return items, total % (1 << 128)


def _canonical(value: dict[str, Any]) -> dict[str, Any]:
    ((tag, content),) = value.items()
    return {tag: _SPELLINGS[tag](content)} if tag in _SPELLINGS else value


# The usual context rounds to 28 digits.
_EXACT = Context(prec=80)


def _decimal(text: str) -> str:
    return str(_EXACT.create_decimal(text).normalize(_EXACT))


_SPELLINGS: dict[str, Callable[[Any], Any]] = {
    "N": _decimal,
    "NS": lambda texts: sorted(map(_decimal, texts)),
    "SS": sorted,
    "BS": sorted,
    "M": lambda members: {name: _canonical(value) for name, value in members.items()},
    "L": lambda elements: [_canonical(value) for value in elements],
}
