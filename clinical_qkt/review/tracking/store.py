"""Where records are kept: MLflow's database in a file of the site, or a tracking server.

A file appears whole or not at all; a server is given seconds to answer, and its errors are told as ours.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.files import write_whole

_QUICK = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow's settings while something is sent, where nobody set them."""
SQLITE = "sqlite:///"
_AWAY_AFTER = 5
"""Seconds without an answer after which a server counts as away."""


def beside(uri: str) -> str | None:
    """Where a local database's artifacts go, ``mlartifacts`` beside it; a server decides for itself."""
    if not uri.startswith(SQLITE):
        return None
    folder = database_file(uri).absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / "mlartifacts").as_uri()


def ensure_database(uri: str) -> None:
    """Make a local database that is not there, whole or not at all.

    MLflow makes its tables over a second or two; a kill in between would leave a file that nothing can open.
    """
    path = database_file(uri)
    if not uri.startswith(SQLITE) or path.exists():
        return
    write_whole(path, make_tables)


def make_tables(part: Path) -> None:
    """Make MLflow's tables in a new file."""
    MlflowClient(f"{SQLITE}{part}", f"{SQLITE}{part}").search_experiments(max_results=1)


def database_file(uri: str) -> Path:
    return Path(uri.removeprefix(SQLITE))


def parts(entries: list, size: int = 100) -> Iterator[list]:  # type: ignore[type-arg]
    """No more at once than MLflow takes."""
    return (entries[i : i + size] for i in range(0, len(entries), size))


def require_awake(server: str) -> None:
    """Ask a server whether it is there; MLflow itself would try again for minutes before it says so.

    Raises:
        OutputError: it is not.
    """
    if not server.startswith(("http://", "https://")):
        return
    try:
        urllib.request.urlopen(f"{server.rstrip('/')}/health", timeout=_AWAY_AFTER).close()
    except urllib.error.HTTPError:
        return  # it answers; whether it lets us in will be seen
    except OSError as e:
        reason = getattr(e, "reason", e)
        raise OutputError(
            f"does not answer ({reason})", where=server, fix="try again when the server is up"
        ) from None


@contextmanager
def told(server: str) -> Iterator[None]:
    """MLflow's errors as ours, after few attempts and without bars of its own."""
    before = {key: os.environ.get(key) for key in _QUICK}
    for key, value in _QUICK.items():
        os.environ.setdefault(key, value)
    try:
        yield
    except (MlflowException, OSError) as e:
        message = str(e).splitlines()[0][:300] if str(e) else type(e).__name__
        raise OutputError(
            f"refuses what is sent ({message})",
            where=server,
            fix="look at the server's log; user and password go into MLFLOW_TRACKING_USERNAME and _PASSWORD",
        ) from e
    finally:
        for key in (k for k, v in before.items() if v is None):
            os.environ.pop(key, None)
