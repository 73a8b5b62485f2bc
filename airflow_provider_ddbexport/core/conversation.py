"""A wait on an AWS service, written once for blocking and for async clients.

A conversation is a generator: it yields the calls it wants made and the pauses it wants taken, is sent the answers,
and returns the outcome. :func:`converse` holds it with a boto3 client in a worker, :func:`aconverse` with one of
aiobotocore in a triggerer. What happens between start and end is the same code, so both end in the same states.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_ddbexport.core.service import is_transient, service_error
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import DeadlineError

_ALSO_TRANSIENT = frozenset({"InternalServiceException", "OperationTimeoutException"})
"""Glue's words for its own failures."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One call: the client's method and its arguments."""

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """Time to let pass before going on."""

    seconds: float


R = TypeVar("R")
Conversation = Generator[Ask | Pause, Any, R]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait and how often to look.

    Attributes:
        until: when to give up.
        poll_s: seconds between two looks.
        now: the clock; aware times.
    """

    until: datetime
    poll_s: float
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def rest(self, awaited: str) -> Conversation[None]:
        """Pause once, and not beyond the end. Raises DeadlineError, naming what was *awaited*, when it has come."""
        left = (self.until - self.now()) / timedelta(seconds=1)
        if left <= 0:
            raise DeadlineError(
                f"{awaited} did not come about before {iso(self.until)}, when this task's patience ended; what it "
                "waited for goes on, and trying again goes on waiting for it; give it more with patience_s",
                deadline=iso(self.until),
            )
        yield Pause(min(self.poll_s, left))


def insist(ask: Ask, patience: Patience, *, what: str) -> Conversation[Any]:
    """Return the answer to *ask*, asked again while the service throttles or fails itself.

    Raises the service's refusal as :func:`.service_error` words it, at once when asking again cannot help and at the
    deadline otherwise.
    """
    while True:
        try:
            return (yield ask)
        except (ClientError, BotoCoreError) as error:
            refusal = service_error(error, what=what)
            if not is_transient(refusal) and refusal.context.get("code") not in _ALSO_TRANSIENT:
                raise refusal from error
            try:
                yield from patience.rest(what)
            except DeadlineError:
                raise refusal from error


def converse(conversation: Conversation[R], client: Any, *, sleep: Callable[[float], None] = time.sleep) -> R:
    """Hold *conversation* with a boto3 client and return its outcome."""
    answer: Any = None
    trouble: Exception | None = None
    while True:
        try:
            request = conversation.send(answer) if trouble is None else conversation.throw(trouble)
        except StopIteration as end:
            outcome: R = end.value
            return outcome
        answer, trouble = None, None
        if isinstance(request, Pause):
            sleep(request.seconds)
            continue
        try:
            answer = getattr(client, request.method)(**request.arguments)
        except (ClientError, BotoCoreError) as error:
            trouble = error


async def aconverse(
    conversation: Conversation[R], client: Any, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> R:
    """Hold *conversation* with an aiobotocore client and return its outcome."""
    answer: Any = None
    trouble: Exception | None = None
    while True:
        try:
            request = conversation.send(answer) if trouble is None else conversation.throw(trouble)
        except StopIteration as end:
            outcome: R = end.value
            return outcome
        answer, trouble = None, None
        if isinstance(request, Pause):
            await sleep(request.seconds)
            continue
        try:
            answer = await getattr(client, request.method)(**request.arguments)
        except (ClientError, BotoCoreError) as error:
            trouble = error
