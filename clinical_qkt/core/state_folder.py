"""Where a site's ledger lies: in one fixed place, wherever a command is run and whatever it writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_state_path

from clinical_qkt.core.errors import InputError

STATE = "CLINICAL_QKT_STATE"
"""The environment's variable that names another place for all that has to outlive a results folder."""
SECOND = "second-place.db"
"""In it: what the ledgers that were used from here hold, counted a second time."""


def state_folder() -> Path:
    """The folder for what has to outlive a results folder; it need not be there yet.

    Raises:
        InputError: the variable names a place that depends on the folder in which a command is run.
    """
    named = os.environ.get(STATE)
    if not named:
        return user_state_path("clinical-qkt", appauthor=False)
    folder = Path(named).expanduser()
    if not folder.is_absolute():
        raise InputError(
            "is relative, so that each folder would have a privacy budget of its own",
            where=f"the variable {STATE}",
            fix="give the whole path, from the root on",
        )
    return folder


@contextmanager
def state_in(folder: Path) -> Iterator[None]:
    """Another place for all that has to outlive a results folder, for as long as it is entered."""
    before = os.environ.get(STATE)
    os.environ[STATE] = str(folder.absolute())
    try:
        yield
    finally:
        del os.environ[STATE]
        if before is not None:
            os.environ[STATE] = before


def ledger_of(site: str) -> Path:
    """The ledger of a site whose YAML names none: it belongs to the pseudonym."""
    return state_folder() / "ledgers" / f"{site}.db"


def second_place() -> Path:
    """The file in which releases are counted a second time."""
    return state_folder() / SECOND
