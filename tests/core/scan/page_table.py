"""A table in memory that answers as a boto3 client does, and a store in memory that dies when it is told to."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from airflow_provider_ddbexport.core.store import ObjectInfo
from airflow_provider_ddbexport.errors import ObjectExistsError, ObjectNotFoundError


class PageTable:
    """A client for one table of *items* items, in pages of at most *page_items*; segments take items in turn.

    Attributes:
        scanned: items handed out so far.
        table: what describe_table answers.
    """

    def __init__(self, items: int, page_items: int = 3) -> None:
        self.items = items
        self.page_items = page_items
        self.scanned = 0
        self.table: dict[str, Any] = {
            "TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/Reviews",
            "TableId": "11111111-2222-3333-4444-555555555555",
            "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        }
        self._lock = threading.Lock()

    def describe_table(self, **request: Any) -> dict[str, Any]:
        return {"Table": self.table}

    def scan(self, **request: Any) -> dict[str, Any]:
        segment, segments = request["Segment"], request["TotalSegments"]
        start = int(request["ExclusiveStartKey"]["Id"]["N"]) + segments if "ExclusiveStartKey" in request else segment
        numbers = range(start, self.items, segments)[: min(request.get("Limit", 1000), self.page_items)]
        with self._lock:
            self.scanned += len(numbers)
        answer: dict[str, Any] = {
            "Items": [{"Id": {"N": str(number)}} for number in numbers],
            "ScannedCount": len(numbers),
            "ConsumedCapacity": {"CapacityUnits": 0.5},
        }
        if numbers and numbers[-1] + segments < self.items:
            answer["LastEvaluatedKey"] = {"Id": {"N": str(numbers[-1])}}
        return answer


class DiedError(BaseException):
    """The process is gone; no handler of the code under test catches this."""


class MortalStore:
    """An ObjectStore in memory.

    Attributes:
        objects: by key from the root; shared with children, and outlives the store that dies.
        writes_left: before the process dies at the next one; None for ever.
        dies_after: whether the write at which it dies is done.
    """

    uri = "memory:"

    def __init__(
        self, objects: dict[str, bytes], *, writes_left: int | None = None, dies_after: bool = False, folder: str = ""
    ) -> None:
        self.objects = objects
        self.folder = folder
        self._life = [writes_left]
        self._dies_after = dies_after
        self._lock = threading.RLock()

    @property
    def is_dead(self) -> bool:
        return self._life[0] is not None and self._life[0] < 0

    def child(self, folder: str) -> MortalStore:
        store = MortalStore(self.objects, folder=f"{self.folder}{folder}/" if folder else self.folder)
        store._life, store._dies_after, store._lock = self._life, self._dies_after, self._lock
        return store

    def uri_of(self, key: str) -> str:
        return f"memory:{self.folder}{key}"

    def read(self, key: str) -> bytes:
        with self._living():
            try:
                return self.objects[self.folder + key]
            except KeyError:
                raise ObjectNotFoundError(f"{key}: no such object") from None

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        yield self.read(key)

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.read(key))

    def remove_unfinished(self, folder: str) -> None:
        """Nothing of a write that died is left here."""

    def exists(self, key: str) -> bool:
        with self._living():
            return self.folder + key in self.objects

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        with self._living():
            inside = f"{self.folder}{folder}/" if folder else self.folder
            found = sorted((key, len(body)) for key, body in self.objects.items() if key.startswith(inside))
        return iter([ObjectInfo(key.removeprefix(self.folder), size) for key, size in found])

    def write(self, key: str, body: bytes) -> None:
        with self._mutation():
            self.objects[self.folder + key] = body

    def will_move(self, path: Path) -> None:
        """It is read when it is moved."""

    def move_file(self, key: str, path: Path) -> None:
        self.write(key, path.read_bytes())
        path.unlink()

    def create(self, key: str, body: bytes) -> None:
        with self._mutation():
            if self.objects.setdefault(self.folder + key, body) != body:
                raise ObjectExistsError(f"{key}: it is there")

    def delete(self, key: str) -> None:
        with self._mutation():
            self.objects.pop(self.folder + key, None)

    def _living(self) -> threading.RLock:
        if self.is_dead:
            raise DiedError
        return self._lock

    def _mutation(self) -> _Mutation:
        return _Mutation(self)


class _Mutation:
    def __init__(self, store: MortalStore) -> None:
        self._store = store

    def __enter__(self) -> None:
        self._store._lock.acquire()
        life = self._store._life
        if life[0] is not None:
            life[0] -= 1
        if life[0] is not None and (life[0] < -1 or (life[0] == -1 and not self._store._dies_after)):
            self._store._lock.release()
            raise DiedError

    def __exit__(self, *problem: object) -> None:
        self._store._lock.release()
        if self._store.is_dead and problem[0] is None:
            raise DiedError
