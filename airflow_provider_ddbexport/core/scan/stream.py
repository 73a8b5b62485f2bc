"""Pages of all segments of a table as one stream, for readers that keep no checkpoints."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.scan.pacing import Pacer
from airflow_provider_ddbexport.core.scan.progress import TELL_EVERY_S, Meter, ScanPage
from airflow_provider_ddbexport.core.scan.shard import rotated
from airflow_provider_ddbexport.errors import ScanStoppedError

_LOOK_S = 0.1


class _End:
    """Put into the queue by the worker that is last, with what ended it."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class PageStream:
    """The lines of all pages, in no order, while up to *workers* segments are read ahead a little.

    Iterating over :meth:`pages` begins the reading; closing that generator ends it after the pages it is at.
    """

    def __init__(
        self,
        pacer: Pacer,
        parameters: dict[str, Any],
        segments: int,
        *,
        meter: Meter,
        workers: int,
        stop: threading.Event,
    ) -> None:
        """Take *stop*, which the pacer knows too; it is set when the reading ends."""
        self._pacer = pacer
        self._meter = meter
        self._parameters = parameters
        self._workers = min(workers, segments)
        self._stop = stop
        self._pages: queue.Queue[bytes | _End] = queue.Queue(maxsize=self._workers)
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Item | None]] = deque(
            (segment, None) for segment in rotated(range(segments), workers)
        )
        self._left = segments

    def pages(self) -> Generator[bytes, None, None]:
        """Yield the lines of each page that has any. Raises what ended the reading before its end."""
        with ThreadPoolExecutor(self._workers, thread_name_prefix="ddbexport-stream") as pool:
            try:
                for _ in range(self._workers):
                    pool.submit(self._work)
                while not isinstance(page := self._next(), _End):
                    yield page
                if page.error is not None:
                    raise page.error
            finally:
                self._stop.set()
                with self._changed:
                    self._changed.notify_all()

    def _next(self) -> bytes | _End:
        while True:
            self._meter.tell()
            with contextlib.suppress(queue.Empty):
                return self._pages.get(timeout=TELL_EVERY_S)

    def _work(self) -> None:
        try:
            while (taken := self._take()) is not None:
                self._read(*taken)
        except ScanStoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised again where the pages are read
            self._put(_End(error))

    def _read(self, segment: int, start: Item | None) -> None:
        """Hand out the page after *start*. It is gone then: its lines are large, and the next one may take long."""
        page = self._pacer.page({**self._parameters, "Segment": segment}, start)
        self._meter.page(
            ScanPage(segment, page.items, page.consumed_units, page.response_bytes),
            ended_segment=page.last_key is None,
        )
        if page.lines:
            self._put(page.lines)
        if self._is_last(segment, page.last_key):
            self._put(_End(None))

    def _take(self) -> tuple[int, Item | None] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._left or self._stop.is_set())
            return self._waiting.popleft() if self._waiting and not self._stop.is_set() else None

    def _is_last(self, segment: int, last_key: Item | None) -> bool:
        """Note where *segment* is, and return whether all are at their end now."""
        with self._changed:
            if last_key is None:
                self._left -= 1
            else:
                # Back to the end of the queue: a segment on a hot partition holds no other up.
                self._waiting.append((segment, last_key))
            self._changed.notify_all()
            return not self._left

    def _put(self, page: bytes | _End) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._pages.put(page, timeout=_LOOK_S)
                return
