"""Which decoder reads an export's lines: the compiled one where it was built, the reference one everywhere else.

Both take blocks of whole lines and give the same answer. The compiled one hands every line that it does not know how to
read to the reference, which refuses it or takes it: what is an item, and why a line is none, is written only there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from types import ModuleType

from airflow_provider_ddbexport.core.columns import Schema
from airflow_provider_ddbexport.core.compiled.line_builder import Layout, LineBuilder
from airflow_provider_ddbexport.core.compiled.line_observer import CompiledObserver
from airflow_provider_ddbexport.core.compiled.line_router import LineRouter
from airflow_provider_ddbexport.core.compiled.loading import load, missing
from airflow_provider_ddbexport.core.compiled.sources import is_outdated
from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.line_blocks import (
    BlockBuilder,
    BlockRouter,
    Decode,
    LineObserver,
    Lines,
    decoded,
    reference_line,
)
from airflow_provider_ddbexport.core.reference_lines import ReferenceBuilder, ReferenceObserver, ReferenceRouter

DECODER_VARIABLE = "DDBEXPORT_DECODER"
"""Environment variable; ``reference`` turns the compiled decoder off."""


def line_observer(decode: Decode) -> LineObserver:
    """Return what observes lines that *decode* reads."""
    kernel = _kernel_for(decode)
    return ReferenceObserver(decode) if kernel is None else CompiledObserver(kernel)


def block_builder(decode: Decode, schema: Schema) -> BlockBuilder:
    """Return what builds the rows of *schema* from lines that *decode* reads, and observes them on the way."""
    kernel = _kernel_for(decode)
    return ReferenceBuilder(decode, schema) if kernel is None else LineBuilder(Layout(kernel, schema))


def block_router(decode: Decode, schema: Schema, most_bytes: int) -> BlockRouter:
    """Return what does so in a builder for each partition of *schema*, which is full with *most_bytes*."""
    kernel = _kernel_for(decode)
    return ReferenceRouter(decode, schema, most_bytes) if kernel is None else LineRouter(kernel, schema, most_bytes)


@contextlib.contextmanager
def memory_kept() -> Iterator[None]:
    """Have the memory of batches that are gone used for those to come, until the last who asked for that is done.

    At most 64 MB wait for it in this process. The reference decoder's batches are Arrow's to find memory for.
    """
    kernel = _kernel()
    if kernel is None:
        yield
        return
    kernel.keep_blocks()
    try:
        yield
    finally:
        kernel.forget_blocks()


def check_lines(decode: Decode) -> Callable[[Lines], int]:
    """Return what counts a block's lines, and raises RefusedLineError unless each is an item that *decode* reads."""
    kernel = _kernel_for(decode)
    checker = None if kernel is None else kernel.Checker()

    def check(lines: Lines) -> int:
        if checker is None:
            return sum(1 for _ in decoded(lines, decode))
        start = count = 0
        while start < len(lines):
            checked, start = checker.check(lines, start)
            count += checked
            if checker.is_irregular:
                _, start = reference_line(lines, start)
                count += 1
        return count

    return check


def releases_gil(decode: Decode) -> bool:
    """Return whether lines that *decode* reads are observed and built without the GIL, so that threads do them."""
    return _kernel_for(decode) is not None


def describe() -> str:
    """Return which decoder is in use, in words for people."""
    if _kernel() is not None:
        without = f", slower in part: this installation has no {', '.join(missing())}" if missing() else ""
        return f"compiled decoder{without}"
    if os.environ.get(DECODER_VARIABLE) == "reference":
        return f"reference decoder, as {DECODER_VARIABLE} asks for"
    if is_outdated("_kernel"):
        return "reference decoder, several times slower: the compiled one is of other sources, install them again"
    return "reference decoder, several times slower: this installation has no compiled one"


def _kernel_for(decode: Decode) -> ModuleType | None:
    return _kernel() if decode is decode_line else None


def _kernel() -> ModuleType | None:
    return _compiled("_kernel")


def compiled_changes() -> ModuleType | None:
    """Return what reads the changes of increments beside the reference; None where there is none."""
    return _compiled("_changes")


def _compiled(name: str) -> ModuleType | None:
    return None if os.environ.get(DECODER_VARIABLE) == "reference" else load(name)
