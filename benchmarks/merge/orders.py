"""A generated table of orders, its full export, and an increment of a day's changes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from isal import igzip

from airflow_provider_ddbexport.core.export import DataFile, Export, ExportSummary, ExportType, OutputFormat

FILES = 16
AS_OF = datetime(2026, 1, 14, tzinfo=UTC)

_STATUS = ("NEW", "PAID", "PACKED", "SHIPPED", "DELIVERED", "RETURNED")
_CITIES = ("Hamburg", "Lyon", "Porto", "Aarhus", "Graz", "Ghent", "Torino", "Malmö", "Brno", "Leeds", "Cork", "Split")
_WORDS = ("please", "leave", "at", "the", "door", "call", "before", "delivery", "gift", "fragile", "thanks", "ring")


@dataclass(frozen=True)
class Day:
    """A day's changes.

    Attributes:
        items: of the table.
        per_mille: of a thousand items so many change.
        newest: of the table, which is ordered by time, this part changes; 1 is all of it.
        dated: whether items have a day to partition by.
        old_images: whether the increment has them.
    """

    items: int
    per_mille: int = 10
    newest: float = 1
    dated: bool = False
    old_images: bool = True

    @property
    def name(self) -> str:
        """Of the folder that keeps it."""
        return (
            f"orders-{self.items}-{self.per_mille}"
            + (f"-{self.newest}" if self.newest < 1 else "")
            + ("-dated" if self.dated else "")
            + ("" if self.old_images else "-new")
        )

    @property
    def view(self) -> str:
        """Of the increment."""
        return "NEW_AND_OLD_IMAGES" if self.old_images else "NEW_IMAGE"

    def changes(self, row: int) -> bool:
        """Return whether the item of *row* changes."""
        every = round(1000 * self.newest / self.per_mille)
        return row >= self.items * (1 - self.newest) and _scattered(row) % every == 0


@dataclass(frozen=True)
class Orders:
    """The generated files, and what the table holds after the increment."""

    root: Path
    full: Export
    increment: Export
    json_bytes: int
    rows_after: int
    cents_after: int


def make_orders(folder: Path, day: Day) -> Orders:
    """Write full export and increment into *folder*, once."""
    home = folder / day.name
    told = home / "orders.json"
    if not told.exists():
        told.write_bytes(msgspec.json.encode(_write(home, day)))
    fields: dict[str, Any] = json.loads(told.read_text())
    full, increment = (msgspec.convert(fields.pop(name), Export) for name in ("full", "increment"))
    return Orders(home / "AWSDynamoDB", full, increment, **fields)


def _write(home: Path, day: Day) -> dict[str, Any]:
    root = home / "AWSDynamoDB"
    items = day.items
    changes: list[bytes] = []
    rows = cents = size = 0

    def lines(start: int, step: int) -> Iterator[bytes]:
        nonlocal rows, cents, size
        for row in range(start, items, step):
            image, amount = _image(row, 0, dated=day.dated)
            size += len(image) + 10
            if day.changes(row):
                new, amount = (b"", 0) if row % 10 == 0 else _image(row, 1, dated=day.dated)
                changes.append(_change(row, image, new, with_old=day.old_images))
                rows += bool(new)
                cents += amount
                if row % 10 == 1:
                    new, amount = _image(items + row, 0, dated=day.dated)
                    changes.append(_change(items + row, b"", new, with_old=False))
                    rows += 1
                    cents += amount
            else:
                rows += 1
                cents += amount
            yield b'{"Item":%b}\n' % image

    files = [_write_file(root, f"full/data/{number:026d}.json.gz", lines(number, FILES)) for number in range(FILES)]
    changed = [
        _write_file(root, f"data/{number:026d}.json.gz", iter(changes[number::FILES])) for number in range(FILES)
    ]
    return {
        "full": _export(root, files, AS_OF),
        "increment": _export(root, changed, AS_OF + timedelta(days=1), AS_OF, day.view),
        "json_bytes": size,
        "rows_after": rows,
        "cents_after": cents,
    }


def _scattered(row: int) -> int:
    return (row * 2_654_435_761 >> 7) % 1_000_003


def _image(row: int, version: int, *, dated: bool) -> tuple[bytes, int]:
    """Return the item of *row* in DynamoDB JSON, and its amount in cents."""
    x = _scattered(row + 7_777_777 * version)
    cents = x % 90_000 + 100
    note = " ".join(_WORDS[(x >> shift) % 12] for shift in (1, 4, 7, 10))
    text = (
        f'{{"Customer":{{"S":"customer-{row // 7:07d}"}},"Order":{{"S":"{x:06x}-{row:09d}"}},'
        f'"Status":{{"S":"{_STATUS[x % 6]}"}},"Amount":{{"N":"{cents // 100}.{cents % 100:02d}"}},'
        f'"Currency":{{"S":"EUR"}},"Created":{{"N":"{_created(row)}"}},'
        f'"Updated":{{"N":"{1_760_000_000_000 + x * 64}"}},"IsGift":{{"BOOL":{"true" if x % 9 == 0 else "false"}}},'
        f'"Note":{{"S":"{note}"}},'
        f'"Address":{{"M":{{"City":{{"S":"{_CITIES[x % 12]}"}},"Zip":{{"S":"{x % 99_999:05d}"}},'
        f'"Country":{{"S":"{"DE" if x % 3 else "FR"}"}}}}}},'
        f'"Lines":{{"L":[{{"M":{{"Sku":{{"S":"sku-{x % 20_011:05d}"}},"Count":{{"N":"{x % 4 + 1}"}}}}}},'
        f'{{"M":{{"Sku":{{"S":"sku-{x % 19_013:05d}"}},"Count":{{"N":"1"}}}}}}]}}}}'
    )
    if dated:
        text = f'{text[:-1]},"Day":{{"S":"{date(2023, 11, 14) + timedelta(milliseconds=row * 977)}"}}}}'
    return text.encode(), cents


def _created(row: int) -> int:
    return 1_700_000_000_000 + row * 977


def _change(row: int, old: bytes, new: bytes, *, with_old: bool) -> bytes:
    image = old or new
    # Its first two members; an update keeps the key of the item it changes.
    keys = image[: image.index(b',"Status"')] + b"}"
    if old and new:
        new = keys[:-1] + new[new.index(b',"Status"') :]
    micros = int(AS_OF.timestamp()) * 1_000_000 + row * 1000
    line = b'{"Metadata":{"WriteTimestampMicros":{"N":"%d"}},"Keys":%b' % (micros, keys)
    for name, found in ((b"OldImage", old if with_old else b""), (b"NewImage", new)):
        if found:
            line += b',"%b":%b' % (name, found)
    return line + b"}\n"


def _write_file(root: Path, key: str, lines: Iterator[bytes]) -> DataFile:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with igzip.IGzipFile(str(path), "wb", compresslevel=1, mtime=0) as file:
        for line in lines:
            file.write(line)
            count += 1
    with path.open("rb") as body:
        return DataFile(key, count, base64.b64encode(hashlib.file_digest(body, "md5").digest()).decode())


def _export(
    root: Path, files: list[DataFile], as_of: datetime, from_time: datetime | None = None, view: str | None = None
) -> Export:
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders"
    export_id = f"0{int(as_of.timestamp() * 1000)}-00000000"
    is_full = view is None
    summary = ExportSummary(
        version="2020-06-30" if is_full else "2023-08-01",
        export_arn=f"{arn}/export/{export_id}",
        export_id=export_id,
        export_type=ExportType.FULL if is_full else ExportType.INCREMENTAL,
        table_arn=arn,
        table_id="00000000-0000-0000-0000-000000000000",
        table_name="Orders",
        as_of=as_of,
        from_time=from_time,
        started_at=as_of,
        ended_at=as_of,
        s3_bucket="benchmark",
        s3_prefix=None,
        manifest_files_key="",
        billed_bytes=0,
        item_count=sum(file.item_count for file in files),
        output_format=OutputFormat.DYNAMODB_JSON,
        output_view=view,
    )
    digest = hashlib.sha256("".join(sorted(file.md5 for file in files)).encode()).hexdigest()
    return Export(str(root), summary, tuple(files), digest, ())
