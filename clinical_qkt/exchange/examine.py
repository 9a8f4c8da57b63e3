"""What needs torch, in a process of its own: is a package as it should be, and what would leave?

    python -m clinical_qkt.exchange.examine SITE.yaml JOBS.json FOUND.json

One process looks at all letters of a sweep, since the imports take longer than the looking. What is found of
each is written as soon as it is known, so that a letter which ends the process is known by its silence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_qkt.assessment.assessing import COUNTS, require_assessable
from clinical_qkt.bundle.stage import Stage
from clinical_qkt.core.errors import PackageError, QKTError
from clinical_qkt.core.files import sha256, write_json
from clinical_qkt.data.datalist import listed_class, parse_datalist
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.exchange.letters import Ask
from clinical_qkt.packages.assessment import load_assessment
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.model import load_model
from clinical_qkt.packages.query import Query, load_query
from clinical_qkt.packages.response import load_response
from clinical_qkt.packages.writer import CARD
from clinical_qkt.query.what_leaves import most_told
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import plan
from clinical_qkt.site.ledger.ledger import Ledger
from clinical_qkt.site.policy import Declined


def examined(stage: Stage, job: Mapping[str, Any]) -> dict[str, Any]:
    """What is found of one letter's package.

    Args:
        stage: of this site, whatever its name: its keys are right.
        job: ``letter``, the text; ``package``, its folder; of replies ``query``, what was asked with.

    Returns:
        ``refused``: why; or ``preview``: what would leave; or ``verified``.
    """
    try:
        if job["kind"] == "ask":
            return {"preview": _asked(stage, Ask.model_validate_json(job["letter"]), Path(job["package"]))}
        _replied(stage.site, job)
        return {"verified": True}
    except QKTError as e:
        told = [f"{file}: {what}" if file else what for file, what in getattr(e, "problems", ())[:3]]
        return {"refused": "; ".join(told) or e.problem}


def _asked(stage: Stage, letter: Ask, package: Path) -> dict[str, Any]:
    site = stage.site
    if letter.wants == "assessment":
        return _assessed(stage, letter, package)
    query = load_query(package, site.trust)
    _require(query.card, letter.sender)
    if query.digest != letter.about or list(query.card.query) != list(letter.classes):
        raise PackageError("is another query than the letter says")
    return {
        "classes": _statistics(site, query.for_classes(site.labels.plain)),
        "spent": _spent(site),
        "total": site.policy.total_epsilon,
        "reference": query.card.reference,
        "task": query.card.task,
    }


def _assessed(stage: Stage, letter: Ask, package: Path) -> dict[str, Any]:
    """Of a model that is to be measured: of which classes counts would be told, and on how many images."""
    model, site = load_model(package, stage.site.trust), stage.site
    _require(model.card, letter.sender)
    contract = stage.contract()
    assert contract is not None
    require_assessable(model, contract)
    if sha256(package / CARD) != letter.about:
        raise PackageError("is another model than the letter says")
    tested = _patients(site, site.labels, ("test",))
    rows = []
    for name in model.card.gained:
        place = site.labels.find(model.card.labels[model.card.labels.names.index(name)], parts=False)
        if place is None:
            rows.append(_row(name, "declined: this site has no such class", None))
        else:
            patients = len(tested.get(place, ()))
            rows.append(_row(name, "rounded counts", COUNTS) | {"patients": patients})
    return {"classes": rows, "task": model.card.task}


def _statistics(site: Site, query: Query) -> list[dict[str, Any]]:
    """What the policy says of each class. Of patients no private response is to depend on, none is told."""
    own, rows = site.labels, []
    whose = _patients(site, own)
    for label in query.card.query:
        decided = site.policy.decide(query.card, label, own)
        if isinstance(decided, Declined):
            rows.append(_row(label.name, f"declined: {decided.reason}", None))
            continue
        row = _row(label.name, decided, decided)
        row["numbers"] = most_told(decided, query.card, site.policy.tell_looks)
        if decided == "private_mean":
            row["guarantee"] = [site.policy.epsilon, site.policy.delta, site.policy.unit]
        else:
            row["patients"] = len({p for place in own.places(label) for p in whose.get(place, ())})
        rows.append(row)
    return rows


def _row(label: str, what: str, kind: str | None) -> dict[str, Any]:
    return {"label": label, "what": what, "kind": kind}


def _patients(
    site: Site, own: LabelSpace, sections: Sequence[str] = ("training", "validation")
) -> dict[int, set[str]]:
    """Whom the images of each own class show, in some sections; the images where nobody is named."""
    content = parse_datalist(site.data)
    listed = LabelSpace(content.classes, where="classes") if content.classes else None
    found: dict[int, set[str]] = {}
    for section in sections:
        for k, entry in enumerate(getattr(content, section)):
            place = own.find(listed_class(entry.label, listed, f"{section}[{k}].label"))
            if place is not None:
                found.setdefault(place, set()).add(entry.patient or str(entry.image))
    return found


def _spent(site: Site) -> float | None:
    """The epsilon of earlier responses; None where they cannot be added up for this unit."""
    policy = site.policy
    try:
        return Ledger(site.ledger).spent(policy.total_delta, policy.unit, policy.images_per_patient)
    except QKTError:
        return None


def _replied(site: Site, job: Mapping[str, Any]) -> None:
    package, trust = Path(job["package"]), site.trust
    card: PackageCard
    if job["wants"] == "statistics":
        card = load_response(package, load_query(job["query"]), trust).card
    elif job["wants"] == "assessment":
        card = load_assessment(package, trust).card
    else:
        card = load_model(package, trust).card
    _require(card, job["sender"])


def _require(card: PackageCard, sender: str) -> None:
    """The package behind a letter is of the letter's sender."""
    if card.site != sender:
        raise PackageError(f"is of '{card.site}', and the letter of '{sender}'")


def main() -> None:
    """See the module."""
    yaml, jobs, found = (Path(word) for word in sys.argv[1:4])
    try:
        stage = Stage(plan("train", yaml, []))
    except QKTError as e:
        print(f"error: {e}", file=sys.stderr)
        raise SystemExit(2) from None
    told: dict[str, Any] = {}
    for job in json.loads(jobs.read_text(encoding="utf-8")):
        told[job["id"]] = examined(stage, job)
        write_json(found, told, private=True)


if __name__ == "__main__":
    main()
