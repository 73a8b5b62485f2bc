"""Increments boiled down to what they come to: for each key they changed, whether it was there, and its last item.

Changes are read once, verified, and dealt by the hash of their key to buckets on the local disk, each of which fits
into memory but for its items. What a bucket comes to is written to a *staging* store, where every worker finds it::

    keys-00000.arrow        the keys that changed
    survivors-00000.json.gz the last item of each, one {"Item":…} a line, but for those that were deleted
    before-00000.json.gz    the item that each had before the first change, as far as the increments tell

All three are in the order of the keys' bytes, so that the same changes give the same bytes in whatever order they come.
"""

from __future__ import annotations

import base64
import hashlib
import mmap
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa
from isal import igzip

from airflow_provider_ddbexport.core.decode import Item, check_item, decode_line
from airflow_provider_ddbexport.core.decoder import check_lines
from airflow_provider_ddbexport.core.export.changes import decode_raw_change, require_changes
from airflow_provider_ddbexport.core.export.lines import BlockReader
from airflow_provider_ddbexport.core.export.manifest import read_export
from airflow_provider_ddbexport.core.export.model import DataFile, Export
from airflow_provider_ddbexport.core.export.source import split_source
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.line_blocks import Lines, RefusedLineError
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import ItemError

KEYS_PER_BUCKET = 500_000
"""Changes that are in memory at once, about 500 bytes each; their items are not."""

MAX_BUCKETS = 256
"""Files open at once."""

KEY_TABLE = pa.schema([pa.field("key", pa.binary()), pa.field("was_there", pa.bool_()), pa.field("before", pa.int64())])
"""Of the tables of changed keys: their :func:`.key_bytes`; whether the base has them, null where nobody tells; where
their item begins in the unzipped lines of items before the changes."""

_HEADER = struct.Struct("<HHHqII")
"""Before each spilled change: length of its key, its window, flags, its time, lengths of the lines of both images."""

_TELLS_BEFORE = 1
"""Flag of a change whose increment has old images: without one, the key was not there."""

