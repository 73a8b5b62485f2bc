"""One data file, read once from front to back: hashed, unzipped, split, decoded and counted."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from isal import igzip, igzip_lib

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.export.model import DataFile, Export, HeldFile
from airflow_provider_ddbexport.core.line_blocks import UNTIL_MENDED, RefusedLineError, UndecodedLineError
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import DataFileError, DecoderError, ItemError, ObjectNotFoundError

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")
_LineError = TypeVar("_LineError", ItemError, DecoderError)

MAX_LINE_BYTES = 32 << 20
"""No item is that long: at most 400 KB as DynamoDB counts, six times that with every character escaped, twice that in
the two images of a change, and some for the types around each value."""

_BLOCK_BYTES = 1 << 18
# isal's stubs take this class for an instance.
_IsalError: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment]
GZIP_ERRORS = (gzip.BadGzipFile, _IsalError, EOFError)


class _VerifyingReader(ABC, Generic[T]):
    """What the lines of one data file become, in the file's order.

    An iterator. Holds one block and one line in memory. What it yields is not verified before it has ended without an
    error: MD5 and item count are known only then. Raises DataFileError, ItemError, DecoderError, or the store's errors.

    Attributes:
        count: lines read so far.
        compressed_bytes: bytes read so far.
    """

    def __init__(self, root: ObjectStore, export: Export, file: DataFile) -> None:
        self._root = root
        self._export = export
        self._file = file
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._values = self._read()
        self._offset = 0
        self.count = 0
        self.compressed_bytes = 0

    def __iter__(self) -> Iterator[T]:
        # The generator itself, which is faster to iterate than __next__ below.
        return self._values

    def __next__(self) -> T:
        return next(self._values)

    def _read(self) -> Iterator[T]:
        if isinstance(self._file, HeldFile):
            yield from self._values_of(self._file.blocks())
        else:
            yield from self._verified()
        if self.count != self._file.item_count:
            raise self._error(
                f"item count expected {self._file.item_count}, found {self.count}; the export contradicts itself, "
                "start a new one"
            )

    def _verified(self) -> Iterator[T]:
        chunks = self._hashed()
        try:
            yield from self._decoded(_unzipped_lines(chunks))
        except _MissingError:
            raise self._error(
                "the manifest names it, but it is missing; copy the export again or start a new one"
            ) from None
        except (DataFileError, DecoderError) as problem:
            # Damage in the bytes explains whatever they decoded to, so it is looked for first: that takes all of them.
            for _ in chunks:
                pass
            self._require_md5()
            raise problem from None
        self._require_md5()

    def _hashed(self) -> Iterator[bytes]:
        try:
            for chunk in self._root.stream(self._file.key):
                self._md5.update(chunk)
                self.compressed_bytes += len(chunk)
                yield chunk
        except ObjectNotFoundError:
            raise _MissingError from None

    def _decoded(self, lines: Iterator[bytes]) -> Iterator[T]:
        try:
            yield from self._values_of(lines)
        except _LineTooLongError:
            raise self._item_error(f"no end of line within {MAX_LINE_BYTES} bytes", self._offset) from None
        except GZIP_ERRORS:
            raise self._error(
                f"its gzip stream is cut or broken after {self.count} items; the export is damaged, start a new one"
            ) from None

    @abstractmethod
    def _values_of(self, blocks: Iterator[bytes]) -> Iterator[T]:
        """Yield what *blocks* of whole lines become; keep count and offset up to date."""

    def _require_md5(self) -> None:
        found = base64.b64encode(self._md5.digest()).decode()
        if found != self._file.md5:
            raise self._error(
                f"md5 expected {self._file.md5}, found {found} over {self.compressed_bytes} bytes; the export is "
                "damaged, copy it again or start a new one",
                expected=self._file.md5,
                found=found,
            )

    def _item_error(self, reason: str, offset: int) -> ItemError:
        return self._line_error(
            ItemError, reason, offset, "its md5 is right, so copying it again does not help: start a new export"
        )

    def _line_error(self, kind: type[_LineError], reason: str, offset: int, way_out: str) -> _LineError:
        line = self.count + 1
        return kind(
            f"{self._label()}, line {line} at byte {offset} of the unzipped file: {reason}; {way_out}",
            uri=self._root.uri_of(self._file.key),
            line=line,
            offset=offset,
            reason=reason,
        )

    def _error(self, problem: str, **context: str) -> DataFileError:
        return DataFileError(f"{self._label()}: {problem}", uri=self._root.uri_of(self._file.key), **context)

    def _label(self) -> str:
        files = self._export.files
        position = f"{files.index(self._file) + 1} of {len(files)} " if self._file in files else ""
        return f"data file {position}{self._root.uri_of(self._file.key)}"


class DataFileReader(_VerifyingReader[T]):
    """What each line of one data file decodes to."""

    def __init__(self, root: ObjectStore, export: Export, file: DataFile, decode: Callable[[bytes], T]) -> None:
        super().__init__(root, export, file)
        self._decode = decode

    def _values_of(self, blocks: Iterator[bytes]) -> Iterator[T]:
        for lines in blocks:
            *whole, rest = lines.split(b"\n")
            for line in [*whole, rest] if rest else whole:
                try:
                    value = self._decode(line)
                except ItemError as error:
                    raise self._item_error(str(error.context.get("reason") or error), self._offset) from None
                self.count += 1
                self._offset += len(line) + 1
                yield value


class BlockReader(_VerifyingReader[int]):
    """The lines of one data file, given to *take* block by block; yields how many lines each block had.

    *take* returns how many lines they are, and raises RefusedLineError for one that is no item, which becomes the
    ItemError that DataFileReader raises; UndecodedLineError becomes DecoderError.
    """

    def __init__(self, root: ObjectStore, export: Export, file: DataFile, take: Callable[[bytes], int]) -> None:
        super().__init__(root, export, file)
        self._take = take

    def read(self, tick: Callable[[int, int], None] | None = None) -> int:
        """Read the file to its end, which verifies it, and return its compressed bytes.

        After each block *tick* is told how many lines and compressed bytes were read since it was told last.
        """
        told = 0
        for lines in self:
            if tick is not None:
                tick(lines, self.compressed_bytes - told)
                told = self.compressed_bytes
        if tick is not None:
            tick(0, self.compressed_bytes - told)
        return self.compressed_bytes

    def _values_of(self, blocks: Iterator[bytes]) -> Iterator[int]:
        for lines in blocks:
            try:
                count = self._take(lines)
            except RefusedLineError as refused:
                self.count += lines.count(b"\n", 0, refused.offset)
                offset = self._offset + refused.offset
                if isinstance(refused, UndecodedLineError):
                    raise self._line_error(DecoderError, refused.reason, offset, UNTIL_MENDED) from None
                raise self._item_error(refused.reason, offset) from None
            self.count += count
            self._offset += len(lines)
            yield count


def first_lines(root: ObjectStore, file: DataFile, most_bytes: int) -> bytes:
    """Return whole lines from the beginning of *file*, about *most_bytes* of them, or the first one if that is longer.

    They are fewer where the file ends or is broken.
    Nothing of it is verified: what is wrong with the file is found when it is read whole.
    """
    if isinstance(file, HeldFile):
        return _first_lines(file.blocks(), most_bytes)
    with contextlib.closing(root.stream(file.key, chunk_bytes=_BLOCK_BYTES)) as chunks:  # type: ignore[type-var]
        return _first_lines(_unzipped(chunks), most_bytes)


def _first_lines(blocks: Iterator[bytes], most_bytes: int) -> bytes:
    found = bytearray()
    end = 0
    with contextlib.suppress(ObjectNotFoundError, *GZIP_ERRORS):
        for block in blocks:
            found += block
            end = max(end, found.rfind(b"\n", len(found) - len(block)) + 1)
            if len(found) >= most_bytes and (end or len(found) > MAX_LINE_BYTES):
                break
    return bytes(found[:end])


class _MissingError(Exception):
    pass


class _LineTooLongError(Exception):
    pass


class _Chunks(io.RawIOBase):
    """Chunks as the file that gzip readers ask for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        size = min(len(target), len(self._rest))
        target[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _gzip_file(chunks: Iterable[bytes]) -> igzip.IGzipFile:
    return igzip.IGzipFile(fileobj=_Chunks(chunks), mode="rb")  # type: ignore[no-untyped-call]


def _unzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    with _gzip_file(chunks) as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def _unzipped_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield whole lines; of the last one what there is."""
    compiled = load("_lines")
    if compiled is None:
        yield from _whole_lines(_unzipped(chunks))
        return
    with _gzip_file(chunks) as file:
        # Its own would read to another place and copy from there.
        readinto = file._buffer.readinto
        rest, size = b"", 1
        while size:
            lines, rest, size = compiled.read_lines(readinto, rest, _BLOCK_BYTES)
            if lines:
                yield lines
            if len(rest) > MAX_LINE_BYTES:
                raise _LineTooLongError
    if rest:
        yield rest


def _whole_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join((rest, memoryview(block)[:end]))
            rest = block[end:]
        else:
            rest += block
        if len(rest) > MAX_LINE_BYTES:
            raise _LineTooLongError
    if rest:
        yield rest
