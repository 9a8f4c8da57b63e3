"""An empty MLflow database is made once a run and copied: MLflow takes two seconds for its tables."""

from __future__ import annotations

from pathlib import Path

from clinical_qkt.review.tracking import store
from tests.once import once

made = store.make_tables


def copied(part: Path) -> None:
    """What stands in for ``store.make_tables`` in the tests."""
    part.write_bytes(once("empty.db", made).read_bytes())


store.make_tables = copied
