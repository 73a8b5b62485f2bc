"""The state every emulated service shares: the clock, the settings, the faults to come, and moto behind it all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from airflow_provider_ddbexport.local.clock import Clock
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler

if TYPE_CHECKING:
    from airflow_provider_ddbexport.local.moto_gateway import MotoGateway

DEFAULT_REGION = "us-east-1"


@dataclass(slots=True)
class Settings:
    """What a user of the emulator may tune, at any time; times are seconds.

    Attributes:
        export_seconds, crawl_seconds, query_seconds: how long an export, a crawl, a query stays in progress, by
            :meth:`Emulator.elapsed`. Lowering it lets what is in progress end.
        restorable_lag_seconds: the latest restorable time is this long ago.
        export_files: data files of one export, at least 2; one of them is always empty.
        export_burst, export_refill_per_s: calls that start exports throttle when this bucket is empty.
        describe_backups_per_s: DescribeContinuousBackups calls throttle above this.
        concurrent_exports: exports in progress at once, above which LimitExceededException is raised.
        capacity_burst_seconds: a provisioned table may spend this many seconds of its capacity at once.
        fail_next_export: FailureCode and FailureMessage of the export started next; then None again.
        denied_buckets: buckets an export may not write to; it ends as FAILED with S3AccessDenied.
    """

    export_seconds: float = 1.0
    crawl_seconds: float = 1.0
    query_seconds: float = 0.2
    restorable_lag_seconds: float = 300.0
    export_files: int = 5
    export_burst: float = 20.0
    export_refill_per_s: float = 1.0
    describe_backups_per_s: float = 10.0
    concurrent_exports: int = 300
    capacity_burst_seconds: float = 300.0
    fail_next_export: tuple[str, str] | None = None
    denied_buckets: tuple[str, ...] = ()

    def change(self, changes: dict[str, Any]) -> None:
        """Set what *changes* names; raises AwsError for a name that is no setting, and changes nothing then."""
        known = {item.name for item in fields(self)}
        if unknown := sorted(changes.keys() - known):
            raise AwsError("ValidationException", f"no such setting: {', '.join(unknown)}; known: {sorted(known)}")
        for name, value in changes.items():
            setattr(self, name, tuple(value) if isinstance(value, list) else value)


@dataclass(slots=True)
class Fault:
    """A call that is to fail.

    Attributes:
        operation: ``ExportTableToPointInTime``, any operation of a JSON service; or ``S3:PUT``, an HTTP method of S3.
        code, message, status: the error sent.
        times: calls it still applies to.
        after: the call takes effect and only its answer is lost, rather than the call being refused.
        path: for S3, the text the request's path has to contain.
    """

    operation: str
    code: str
    message: str = ""
    status: int = 400
    times: int = 1
    after: bool = False
    path: str = ""

    def error(self) -> AwsError:
        """Return what the caller is told."""
        return AwsError(self.code, self.message or f"{self.code}, as the emulator was asked for", status=self.status)


@dataclass(slots=True)
class _Stopwatch:
    """Counts real seconds, and every forward step of the clock."""

    clock: Clock
    real: float = field(default_factory=time.monotonic)
    seen: float = 0.0
    elapsed: float = 0.0

    def read(self) -> float:
        real, seen = time.monotonic(), self.clock.now().timestamp()
        # Of a clock that stands still, real time counts; of one that was stepped, the step.
        self.elapsed += max(real - self.real, seen - self.seen)
        self.real, self.seen = real, seen
        return self.elapsed


class Emulator:
    """One AWS in one process; every emulated service is handed this.

    Attributes:
        clock: time as the services see it.
        settings: see :class:`Settings`.
        lock: held while a request is answered, so that handlers run one at a time; take it in threads of your own.
        moto: passes a call on to moto; reaches moto's own objects.
        handlers: (service, operation) to handler; operations that are not in it go to moto.
        faults: calls that are to fail.
    """

    def __init__(self, moto: MotoGateway, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.settings = Settings()
        self.lock = threading.RLock()
        self.moto = moto
        self.handlers: dict[tuple[str, str], Handler] = {}
        self.faults: list[Fault] = []
        self._on_use: dict[str, Callable[[], dict[tuple[str, str], Handler]]] = {}
        self._stopwatch = _Stopwatch(self.clock, seen=self.clock.now().timestamp())
        self._on_reset: list[Callable[[], None]] = []
        self._on_request: list[Callable[[], None]] = []

    def register(self, handlers: dict[tuple[str, str], Handler]) -> None:
        """Answer these operations, keyed as ``("AWSGlue", "StartCrawler")``, instead of moto."""
        self.handlers.update(handlers)

    def register_on_use(self, service: str, make: Callable[[], dict[tuple[str, str], Handler]]) -> None:
        """Register what *make* returns at the first call of *service*: what it imports costs a second or two."""
        self._on_use[service] = make

    def handler(self, service: str, operation: str) -> Handler | None:
        """Return what answers this operation, or None if moto does."""
        with self.lock:
            if make := self._on_use.pop(service, None):
                self.register(make())
            return self.handlers.get((service, operation))

    def on_reset(self, forget: Callable[[], None]) -> None:
        """Call *forget* whenever everything is to be forgotten."""
        self._on_reset.append(forget)

    def on_request(self, settle: Callable[[], None]) -> None:
        """Call *settle* before every request, with the lock held: to end what has become due."""
        self._on_request.append(settle)

    def settle(self) -> None:
        """Let everything that has become due happen."""
        self.elapsed()
        for settle in self._on_request:
            settle()

    def elapsed(self) -> float:
        """Return seconds that never run backwards: real ones, plus every forward step of the clock.

        Durations (exports, crawls, throttling) are measured by it, so that they pass both for a demo that waits and
        for a test that steps the clock.
        """
        with self.lock:
            return self._stopwatch.read()

    def forward(self, call: Call, service: str = "dynamodb") -> dict[str, Any]:
        """Return moto's answer to *call*, a JSON object; raise AwsError with moto's error."""
        return self.moto.forward(call, service)

    def take_fault(self, operation: str, path: str = "") -> Fault | None:
        """Return the fault that applies to this call, used up by one, or None."""
        for fault in self.faults:
            if fault.operation == operation and fault.path in path:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def reset(self) -> None:
        """Forget everything: tables, buckets, exports, settings, faults; follow real time again."""
        with self.lock:
            self.moto.reset()
            self.clock.reset()
            self.settings = Settings()
            self.faults.clear()
            self._stopwatch = _Stopwatch(self.clock, seen=self.clock.now().timestamp())
            for forget in self._on_reset:
                forget()
