"""docs/benchmarks.md: each benchmark writes a section of its own and leaves the others as they are."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/benchmarks.md"

_HEAD = """\
# Benchmarks

Written by `make bench`, `make bench-scan` and their like, which measure on generated data and need no account. Each
section says what it was measured on. MB are 10^6 bytes.
"""


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Write the section *name* of the page: *text*, which begins with its heading. New sections come last."""
    section = f"<!-- begin: {name} -->\n{text.strip()}\n<!-- end: {name} -->\n"
    before = page.read_text() if page.exists() else _HEAD
    own = re.compile(rf"<!-- begin: {name} -->\n.*<!-- end: {name} -->\n", re.DOTALL)
    after = own.sub(lambda _: section, before) if own.search(before) else f"{before.rstrip()}\n\n{section}"
    page.write_text(after)


def machine() -> str:
    """Return what the figures of this run were measured on, in words."""
    model = re.search(r"model name\s*: (.*)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+) kB", _read("/proc/meminfo"))
    words = [model[1] if model else platform.machine(), f"{os.cpu_count()} cores"]
    if memory:
        words.append(f"{int(memory[1]) / 1e6:.0f} GB of memory")
    return ", ".join([*words, platform.system(), f"Python {platform.python_version()}"])


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""