_NEW_IMAGES_ONLY = "NEW_IMAGE"
_NO_CHANGE = "expected a change with Metadata, Keys, OldImage and NewImage"


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the changes of one bucket came to.

    Attributes:
        keys: key of the table of changed keys in the staging store.
        changed: how many there are.
        there: how many of them the increments say were there before.
        survivors: the items that take their place; None where all were deleted.
        before: the items they had; None where the increments tell of none.
    """

    keys: str
    changed: int
    there: int
    survivors: DataFile | None
    before: DataFile | None


@dataclass(frozen=True, slots=True)
class Compacted:
    """What all increments came to.

    Attributes:
        key_attributes: of the table, by name; none without changes.
        changes: lines read.
        buckets: none without changes.
    """

    key_attributes: tuple[str, ...]
    changes: int
    buckets: tuple[Bucket, ...]

    @property
    def changed(self) -> int:
        """Keys that the increments changed."""
        return sum(bucket.changed for bucket in self.buckets)

    @property
    def there(self) -> int:
        """Keys that the increments say were there before the first of them."""
        return sum(bucket.there for bucket in self.buckets)

    @property
    def survivors(self) -> tuple[DataFile, ...]:
        """The files of items to add."""
        return tuple(bucket.survivors for bucket in self.buckets if bucket.survivors is not None)


OnFile = Callable[[DataFile, int], None]


@dataclass(frozen=True, slots=True)
class Increment:
    """An incremental export and where its files are.

    Attributes:
        root: its folder AWSDynamoDB.
    """

    root: ObjectStore
    export: Export


def read_increment(
    source: str, open_store: Callable[[str], ObjectStore], *, accept_edited_summary: bool = False
) -> Increment:
    """Return the incremental export whose folder is *source*, its manifests checked; *open_store* opens its root."""
    root_uri, export_id = split_source(source)
    root = open_store(root_uri)
    return Increment(root, read_export(root, export_id, accept_edited_summary=accept_edited_summary))


def compact(
    increments: Sequence[Increment],
    staging: ObjectStore,
    *,
    untold_micros: int | None = None,
    on_file: OnFile | None = None,
) -> Compacted:
    """Write to *staging* what *increments*, oldest first, come to, and return what was written.

    The change with the highest WriteTimestampMicros decides about its key. Every byte of the increments is verified
    before anything is written. Repeating it writes the same. Of what was written at *untold_micros* it is not told
    whether it was there before, nor what it was. *on_file* is called after each data file with it and its compressed
    bytes. Raises BadCallError, DataFileError, ItemError and the store's errors.
    """
    for increment in increments:
        require_changes(increment.export)
    expected = sum(increment.export.summary.item_count for increment in increments)
    buckets = min(MAX_BUCKETS, -(-expected // KEYS_PER_BUCKET))
    with tempfile.TemporaryDirectory(prefix="ddbexport-") as name, _Spill(Path(name), buckets) as spill:
        for window, increment in enumerate(increments):
            export = increment.export
            tells_before = export.summary.output_view != _NEW_IMAGES_ONLY
            for file in export.files:
                taker = _Taker(spill, window, tells_before=tells_before, untold_micros=untold_micros)
                reader = BlockReader(increment.root, export, file, taker)
                for _ in reader:
                    pass
                if on_file is not None:
                    on_file(file, reader.compressed_bytes)
        written = tuple(_settle(path, number, staging, Path(name)) for number, path in enumerate(spill.flushed()))
        return Compacted(spill.key_attributes, expected, written)


class _Spill:
    """Changes on the local disk, dealt to *buckets* files."""

    def __init__(self, folder: Path, buckets: int) -> None:
        self.key_attributes: tuple[str, ...] = ()
        self._paths = [folder / f"{number:05d}.changes" for number in range(buckets)]
        self._files: list[BinaryIO] = []

    def __enter__(self) -> _Spill:
        self._files = [path.open("wb") for path in self._paths]
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, key: bytes, change: bytes) -> None:
        """Keep one change."""
        self._files[zlib.crc32(key) % len(self._files)].write(change)

    def flushed(self) -> Iterator[Path]:
        """Yield the files, which hold all that was added."""
        for file in self._files:
            file.close()
        yield from self._paths


class _Taker:
    """Spills the changes in blocks of lines."""

    def __init__(self, spill: _Spill, window: int, *, tells_before: bool, untold_micros: int | None) -> None:
        self._spill = spill
        self._window = window
        self._tells = _TELLS_BEFORE if tells_before else 0
        self._untold_micros = untold_micros
        self._check = check_lines(decode_line)

    def __call__(self, lines: Lines) -> int:
        """Take whole *lines* and return how many they are. Raises RefusedLineError."""
        images: list[bytes] = []
        lines_of_images: list[int] = []
        offset = count = 0
        *whole, rest = lines.split(b"\n")
        for line in [*whole, rest] if rest else whole:
            try:
                change = decode_raw_change(line)
                micros = int(change.Metadata.WriteTimestampMicros.N)
                key = self._key(change.Keys)
            except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
                raise RefusedLineError(offset, _NO_CHANGE) from None
            except ItemError as error:
                raise RefusedLineError(offset, str(error.context["reason"])) from None
            old, new = _item_line(change.OldImage), _item_line(change.NewImage)
            for image in (old, new):
                if image:
                    images.append(image)
                    lines_of_images.append(offset)
            tells = self._tells
            if micros == self._untold_micros:
                old, tells = b"", 0
            header = _HEADER.pack(len(key), self._window, tells, micros, len(old), len(new))
            self._spill.add(key, header + key + old + new)
            offset += len(line) + 1
            count += 1
        block = b"".join(images)
        try:
            self._check(block)
        except RefusedLineError as refused:
            raise RefusedLineError(lines_of_images[block.count(b"\n", 0, refused.offset)], refused.reason) from None
        return count

    def _key(self, keys: Item) -> bytes:
        attributes = self._spill.key_attributes
        if not attributes:
            attributes = self._spill.key_attributes = tuple(sorted(keys))
        # Text was checked by parsing it.
        if not all("S" in value for value in keys.values()):
            check_item(keys)
        key = key_bytes(keys, attributes) if len(keys) == len(attributes) <= 2 else None
        if not key:
            reason = (
                f"expected as Keys one or two strings, numbers or binaries, {', '.join(attributes)} as in the first "
                f"change, found {', '.join(sorted(keys)) or 'none'}"
            )
            raise ItemError(reason, reason=reason)
        return key


def _item_line(image: msgspec.Raw) -> bytes:
    text = bytes(image)
    return text and b'{"Item":%b}\n' % text


@dataclass(slots=True)
class _Fate:
    """What is known of one key so far; images are where they lie in the bucket's file."""

    first: int
    flags: int
    old: slice
    last: tuple[int, int]
    new: slice


