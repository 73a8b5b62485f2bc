"""Blocks of lines: what data files are handed over as, and the reference decoder's way through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec

from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.errors import ItemError

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_ddbexport.core.columns import Observation
    from airflow_provider_ddbexport.core.columns.sparse import SparseBatch

Decode = Callable[[bytes], Item]
"""From a line to its item; raises ItemError with a reason."""

Lines = bytes
"""Whole lines; only the last may lack its line break."""


Partition = tuple[str | None, ...]
"""As :func:`.partition_of` gives it."""


class RefusedLineError(Exception):
    """A line is no item; caught by the reader of its file, which knows where it is."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        """Bytes of the block before the line."""
        self.reason = reason


class UndecodedLineError(RefusedLineError):
    """The compiled decoder cannot take a line, and it is not the line that is wrong."""


DISAGREEMENT = "the compiled decoder does not read what the reference decoder reads"
"""Reason for an item that the compiled decoder was given as the reference has read it."""

UNTIL_MENDED = "please report that, and set DDBEXPORT_DECODER=reference until it is mended"
"""What to do about an :class:`UndecodedLineError`, for messages."""


@contextmanager
def refused_at(start: int) -> Iterator[None]:
    """Let the line at *start* of a block be refused where another spelling of it is."""
    try:
        yield
    except RefusedLineError as refused:
        raise type(refused)(start, refused.reason) from None


class LineObserver(Protocol):
    """Takes in blocks of lines."""

    @property
    def news(self) -> int:
        """As :attr:`.Observation.news`."""

    def take(self, lines: Lines) -> int:
        """Observe whole *lines* and return how many they are; raises RefusedLineError."""

    def add(self, item: Item, /) -> None:
        """Observe one item."""

    def observation(self) -> Observation:
        """Return what was observed; the observer goes on."""


class BlockBuilder(Protocol):
    """Builds record batches as :class:`.RowBuilder` does, from blocks of lines, each of which is decoded once."""

    @property
    def rows(self) -> int:
        """Rows since the last :meth:`finish`."""

    @property
    def bytes(self) -> int:
        """The estimate that RowBuilder makes of them."""

    @property
    def rescued(self) -> Counter[str]:
        """Values rescued so far, over all batches, by path."""

    def add_lines(
        self, lines: Lines, start: int, *, most_rows: int, most_bytes: int, observer: LineObserver | None = None
    ) -> int:
        """Append lines from offset *start* until there are *most_rows* or *most_bytes* or no more lines.

        Each is observed by *observer*, which comes from the same decoder. Returns the offset of the next line, at or
        beyond the end if there is none. Raises RefusedLineError. For schemas without ``partition_by``.
        """

    def take_back(self) -> None:
        """Forget the rows of the last :meth:`add_lines`, unless :meth:`finish` has given them away.

        They stay observed: what was news in them may ask for another schema to build them under.
        """

    def finish(self) -> pa.RecordBatch:
        """Return the rows added since the last time, as one batch, and start the next."""

    def finish_sparse(self) -> SparseBatch:
        """Do the same with columns that are mostly null as the values they have."""


class BlockRouter(Protocol):
    """Builds the rows of a block, each in the builder of its partition, of those that are open.

    Attributes:
        missing: partition of the line that :meth:`add_lines` stopped at, where that is not open.
        full: partition whose builder is full with the last line that :meth:`add_lines` appended.
    """

    missing: Partition | None
    full: Partition | None

    @property
    def bytes(self) -> int:
        """The estimate that RowBuilder makes of the rows that wait in all builders."""

    @property
    def rows(self) -> int:
        """How many were appended since the last :meth:`mark`."""

    def open(self, partition: Partition, most_rows: int) -> BlockBuilder:
        """Return a new builder for *partition*, to be looked at only. It is full with *most_rows*, or bytes."""

    def close(self, partition: Partition) -> None:
        """Let go of the builder of *partition*, and of the rows that wait in it."""

    def finish_sparse(self, partition: Partition, most_rows: int) -> SparseBatch:
        """Return the rows that wait for *partition* as its builder does; the next batch is full with *most_rows*."""

    def mark(self) -> None:
        """Remember where the builders are, for :meth:`take_back`."""

    def take_back(self) -> None:
        """Forget the rows since the last :meth:`mark`, but for those that were given away. They stay observed."""

    def add_lines(self, lines: Lines, start: int, *, most_bytes: int, observer: LineObserver | None = None) -> int:
        """Append lines from offset *start* until one is missing its partition, a builder is full, there are
        *most_bytes* in all, or no more lines.

        Each is observed by *observer*, which comes from the same decoder. Returns the offset of the next line, at or
        beyond the end if there is none. Raises RefusedLineError.
        """


def decoded(lines: Lines, decode: Decode) -> Iterator[Item]:
    """Yield the items of whole *lines*; raises RefusedLineError."""
    for item, _ in decoded_from(lines, 0, decode):
        yield item


def decoded_from(lines: Lines, start: int, decode: Decode) -> Iterator[tuple[Item, int]]:
    """Yield the items of whole *lines* from offset *start*, and where the line behind each begins."""
    # One by one: routers stop at many lines of a block, and must not take all that is behind each apart again.
    size, find = len(lines), lines.find
    while start < size:
        end = find(b"\n", start)
        if end < 0:
            end = size
        try:
            item = decode(lines[start:end])
        except ItemError as error:
            raise RefusedLineError(start, _reason(error)) from None
        start = end + 1
        yield item, start


def line_of(item: Item) -> Lines:
    """Return the line that says *item*, in the spelling that every decoder reads."""
    return msgspec.json.encode({"Item": item})


def reference_line(lines: Lines, start: int) -> tuple[Item, int]:
    """Return the item of the line at *start*, and where the next one is."""
    return next(decoded_from(lines, start, decode_line))


def _reason(error: ItemError) -> str:
    return str(error.context.get("reason") or error)
