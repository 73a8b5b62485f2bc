"""Finding the scan to go on with: ``AWSDynamoDB/_scans/<key>.json`` names the last one that was started under a key."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from dataclasses import dataclass

import msgspec

from airflow_provider_ddbexport.core.scan.journal import PLAN_NAME, STATE_FOLDER
from airflow_provider_ddbexport.core.scan.plan import ScanPlan
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadCallError, ManifestError, ObjectExistsError, ObjectNotFoundError

log = logging.getLogger(__name__)

_FOLDER = "_scans"


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
    def key(self) -> str:
        """Return the pointer's key."""
        return f"{_FOLDER}/{hashlib.sha256(self.name.encode()).hexdigest()[:32]}.json"


class _Pointer(msgspec.Struct, rename="camel"):
    export_id: str
    occasion: str
    is_finished: bool = False


def find_scan(root: ObjectStore, resumption: Resumption) -> ScanPlan | None:
    """Return the plan of the scan to go on with, None where a new one is to begin."""
    if resumption.policy == "restart":
        return None
    pointer = _read(root, resumption.key)
    if pointer is not None and _is_open(pointer, resumption):
        key = f"{pointer.export_id}/{STATE_FOLDER}/{PLAN_NAME}"
        # Somebody may have removed the unfinished backup.
        with contextlib.suppress(ObjectNotFoundError):
            plan = ScanPlan.from_json(root.read(key), root.uri_of(key))
            if pointer.occasion != _text(resumption):
                pointer.occasion = _text(resumption)
                root.write(resumption.key, msgspec.json.encode(pointer))
            return plan
    if resumption.policy == "require":
        raise BadCallError(
            f"{root.uri}: there is no unfinished scan called {resumption.name!r} to resume; name the table and the "
            "destination as it was begun with, or start a new one"
        )
    return None


def remember(root: ObjectStore, resumption: Resumption, plan: ScanPlan) -> ScanPlan:
    """Make *plan* the one that is found next time; return it, or the one another process was faster with."""
    body = msgspec.json.encode(_Pointer(export_id=plan.export_id, occasion=_text(resumption)))
    before = _read(root, resumption.key)
    if resumption.policy == "restart" and before is not None and not before.is_finished:
        log.warning(
            "The unfinished scan %s is not gone on with; what it wrote stays in %s and, straight to Parquet, in the "
            "folder of its time, until somebody deletes it",
            before.export_id,
            root.uri_of(before.export_id),
        )
    if resumption.policy != "restart" and before is None:
        try:
            root.create(resumption.key, body)
        except ObjectExistsError:
            return find_scan(root, resumption) or plan
    else:
        root.write(resumption.key, body)
    return plan


def finished(root: ObjectStore, plan: ScanPlan) -> None:
    """Note that *plan* is through, if it is still the one that is found."""
    if plan.pointer_key is None:
        return
    pointer = _read(root, plan.pointer_key)
    if pointer is not None and pointer.export_id == plan.export_id and not pointer.is_finished:
        pointer.is_finished = True
        root.write(plan.pointer_key, msgspec.json.encode(pointer))


def _is_open(pointer: _Pointer, resumption: Resumption) -> bool:
    if not pointer.is_finished:
        return True
    return resumption.policy != "require" and pointer.occasion == _text(resumption)


def _text(resumption: Resumption) -> str:
    return hashlib.sha256(resumption.occasion.encode()).hexdigest()[:16]


def _read(root: ObjectStore, key: str) -> _Pointer | None:
    try:
        return msgspec.json.decode(root.read(key), type=_Pointer)
    except ObjectNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ManifestError(
            f"{root.uri_of(key)}: expected the name of a scan: {error}; delete it and start a new scan"
        ) from None
