"""One check for every kind of package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clinical_qkt.core.errors import InputError
from clinical_qkt.packages import plain_json
from clinical_qkt.packages.assessment import Assessment, load_assessment
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.model import Model, load_model
from clinical_qkt.packages.query import Query, load_query
from clinical_qkt.packages.reader import MAX_BYTES
from clinical_qkt.packages.response import Response, load_response
from clinical_qkt.packages.signing import Signed, Trust
from clinical_qkt.packages.writer import CARD


@dataclass(frozen=True)
class Verified:
    """A package that was found to be whole and well-formed.

    Attributes:
        signed: what is known of its sender.
    """

    card: PackageCard
    bytes: int
    signed: Signed


def verify(folder: Path, trust: Trust | None, query: Path | None = None) -> Verified:
    """Check a package from the outside in, whichever it is.

    Args:
        trust: whose signatures count; None: signatures are not checked.
        query: the query package that an answer is to.

    Raises:
        PackageError: it is refused.
        InputError: it is an answer, and the query is not given.
    """
    kind = _kind(folder)
    found: Query | Response | Assessment | Model
    if kind.startswith("clinical-qkt/query/"):
        found = load_query(folder, trust)
    elif kind.startswith("clinical-qkt/answer/"):
        if query is None:
            raise InputError(
                "an answer is checked against its query",
                where=str(folder),
                fix="give --query FOLDER",
            )
        found = load_response(folder, load_query(query), trust)
    elif kind.startswith("clinical-qkt/assessment/"):
        found = load_assessment(folder, trust)
    else:
        found = load_model(folder, trust)
    return Verified(found.card, found.bytes, found.signed)


def claimed_site(folder: Path) -> str:
    """The site that a card claims to be from; unproven, and empty if it cannot be read."""
    return _field(folder, "site")


def _kind(folder: Path) -> str:
    """What the card says that it is; unless that can be read, it is checked as a model."""
    return _field(folder, "format")


def _field(folder: Path, name: str) -> str:
    try:
        if not (folder / CARD).is_file() or (folder / CARD).is_symlink():
            return ""
        with (folder / CARD).open("rb") as f:
            return str(plain_json.parse(f.read(MAX_BYTES[CARD]))[name])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
