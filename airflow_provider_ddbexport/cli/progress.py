"""Progress on a terminal only: a bar with rate and time left, or a line where no end is known."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_ddbexport.core.snapshot.progress import OnProgress

Show = Callable[[str, int, int, int], None]
"""Stage, items so far, items in all, compressed bytes so far."""

_STAGES = {
    "verify": "verifying",
    "convert": "converting",
    "adapt": "adapting parts",
    "items": "restoring",
    "diff": "comparing",
    "read": "reading",
    "merge": "merging",
}


def on_progress(show: Show) -> OnProgress:
    """Return what has *show* draw the progress of a conversion or a merge."""
    return lambda now: show(now.stage, now.items, now.total, now.bytes)


@contextlib.contextmanager
def progress_bar(*, wanted: bool = True) -> Iterator[Show]:
    """Give a function that draws how far each stage is on standard error; it does nothing where that is no terminal.

    The bar is gone afterwards, so that nothing but results and errors stays on the screen.
    """
    if not wanted or not sys.stderr.isatty():
        yield lambda _stage, _items, _total, _size: None
        return

    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
    from rich.text import Text

    from airflow_provider_ddbexport.cli.show import size_text

    class Amount(ProgressColumn):
        def render(self, task: Task) -> Text:
            size = task.fields["size"]
            read = f", {size_text(size)}" if size else ""
            return Text(f"{task.completed:,.0f} of {task.total or 0:,.0f} items{read}")

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f} items/s" if speed else "", style="cyan")

    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=24),
        Amount(),
        Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, items: int, total: int, size: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(_STAGES.get(stage, stage), total=total, size=0)
            bar.update(tasks[stage], completed=items, total=total, size=size)

        yield show


@contextlib.contextmanager
def live_line(*, wanted: bool = True) -> Iterator[Callable[[str], None]]:
    """Give a function that draws a text over the one before on standard error; it does nothing where that is no
    terminal. A text is cut to the terminal's width, and the line is gone afterwards, whatever ends it."""
    if not wanted or not sys.stderr.isatty():
        yield lambda _text: None
        return

    def draw(text: str) -> None:
        # A terminal that does not know its width says 0. In its last column the cursor may go on to the next line.
        width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        sys.stderr.write(f"\r\x1b[K{text[: width - 1]}")
        sys.stderr.flush()

    try:
        yield draw
    finally:
        draw("")
