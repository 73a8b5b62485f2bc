"""``make airflow``: Airflow on loopback beside the embedded AWS, seeded, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from airflow_provider_ddbexport.local import local_aws
from airflow_provider_ddbexport.local.reviews import seed_reviews
from stack import CHECKOUT, AirflowStack, airflow_environment, postgres, reserved_port, running, shell_lines


def interrupted(_signal: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C ends."""
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Serve until interrupted; the exit status is 0 after Ctrl-C, and an error ends it when a process died."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=CHECKOUT / ".local" / "airflow", help="emptied at the start")
    parser.add_argument("--port", type=int, default=8080, help="of the api-server; a free one if it is taken")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    try:
        with reserved_port(given.port) as port:
            serve(given.home.resolve(), port)
    except KeyboardInterrupt:
        print("Stopped; no process is left behind.", flush=True)
    return 0


def serve(home: Path, port: int) -> None:
    """Run the embedded AWS and Airflow, and stop both on KeyboardInterrupt."""
    # The embedded AWS forgets everything when it ends, so Airflow's memory of it starts anew as well.
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with local_aws() as aws, postgres() as database:
        print("Seeding the table Reviews with a month of history …", flush=True)
        seed_reviews(aws)
        environment = airflow_environment(home, aws.environment(), dags=CHECKOUT / "dags", port=port, database=database)
        (home / "env.sh").write_text(shell_lines(environment))
        print("Starting Airflow: api-server, scheduler, dag-processor, triggerer …", flush=True)
        with running(AirflowStack(environment, home, port)) as stack:
            print(ready_text(port, aws.endpoint_url, home), flush=True)
            while True:
                stack.raise_if_dead()
                time.sleep(1)


def ready_text(port: int, endpoint_url: str, home: Path) -> str:
    """Return the lines that say where everything is."""
    return f"""
Airflow       http://127.0.0.1:{port}   (no login; switch a DAG on to run it)
Embedded AWS  {endpoint_url}   (AWS_ENDPOINT_URL; any credentials)
Logs          {home}
Commands      . {home}/env.sh   lets `airflow` and `ddbexport` talk to this one

Ctrl-C stops all of it."""


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # An orderly exit has DuckDB's binding list on the terminal whatever objects its threads still hold.
    os._exit(status)
