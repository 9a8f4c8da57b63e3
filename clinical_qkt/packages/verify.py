"""One check for every kind of package."""

from __future__ import annotations

import json
from pathlib import Path

from clinical_qkt.errors import InputError
from clinical_qkt.packages.answer import load_answer
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.folder import CARD
from clinical_qkt.packages.query import load_query
from clinical_qkt.packages.store import load_model


def verify(folder: Path, query: Path | None = None) -> tuple[PackageCard, int]:
    """Check a package from the outside in, whichever it is.

    Args:
        query: the query package that an answer is to.

    Returns:
        Its card and its size in bytes.

    Raises:
        PackageError: it is refused.
        InputError: it is an answer, and the query is not given.
    """
    kind = _kind(folder)
    if kind.startswith("clinical-qkt/query/"):
        asked = load_query(folder)
        return asked.card, asked.bytes
    if kind.startswith("clinical-qkt/answer/"):
        if query is None:
            raise InputError(
                "an answer is checked against its query",
                where=str(folder),
                fix="give --query FOLDER",
            )
        answer = load_answer(folder, load_query(query))
        return answer.card, answer.bytes
    model = load_model(folder)
    return model.card, model.bytes


def _kind(folder: Path) -> str:
    """What the card says that it is; a model if that cannot be read, whose check then names the problem."""
    try:
        with (folder / CARD).open("rb") as f:
            return str(json.loads(f.read(1_000_001))["format"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "clinical-qkt/model/1"
