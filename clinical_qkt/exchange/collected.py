"""Packages that came and are in order, ready for the stages that use them."""

from __future__ import annotations

from pathlib import Path

from clinical_qkt.core.files import sha256
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.receiving import package_of

KEYS = {"statistics": "responses", "model": "teachers", "assessment": "assessments"}
"""Under which key of the site's YAML each kind belongs."""
STAGES = {"responses": "transfer", "teachers": "transfer", "assessments": "judge"}
"""And which stage uses it."""


def collected(desk: AtDesk) -> dict[str, list[Path]]:
    """Folders of packages by key, the latest of each site; of responses those to the query here."""
    found: dict[str, dict[str, Path]] = {}
    for row in desk.store.of("in", "reply", "verified"):
        for asked in desk.store.belonging(row, "out", "ask"):
            if asked.ask.wants != "statistics" or is_query(desk, asked.ask.about):
                found.setdefault(KEYS[asked.ask.wants], {})[row.peer] = package_of(desk, row)
    return {key: list(by_site.values()) for key, by_site in found.items()}


def is_query(desk: AtDesk, about: str) -> bool:
    """Whether the query that lies ready is the one that was asked with."""
    card = desk.query_dir / "card.json"
    return card.is_file() and sha256(card) == about
