"""An AWS that fits in one process: moto, and where moto only pretends, the work done.

``with local_aws() as aws:`` serves one; ``connect(endpoint_url)`` reaches one in another process; pytest has the
fixture ``local_aws``. Needs the extra ``local``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from airflow_provider_ddbexport.local.handle import LocalAws, RemoteClock, connect


def local_aws(*, host: str = "127.0.0.1", port: int = 0) -> AbstractContextManager[LocalAws]:
    """Serve an empty AWS for the duration of the block; see :func:`local.server.local_aws`."""
    # moto costs a second to import; whoever only connects does not need it.
    from airflow_provider_ddbexport.local.server import local_aws as serving

    return serving(host=host, port=port)


def serve(host: str = "127.0.0.1", port: int = 0, *, seed: bool = False) -> int:
    """Serve an AWS until SIGINT or SIGTERM; see :func:`local.server.serve`."""
    from airflow_provider_ddbexport.local.server import serve as serving

    return serving(host, port, seed=seed)


__all__ = ["LocalAws", "RemoteClock", "connect", "local_aws", "serve"]