def _settle(path: Path, number: int, staging: ObjectStore, folder: Path) -> Bucket:
    """Write to *staging* what the changes in *path* come to."""
    if not path.stat().st_size:
        return Bucket("", 0, 0, None, None)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as spilled:
        fates = _fates(spilled)
        ordered = sorted(fates)
        was_there = [_was_there(fates[key]) for key in ordered]
        key = f"keys-{number:05d}.arrow"
        local = folder / "keys.arrow"
        with pa.OSFile(str(local), "wb") as sink:
            sizes = [fates[key].old.stop - fates[key].old.start for key in ordered]
            begins = [start if size else None for start, size in zip(accumulate(sizes, initial=0), sizes, strict=False)]
            table = pa.record_batch([ordered, was_there, begins], KEY_TABLE)
            with pa.ipc.new_file(sink, KEY_TABLE) as writer:
                writer.write_batch(table)
        staging.write_file(key, local)
        news = (spilled[fates[key].new] for key in ordered)
        olds = (spilled[fates[key].old] for key in ordered)
        survivors = _write_lines(staging, f"survivors-{number:05d}.json.gz", news, folder)
        before = _write_lines(staging, f"before-{number:05d}.json.gz", olds, folder)
    return Bucket(key, len(ordered), was_there.count(True), survivors, before)


def _fates(spilled: mmap.mmap) -> dict[bytes, _Fate]:
    fates: dict[bytes, _Fate] = {}
    position, end = 0, len(spilled)
    while position < end:
        key_bytes, window, flags, micros, old_bytes, new_bytes = _HEADER.unpack_from(spilled, position)
        start = position + _HEADER.size
        key = spilled[start : start + key_bytes]
        old_start = start + key_bytes
        new_start = old_start + old_bytes
        position = new_start + new_bytes
        old, new = slice(old_start, new_start), slice(new_start, position)
        fate = fates.get(key)
        if fate is None:
            fates[key] = _Fate(window, flags, old, (micros, window), new)
            continue
        if window < fate.first:
            fate.first, fate.flags, fate.old = window, flags, old
        if (micros, window) > fate.last:
            fate.last, fate.new = (micros, window), new
    return fates


def _was_there(fate: _Fate) -> bool | None:
    """Return whether the base has the key; None where the increments do not tell."""
    if fate.old.stop > fate.old.start:
        return True
    return False if fate.flags & _TELLS_BEFORE else None


def _write_lines(staging: ObjectStore, key: str, lines: Iterator[bytes], folder: Path) -> DataFile | None:
    """Write *lines*, of which there may be empty ones, as a data file; None if there are no others."""
    path = folder / "lines.json.gz"
    count = 0
    with path.open("wb") as raw, igzip.IGzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as file:  # type: ignore[no-untyped-call]
        # Written a hundred at a time: a call takes longer than the line.
        for some in _batched(filter(None, lines)):
            file.write(b"".join(some))  # type: ignore[no-untyped-call]
            count += len(some)
    if not count:
        return None
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
    staging.write_file(key, path)
    return DataFile(key, count, base64.b64encode(md5).decode())


def _batched(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    while some := list(islice(lines, 100)):
        yield some
