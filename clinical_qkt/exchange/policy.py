"""Whether a request is answered without a person: only what the site's YAML names, and within its numbers."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clinical_qkt.core.terms import EXACT
from clinical_qkt.exchange.letters import now
from clinical_qkt.exchange.store import Row, Store
from clinical_qkt.site.exchange_settings import Automatic

BY_POLICY = "policy"
"""Who decided, where nobody did."""
MONTH, YEAR = datetime.timedelta(days=30), datetime.timedelta(days=365)


@dataclass(frozen=True)
class Earlier:
    """A request that was approved before.

    Attributes:
        about: which query.
        kinds: by class, what was agreed to.
    """

    asker: str
    about: str
    at: datetime.datetime
    automatic: bool
    kinds: Mapping[str, str]


def history(store: Store) -> list[Earlier]:
    """All that was approved at this desk, the first one first."""
    found = []
    for row in store.of("in", "ask"):
        decided = store.decision(row)
        if decided and decided["outcome"] == "approved":
            at = datetime.datetime.fromisoformat(decided["at"])
            automatic = decided["by"] == BY_POLICY
            found.append(Earlier(row.peer, row.ask.about, at, automatic, leaving(decided["shown"])))
    return found


def leaving(preview: Mapping[str, Any]) -> dict[str, str]:
    """Of a preview, what would leave: the kind of response by class."""
    return {row["label"]: row["kind"] for row in preview.get("classes", []) if row["kind"]}


def needs_person(
    settings: Automatic, row: Row, preview: Mapping[str, Any], earlier: Iterable[Earlier]
) -> str | None:
    """Why a person has to decide, or None.

    The same query again is the same answer again, and counts once.
    """
    kinds, at = leaving(preview), now()
    if row.peer not in settings.askers:
        return f"{row.peer} is not among the askers that are answered without a person"
    if row.ask.wants != "statistics":
        return f"{'a model' if row.ask.wants == 'model' else 'an assessment'} never leaves without a person"
    if not kinds:
        return "nothing would be answered but why not"
    if other := sorted(set(kinds.values()) - set(settings.kinds)):
        return f"{', '.join(other)} is not among the kinds that leave without a person"
    before = [e for e in earlier if e.about != row.ask.about]
    recent = {e.about for e in before if e.asker == row.peer and e.at > at - MONTH}
    if len(recent) >= settings.queries_per_asker_per_month:
        return f"{row.peer} has had {len(recent)} queries answered in 30 days"
    for name in (name for name, kind in kinds.items() if kind in EXACT):
        told = sum(e.kinds.get(name) in EXACT and e.at > at - YEAR for e in before)
        if told >= settings.exact_answers_per_class_per_year:
            return f"{told} exact responses for '{name}' were given in 365 days"
    return None
