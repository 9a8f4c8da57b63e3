"""Which file is a site's ledger, as its YAML says; and how a lost or older one is made whole."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.state_folder import ledger_of
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.core.values import Strict
from clinical_qkt.site.config import read_part
from clinical_qkt.site.ledger.beginning import mend
from clinical_qkt.site.ledger.ledger import Ledger


class _Named(Strict):
    """What of a site's YAML tells where its ledger lies."""

    site: str = Field(pattern=PSEUDONYM)
    ledger: str | None = None


def of_site(path: Path) -> Path:
    """The ledger of a site's YAML; it need not be there.

    Raises:
        InputError: the YAML is wrong, or leaves it to a stage.
    """
    return _named(path)[1]


def mended(path: Path) -> int:
    """Make a site's ledger whole from the second place; gives how many lines were missing.

    Raises:
        InputError: the YAML is wrong; or nothing is known of the site here.
    """
    site, file = _named(path)
    return mend(site, Ledger(file))


def _named(path: Path) -> tuple[str, Path]:
    named = read_part(path, _Named)
    if named.ledger and named.ledger.startswith("$"):
        raise InputError("is an expression", where=f"{path}: ledger", fix="give the ledger's file itself")
    return named.site, Path(named.ledger) if named.ledger else ledger_of(named.site)
