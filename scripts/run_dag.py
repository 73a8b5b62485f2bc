"""Run a DAG in this process, once per logical date, and report each task as a line of JSON.

``run_dag.py DAG_ID FD DATE [DATE...]``: the report goes to the open file descriptor FD, Airflow's log to stdout. Ends
at the first run that does not succeed, with status 1. The database must be migrated and the DAG in the DAGs folder.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any


def task_line(task_instance: Any) -> dict[str, Any]:
    """Return what the report says of one task: its name, state, seconds and result."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    started, ended = task_instance.start_date, task_instance.end_date
    with create_session() as session:
        results = XComModel.get_many(
            run_id=task_instance.run_id, key="return_value", task_ids=task_instance.task_id, limit=1
        )
        row = session.execute(results).scalars().first()
    return {
        "task": task_instance.task_id,
        "state": str(task_instance.state),
        "seconds": (ended - started).total_seconds() if started and ended else None,
        "result": None if row is None else XComModel.deserialize_value(row),
    }


def main(dag_id: str, report_fd: str, *dates: str) -> int:
    """Run the DAG for each of *dates* (ISO 8601)."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag()
    if dag_id not in bag.dags:
        sys.stderr.write(f"no DAG {dag_id} in {bag.dag_folder}: {bag.import_errors or 'no import errors'}\n")
        return 1
    dag = bag.dags[dag_id]
    # dag.test() hands callbacks a DAG that renders no templates, so a notifier that works in a scheduler fails there.
    dag.has_on_success_callback = dag.has_on_failure_callback = False
    for task in dag.tasks:
        task.retries = 0  # nobody watches: a failure shows at once
    with os.fdopen(int(report_fd), "w", buffering=1) as report:
        for date in dates:
            run = dag.test(logical_date=datetime.fromisoformat(date))
            tasks = sorted(
                run.get_task_instances(), key=lambda task: task.start_date or datetime.max.replace(tzinfo=UTC)
            )
            for task in tasks:
                report.write(json.dumps({"logical_date": date, **task_line(task)}, default=str) + "\n")
            report.write(json.dumps({"logical_date": date, "state": str(run.state)}) + "\n")
            if run.state != "success":
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
