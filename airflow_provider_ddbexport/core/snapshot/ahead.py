"""A few of many requests under way at once, for a store's answers take longer than what is made of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

AT_ONCE = 8
"""A client has 10 connections unless it is told otherwise."""


def asked_ahead(ask: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """Yield what *ask* returns for each of *tasks*, in order, while threads ask for the next :data:`AT_ONCE`.

    Raises what *ask* raised, where its result would be.
    """
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(AT_ONCE, "ddbexport-ask") as executor:
        for task in tasks:
            if len(under_way) == AT_ONCE:
                yield under_way.popleft().result()
            under_way.append(executor.submit(ask, task))
        while under_way:
            yield under_way.popleft().result()
