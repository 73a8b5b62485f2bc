"""Finding the scan to go on with: ``AWSDynamoDB/_scans/<job>/000001.json`` names the first one that a job started.

The newest of them counts. Each is created on the condition that it is not there: of several tries that begin together
one begins a scan, and the others find it.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass

import msgspec

from airflow_provider_ddbexport.core.scan.journal import PLAN_NAME, STATE_FOLDER
from airflow_provider_ddbexport.core.scan.plan import ScanPlan
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadCallError, ManifestError, ObjectExistsError, ObjectNotFoundError

log = logging.getLogger(__name__)

_FOLDER = "_scans"
_NUMBERED = re.compile(r"(\d{6,})\.json")


@dataclass(frozen=True, slots=True)
class Resumption:
    """Which scan to go on with.

    Attributes:
        name: of the job that scans, the same each time it is tried: any text, it is only hashed.
        occasion: a scan that is through is returned as it is when it was finished on the same occasion, because then
            only the answer was lost; on another occasion a new scan begins.
        policy: ``continue`` an unfinished scan or begin one; ``restart``: begin one, whatever there is;
            ``require``: an unfinished scan must be there.
    """

    name: str
    occasion: str = ""
    policy: str = "continue"

    @property
    def folder(self) -> str:
        """Return the folder of the job's pointers."""
        return f"{_FOLDER}/{hashlib.sha256(self.name.encode()).hexdigest()[:32]}"


class _Pointer(msgspec.Struct, rename="camel"):
    export_id: str
    occasion: str
    is_finished: bool = False


def find_scan(root: ObjectStore, resumption: Resumption) -> ScanPlan | None:
    """Return the plan of the scan to go on with, None where a new one is to begin."""
    if resumption.policy == "restart":
        return None
    number, pointer = _newest(root, resumption.folder)
    plan = None if pointer is None else _open_scan(root, number, pointer, resumption)
    if plan is None and resumption.policy == "require":
        raise BadCallError(
            f"{root.uri}: there is no unfinished scan called {resumption.name!r} to resume; name the table and the "
            "destination as it was begun with, or start a new one"
        )
    return plan


def remember(root: ObjectStore, resumption: Resumption, plan: ScanPlan) -> ScanPlan:
    """Make *plan* the one that is found next time; return it, or the one another process was faster with."""
    body = msgspec.json.encode(_Pointer(export_id=plan.export_id, occasion=_text(resumption)))
    while True:
        number, before = _newest(root, resumption.folder)
        if before is not None and resumption.policy != "restart":
            other = _open_scan(root, number, before, resumption)
            if other is not None:
                return other
        try:
            root.create(_key(resumption.folder, number + 1), body)
        except ObjectExistsError:
            continue
        if resumption.policy == "restart" and before is not None and not before.is_finished:
            log.warning(
                "The unfinished scan %s is not gone on with; what it wrote stays in %s and, straight to Parquet, in "
                "the folder of its time, until somebody deletes it",
                before.export_id,
                root.uri_of(before.export_id),
            )
        return plan


def finished(root: ObjectStore, plan: ScanPlan) -> None:
    """Note that *plan* is through, if it is still the one that is found."""
    if plan.pointer_folder is None:
        return
    number, pointer = _newest(root, plan.pointer_folder)
    if pointer is not None and pointer.export_id == plan.export_id and not pointer.is_finished:
        pointer.is_finished = True
        root.write(_key(plan.pointer_folder, number), msgspec.json.encode(pointer))


def _open_scan(root: ObjectStore, number: int, pointer: _Pointer, resumption: Resumption) -> ScanPlan | None:
    """Return the plan of the scan that is pointed to, if it is to be gone on with and still there."""
    if not _is_open(pointer, resumption):
        return None
    key = f"{pointer.export_id}/{STATE_FOLDER}/{PLAN_NAME}"
    try:
        plan = ScanPlan.from_json(root.read(key), root.uri_of(key))
    except ObjectNotFoundError:
        # Somebody has removed the unfinished scan.
        return None
    if pointer.occasion != _text(resumption):
        pointer.occasion = _text(resumption)
        root.write(_key(resumption.folder, number), msgspec.json.encode(pointer))
    return plan


def _is_open(pointer: _Pointer, resumption: Resumption) -> bool:
    if not pointer.is_finished:
        return True
    return resumption.policy != "require" and pointer.occasion == _text(resumption)


def _text(resumption: Resumption) -> str:
    return hashlib.sha256(resumption.occasion.encode()).hexdigest()[:16]


def _newest(root: ObjectStore, folder: str) -> tuple[int, _Pointer | None]:
    """Return the number and the contents of the newest pointer in *folder*; (0, None) before the first."""
    numbers = (_NUMBERED.fullmatch(info.key.removeprefix(f"{folder}/")) for info in root.list(folder))
    number = max((int(match[1]) for match in numbers if match), default=0)
    if not number:
        return 0, None
    key = _key(folder, number)
    try:
        return number, msgspec.json.decode(root.read(key), type=_Pointer)
    except msgspec.MsgspecError as error:
        raise ManifestError(
            f"{root.uri_of(key)}: expected the name of a scan: {error}; delete it and start a new scan"
        ) from None


def _key(folder: str, number: int) -> str:
    return f"{folder}/{number:06d}.json"
