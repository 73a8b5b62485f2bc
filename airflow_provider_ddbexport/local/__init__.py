"""An AWS that fits in one process: moto, and where moto only pretends, the work done.

``with local_aws() as aws:`` serves one; ``connect(endpoint_url)`` reaches one in another process; pytest has the
fixture ``local_aws``. Needs the extra ``local``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import ModuleType

from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.local.handle import LocalAws, RemoteClock, connect


def local_aws(*, host: str = "127.0.0.1", port: int = 0) -> AbstractContextManager[LocalAws]:
    """Serve an empty AWS for the duration of the block; see :func:`local.server.local_aws`."""
    serving: AbstractContextManager[LocalAws] = _server().local_aws(host=host, port=port)
    return serving


def serve(host: str = "127.0.0.1", port: int = 0, *, seed: bool = False) -> int:
    """Serve an AWS until SIGINT or SIGTERM; see :func:`local.server.serve`."""
    status: int = _server().serve(host, port, seed=seed)
    return status


def _server() -> ModuleType:
    # moto costs a second to import; whoever only connects does not need it.
    try:
        from airflow_provider_ddbexport.local import server
    except ImportError as error:
        raise BadCallError(
            f"the embedded AWS needs {error.name}, which is not installed: "
            "pip install 'airflow-provider-ddbexport[local]'"
        ) from None
    return server


__all__ = ["LocalAws", "RemoteClock", "connect", "local_aws", "serve"]
