"""An empty MLflow database is made once a process and copied: MLflow takes two seconds for its tables."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from clinical_qkt.review.tracking import store

made = store.make_tables


@functools.cache
def template() -> bytes:
    """A database with MLflow's tables, as MLflow makes them."""
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder) / "empty.db")
        return (Path(folder) / "empty.db").read_bytes()


def copied(part: Path) -> None:
    """What stands in for ``store.make_tables`` in the tests."""
    part.write_bytes(template())


store.make_tables = copied
